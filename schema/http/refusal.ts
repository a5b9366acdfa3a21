/** Expected errors in plain HTTP, where no GraphQL is spoken. */
import type { ServerResponse } from 'node:http';
import { DomainError, NotReadyError, OverloadedError, ValidationError } from '#src/platform/errors.ts';
import { isDatabaseAway } from '#src/platform/database.ts';
import { newId } from '#src/platform/id.ts';
import type { Logger } from '#src/platform/logger.ts';
import { extensionsOf } from '../errors.ts';
import { sendJson } from './request.ts';

const statuses: Readonly<Record<string, number>> = {
  NOT_FOUND: 404,
  FORBIDDEN: 403,
  CONFLICT: 409,
  VALIDATION: 422,
  NOT_READY: 503,
  OVERLOADED: 503,
};

/** The status of an error; 460 is tus's for bytes that are not those of the digest. */
export function statusOf(error: DomainError): number {
  if (error instanceof ValidationError && error.issues[0]?.path[0] === 'digest') return 460;
  return statuses[error.code] ?? 500;
}

/** The body, in GraphQL's form. */
export function bodyOf(error: DomainError): string {
  return JSON.stringify({ errors: [{ message: error.message, extensions: extensionsOf(error) }] });
}

/** What is told of an error that nobody expected; the log has it, under an id that the caller sees, too. */
export function unexpected(
  error: unknown,
  logger: Logger,
): { readonly status: number; readonly code: string; readonly message: string } {
  const id = newId();
  logger.error({ err: error, errorId: id }, 'request failed');
  if (isDatabaseAway(error)) {
    const message = `The database cannot be reached right now; try again soon. The server's log has it under ${id}.`;
    return { status: 503, code: 'UNAVAILABLE', message };
  }
  const message = `Unexpected error. It is in the server's log under ${id}.`;
  return { status: 500, code: 'INTERNAL', message };
}

/** Answers with an expected error. */
export function refuseWith(res: ServerResponse, error: DomainError): void {
  const later =
    error instanceof NotReadyError || error instanceof OverloadedError ? error.retryAfterMs : null;
  sendJson(
    res,
    statusOf(error),
    bodyOf(error),
    later === null ? {} : { 'retry-after': String(Math.ceil(later / 1000)) },
  );
}
