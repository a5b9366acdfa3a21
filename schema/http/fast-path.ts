/**
 * Answers `POST application/json` with one query or mutation straight from node:http, through the same parsing,
 * checks and execution as yoga but without its HTTP layer, which costs about as much as everything else. Whatever is
 * unusual goes to yoga, with the body that was read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { OperationTypeNode, type DocumentNode, type GraphQLError } from 'graphql';
import { scopeOf } from '#src/access/access.ts';
import type { Logger } from '#src/platform/logger.ts';
import { SameTurn } from '#src/platform/same-turn.ts';
import { withoutHttp } from '../errors.ts';
import type { Execution, Result } from '../execution.ts';
import { logOutcome } from './request-log.ts';
import { endWithText, identityOf, readBody } from './request.ts';

interface Params {
  readonly query: string;
  readonly variables?: Record<string, unknown> | null;
  readonly operationName?: string | null;
}

const RESPONSE_JSON = 'application/graphql-response+json';
const known = new Set(['query', 'variables', 'operationName', 'extensions']);

/** The media type to answer in, or undefined when the request is not plain enough for this path. */
function answerTypeOf(req: IncomingMessage): string | undefined {
  const { headers } = req;
  if (req.method !== 'POST' || headers['content-encoding'] !== undefined) return undefined;
  if (!/^application\/json(;\s*charset=utf-?8)?$/i.test(headers['content-type'] ?? '')) return undefined;
  const accept = headers.accept ?? '*/*';
  if (accept.includes('q=') || accept.includes('multipart') || accept.includes('event-stream'))
    return undefined;
  if (accept.startsWith(RESPONSE_JSON)) return RESPONSE_JSON;
  return accept.startsWith('application/json') || accept.startsWith('*/*') ? 'application/json' : undefined;
}

function paramsOf(body: Buffer): Params | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const { query, variables, operationName, extensions } = value as Record<string, unknown>;
  if (typeof query !== 'string' || (extensions ?? null) !== null) return undefined;
  if ((variables ?? null) !== null && (typeof variables !== 'object' || Array.isArray(variables)))
    return undefined;
  if ((operationName ?? null) !== null && typeof operationName !== 'string') return undefined;
  for (const key in value) if (!known.has(key)) return undefined;
  return value as Params;
}

/** What the request would run, or undefined where it is not told well enough. */
function operationOf(document: DocumentNode, name: string | null | undefined): OperationTypeNode | undefined {
  const operations = document.definitions.filter((definition) => definition.kind === 'OperationDefinition');
  const operation = name
    ? operations.find((one) => one.name?.value === name)
    : operations.length === 1
      ? operations[0]
      : undefined;
  return operation?.operation;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/**
 * The handler of POST requests that are no multipart form. The same query that the same viewer asks several times in one
 * turn of the event loop is run and serialised once, as subscriptions are; mutations never are.
 */
export function fastPath(
  execution: Execution,
  maxBodyBytes: number,
  logger: Logger,
): (req: IncomingMessage, res: ServerResponse) => Promise<void> {
  const turn = new SameTurn();

  async function run(
    req: IncomingMessage,
    document: DocumentNode,
    params: Params,
    type: string,
  ): Promise<Answer> {
    const { viewer, requestId } = identityOf(req);
    const startedAt = performance.now();
    try {
      const result = await execution.run({
        document,
        operationName: params.operationName ?? undefined,
        variables: params.variables ?? undefined,
        context: execution.contextOf(viewer, requestId),
      });
      logOutcome(logger, req, document, result, startedAt);
      const status = type === RESPONSE_JSON && result.data === undefined ? 400 : 200;
      return { status, text: stringify(plain(result)) };
    } catch (error) {
      return { status: 500, text: JSON.stringify({ errors: [execution.mask(error)] }) };
    }
  }

  return async (req, res) => {
    const body = await readBody(req, res, maxBodyBytes);
    if (body === undefined) return;
    const type = answerTypeOf(req);
    const params = type === undefined ? undefined : paramsOf(body);
    const checked = params && execution.check(params.query);
    if (type && Array.isArray(checked)) return sendErrors(res, type, checked as readonly GraphQLError[]);
    const document = checked as DocumentNode | undefined;
    const operation = document && operationOf(document, params?.operationName);
    if (!type || !params || !operation || operation === OperationTypeNode.SUBSCRIPTION) {
      (req as unknown as { body: Buffer }).body = body;
      await execution.yoga(req, res);
      return;
    }
    const answer = () => run(req, document, params, type);
    const { status, text } = await (operation === OperationTypeNode.QUERY
      ? turn.share(`${type} ${identityKey(req)} ${body.toString()}`, answer)
      : answer());
    send(res, status, type, text);
  };
}

/** Equal for requests of the same viewer with the same rights. */
function identityKey(req: IncomingMessage): string {
  const { viewer } = identityOf(req);
  return JSON.stringify([viewer.kind, viewer.name, viewer.tokenId, scopeOf(viewer)]);
}

function stringify(result: Result): string {
  return result.stringify ? result.stringify(result) : JSON.stringify(result);
}

/** The result as it is sent. */
function plain(result: Result): Result {
  return result.errors ? { ...result, errors: result.errors.map(withoutHttp) } : result;
}

function sendErrors(res: ServerResponse, type: string, errors: readonly GraphQLError[]): void {
  send(res, type === RESPONSE_JSON ? 400 : 200, type, JSON.stringify({ errors: errors.map(withoutHttp) }));
}

function send(res: ServerResponse, status: number, type: string, text: string): void {
  const bytes = Buffer.byteLength(text);
  res.writeHead(status, { 'content-type': `${type}; charset=utf-8`, 'content-length': bytes });
  endWithText(res, text, bytes);
}
