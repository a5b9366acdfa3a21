/** What graphql-ws asks us: who may connect, what to run, and how errors look. */
import { hash } from 'node:crypto';
import {
  GraphQLError,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  type GraphQLSchema,
} from 'graphql';
import { makeServer, type SubscribePayload } from 'graphql-ws';
import { asGraphQLError, maskResult, type MaskError } from './mask.ts';
import type { Seat, SeatedArgs } from './seat.ts';
import type { Session } from './session.ts';
import type { SharedSubscriptions } from './shared-subscription.ts';

export interface ProtocolOptions<Viewer> {
  readonly schema: GraphQLSchema;
  readonly parseAndValidate: (
    query: string,
  ) => DocumentNode | readonly GraphQLError[] | Promise<DocumentNode | readonly GraphQLError[]>;
  /** Queries and mutations. */
  readonly execute: (args: ExecutionArgs) => ExecutionResult | Promise<ExecutionResult>;
  /** A fresh context for one operation, or one event of a subscription. */
  readonly contextOf: (viewer: Viewer) => unknown;
  readonly scopeOf: (viewer: Viewer) => string;
  readonly sharing: SharedSubscriptions;
  readonly maskError: MaskError;
}

export interface ProtocolLimits {
  readonly operationsPerSocket: number;
  /** How long a client may take to say `connection_init`, in milliseconds. */
  readonly connectionInitMs: number;
}

type Params = Record<string, unknown>;

/** Public graphql-ws only: its server with our hooks. */
export function protocolServer<Viewer>(options: ProtocolOptions<Viewer>, limits: ProtocolLimits) {
  const { maskError, sharing, execute } = options;
  return makeServer<Params, Session<Viewer>>({
    connectionInitWaitTimeout: limits.connectionInitMs,
    onConnect: (ctx) => ctx.extra.enter(ctx.connectionParams),
    onSubscribe: async (ctx, id, payload) => {
      if (Object.keys(ctx.subscriptions).length > limits.operationsPerSocket) {
        return [
          new GraphQLError(`This socket runs ${limits.operationsPerSocket} operations already, its limit.`),
        ];
      }
      try {
        return await prepare(options, ctx.extra, id, payload);
      } catch (error) {
        return [asGraphQLError(error)];
      }
    },
    execute: async (args) => reported(() => execute(args)),
    subscribe: async (args) => {
      if (!isSeated(args)) throw new Error('A subscription without a seat.');
      return reported(() => sharing.subscribe(args));
    },
    onNext: (_ctx, _id, _payload, _args, result) => maskResult(result, maskError),
    onError: (_ctx, _id, _payload, errors) => errors.map((error) => maskError(error).toJSON()),
  });
}

/** Errors in the document belong to this operation: the socket and its other operations go on. */
async function prepare<Viewer>(
  options: ProtocolOptions<Viewer>,
  session: Session<Viewer>,
  id: string,
  payload: SubscribePayload,
): Promise<SeatedArgs | readonly GraphQLError[]> {
  const { schema, parseAndValidate, contextOf, scopeOf } = options;
  const { query, operationName, variables } = payload;
  const document = await parseAndValidate(query);
  if (!('kind' in document)) return document;
  const { wire } = session;
  const scope = scopeOf(session.viewer);
  const seat: Seat = {
    wire,
    id,
    key: (without) => {
      const telling = Object.entries(variables ?? {}).filter(([name]) => !without.has(name));
      // A hash, because a document may be long and there is a key for every group.
      return hash('sha256', JSON.stringify([scope, operationName ?? null, telling, query]));
    },
    context: () => contextOf(session.viewer),
  };
  return { schema, document, operationName, variableValues: variables, contextValue: seat.context(), seat };
}

/** What is thrown becomes the operation's error; graphql-ws would close the socket. */
async function reported<T>(run: () => T | Promise<T>): Promise<T | ExecutionResult> {
  try {
    return await run();
  } catch (error) {
    return { errors: [asGraphQLError(error)] };
  }
}

/** graphql-ws hands `subscribe` the very object that `onSubscribe` made. */
function isSeated(args: ExecutionArgs): args is SeatedArgs {
  return 'seat' in args;
}
