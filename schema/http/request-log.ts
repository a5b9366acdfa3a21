/** What of a request is logged: who, what, how long, with which errors. Never inputs, answers or tokens. */
import type { IncomingMessage } from 'node:http';
import { Kind, type DocumentNode } from 'graphql';
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
    ...(result.errors
      ? { codes: result.errors.map((error) => error.extensions?.['code'] ?? 'BAD_REQUEST') }
      : {}),
  };
  if (result.errors) logger.warn(line, 'request answered with errors');
  else logger.info(line, 'request');
}
