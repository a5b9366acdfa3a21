/** Errors in the form of the Open Inference Protocol: `{"error": "…"}` under a status that says whose turn it is. */
import type { ServerResponse } from 'node:http';
import { DomainError, NotReadyError, OverloadedError } from '#src/platform/errors.ts';
import { isDatabaseAway } from '#src/platform/database.ts';
import type { Logger } from '#src/platform/logger.ts';
import { unexpected } from './refusal.ts';
import { cutOff } from './request.ts';

/** A request that HTTP itself lets us refuse, before there is anything to predict. */
export class InferenceRefusal extends Error {
  override readonly name = 'InferenceRefusal';
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** The caller went away; nobody reads the answer any more. nginx's 499, for the log. */
export class ClientGone extends Error {
  override readonly name = 'AbortError';
}

/** By a DomainError's code. */
const statuses: Readonly<Record<string, number>> = {
  VALIDATION: 400,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  OVERLOADED: 429,
  MODEL_FAILED: 500,
  NOT_READY: 503,
  DEADLINE_EXCEEDED: 504,
};

const RETRY = 'retry-after';

/** Answers `{"error": message}`, and lets a client that is still sending read it. */
export function refuseInference(
  res: ServerResponse,
  status: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = JSON.stringify({ error: message });
  res.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  });
  res.end(text);
  if (!res.req.complete) cutOff(res.req);
}

function retryAfter(error: unknown): Readonly<Record<string, string>> {
  const later =
    error instanceof NotReadyError || error instanceof OverloadedError ? error.retryAfterMs : null;
  return later === null ? {} : { [RETRY]: String(Math.max(1, Math.ceil(later / 1000))) };
}

/** Answers with whatever was thrown; what nobody expected is masked under an id that is in the log. */
export function refuseInferenceWith(res: ServerResponse, error: unknown, logger: Logger): void {
  if (error instanceof ClientGone || res.destroyed) return;
  if (res.headersSent) {
    logger.error({ err: error }, 'an answer broke off');
    res.destroy();
  } else if (error instanceof InferenceRefusal) {
    refuseInference(res, error.status, error.message, error.headers);
  } else if (error instanceof DomainError) {
    const { code, message, hint } = error;
    const text = hint === null ? message : `${message} ${hint}`;
    refuseInference(res, statuses[code] ?? 500, text, retryAfter(error));
  } else {
    const { status, message } = unexpected(error, logger);
    refuseInference(res, status, message, isDatabaseAway(error) ? { [RETRY]: '1' } : {});
  }
}
