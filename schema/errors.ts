/** Errors that a mutation's caller can expect, as types; and what all others become. */
import { randomUUID } from 'node:crypto';
import { GraphQLError } from 'graphql';
import { isDatabaseAway } from '#src/platform/database.ts';
import {
  ConflictError,
  DeadlineExceededError,
  DomainError,
  ForbiddenError,
  NotFoundError,
  NotReadyError,
  OverloadedError,
  roles,
  ValidationError,
  type ValidationIssue,
} from '#src/platform/errors.ts';
import type { Logger } from '#src/platform/logger.ts';
import { ModelError } from '#src/prediction/prediction.errors.ts';
import { builder } from './builder.ts';

export const RoleEnum = builder.enumType('Role', {
  description: 'What somebody may do in a project; each role includes those before it.',
  values: Object.fromEntries(
    roles.map((role) => [
      role,
      {
        description: {
          READER: 'Reads everything but tokens, and predicts.',
          AUTHOR: 'Registers, changes and deletes models and versions; moves aliases.',
          OPERATOR: 'Deploys and undeploys; moves protected aliases.',
          ADMIN: 'Manages tokens.',
        }[role],
      },
    ]),
  ) as Record<(typeof roles)[number], { description: string }>,
});

const ErrorInterface = builder.interfaceRef<DomainError>('Error').implement({
  description: 'An error that a caller can expect.',
  fields: (t) => ({
    code: t.exposeString('code', { description: 'Stable; switch on it.' }),
    message: t.exposeString('message', { description: 'What happened, for people.' }),
    hint: t.exposeString('hint', { nullable: true, description: 'What to do next.' }),
  }),
});

const Issue = builder.objectRef<ValidationIssue>('ValidationIssue').implement({
  description: 'One thing that is wrong with the input.',
  fields: (t) => ({
    path: t.stringList({ description: "Where, from the input's root.", resolve: (issue) => [...issue.path] }),
    expected: t.exposeString('expected', { nullable: true, description: 'What would be right.' }),
    found: t.exposeString('found', { nullable: true, description: 'What is there instead.' }),
    message: t.exposeString('message', { description: 'The same in a sentence.' }),
  }),
});

builder.objectType(ValidationError, {
  name: 'ValidationError',
  description: 'The input cannot be taken as it is.',
  interfaces: [ErrorInterface],
  fields: (t) => ({
    issues: t.field({
      type: [Issue],
      description: 'Everything that is wrong, 20 at most.',
      resolve: (error) => [...error.issues],
    }),
  }),
});
builder.objectType(NotFoundError, {
  name: 'NotFoundError',
  description: 'It does not exist, or not for you.',
  interfaces: [ErrorInterface],
  fields: (t) => ({ what: t.exposeString('what', { description: 'What was asked for.' }) }),
});
builder.objectType(ConflictError, {
  name: 'ConflictError',
  description: 'The present state stands in the way.',
  interfaces: [ErrorInterface],
  fields: (t) => ({
    current: t.exposeString('current', { nullable: true, description: 'The present state.' }),
  }),
});
builder.objectType(ForbiddenError, {
  name: 'ForbiddenError',
  description: 'Your role does not allow it.',
  interfaces: [ErrorInterface],
  fields: (t) => ({ needs: t.expose('needs', { type: RoleEnum, description: 'The role that would.' }) }),
});
builder.objectType(NotReadyError, {
  name: 'NotReadyError',
  description: 'It cannot be done now.',
  interfaces: [ErrorInterface],
  fields: (t) => ({
    retryAfterMs: t.exposeInt('retryAfterMs', {
      nullable: true,
      description: 'When trying again makes sense, in milliseconds; null when waiting does not help.',
    }),
  }),
});
builder.objectType(OverloadedError, {
  name: 'OverloadedError',
  description: 'There is no room for it now.',
  interfaces: [ErrorInterface],
  fields: (t) => ({
    // Nullable as in NotReadyError: beside each other in one selection, both must be of one type.
    retryAfterMs: t.exposeInt('retryAfterMs', {
      nullable: true,
      description: 'When trying again makes sense, in milliseconds.',
    }),
  }),
});
builder.objectType(DeadlineExceededError, {
  name: 'DeadlineExceededError',
  description: 'No answer in time.',
  interfaces: [ErrorInterface],
  fields: (t) => ({
    timeoutMs: t.exposeInt('timeoutMs', { description: 'The time that was allowed, in milliseconds.' }),
  }),
});
builder.objectType(ModelError, {
  name: 'ModelError',
  description: 'The model itself failed, or answered NaN or an infinity.',
  interfaces: [ErrorInterface],
});

/** Error types of most mutations. */
export const expected = {
  create: [ValidationError, NotFoundError, ConflictError, ForbiddenError],
  change: [ValidationError, NotFoundError, ForbiddenError],
  /** Of those that also store bytes. */
  store: [ValidationError, NotFoundError, ConflictError, ForbiddenError, NotReadyError, OverloadedError],
};

/** What is told of a DomainError beside its message. */
export function extensionsOf(error: DomainError): Record<string, unknown> {
  const more =
    error instanceof ValidationError
      ? { issues: error.issues }
      : error instanceof ForbiddenError
        ? { needs: error.needs }
        : {};
  return { code: error.code, ...(error.hint === null ? {} : { hint: error.hint }), ...more };
}

/**
 * An error as a caller may see it: expected ones with their code, faults of the document as they are, anything else
 * masked under an id that is in the log (`INTERNAL`, or `UNAVAILABLE` where trying again later helps).
 */
export function maskError(error: unknown, logger: Logger): GraphQLError {
  const original = error instanceof GraphQLError ? error.originalError : error;
  const where = error instanceof GraphQLError ? { nodes: error.nodes, path: error.path } : {};
  if (original instanceof DomainError) {
    return new GraphQLError(original.message, { ...where, extensions: extensionsOf(original) });
  }
  if (error instanceof GraphQLError && (!original || original instanceof GraphQLError)) return error;
  const id = randomUUID();
  logger.error({ err: original, errorId: id }, 'unexpected error');
  if (isDatabaseAway(original)) {
    const message = `The database cannot be reached right now; try again soon. The server's log has it under ${id}.`;
    return new GraphQLError(message, { ...where, extensions: { code: 'UNAVAILABLE', errorId: id } });
  }
  return new GraphQLError(`Unexpected error. It is in the server's log under ${id}.`, {
    ...where,
    extensions: { code: 'INTERNAL', errorId: id },
  });
}

/** The same error without the instructions for yoga's HTTP layer, which are not for the caller. */
export function withoutHttp(error: GraphQLError): GraphQLError {
  // Those of compiled documents may lack extensions, whatever their type says.
  if ((error.extensions as Record<string, unknown> | undefined)?.['http'] === undefined) return error;
  const { http: _http, ...extensions } = error.extensions;
  const { message, nodes, source, positions, path, originalError } = error;
  return new GraphQLError(message, { nodes, source, positions, path, originalError, extensions });
}
