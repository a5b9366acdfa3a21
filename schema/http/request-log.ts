/** What of a request is logged: who, what, how long, with which errors. Never inputs, answers or tokens. */
import type { IncomingMessage } from 'node:http';
import { Kind, type DocumentNode, type GraphQLError } from 'graphql';
import type { Logger } from '#src/platform/logger.ts';
import type { Result } from '../execution.ts';
import { identityOf } from './request.ts';

const changes = new WeakMap<DocumentNode, readonly string[]>();

/** Names of a document's mutations; predictions are counted, not logged. */
function changesIn(document: DocumentNode): readonly string[] {
  const known = changes.get(document);
  if (known) return known;
  const names: string[] = [];
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION || definition.operation !== 'mutation') continue;
    for (const field of definition.selectionSet.selections) {
      if (field.kind === Kind.FIELD && field.name.value !== 'predict') names.push(field.name.value);
    }
  }
  changes.set(document, names);
  return names;
}

/** An error by its id where it has one (the line with its cause has it, too), else by its code. */
function named(error: GraphQLError): unknown {
  const { errorId, code } = (error.extensions ?? {}) as Record<string, unknown>;
  return errorId ?? code ?? 'BAD_REQUEST';
}

/** Logs every change, and every request that failed. */
export function logOutcome(
  logger: Logger,
  req: IncomingMessage,
  document: DocumentNode,
  result: Result,
  startedAt: number,
): void {
  const names = changesIn(document);
  if (names.length === 0 && !result.errors) return;
  const { viewer, requestId } = identityOf(req);
  const line = {
    request: requestId,
    actor: viewer.name,
    mutations: names,
    ms: Math.round(performance.now() - startedAt),
    ...(result.errors ? { errors: result.errors.map(named) } : {}),
  };
  if (result.errors) logger.warn(line, 'request answered with errors');
  else logger.info(line, 'request');
}
