import { createServer, type Server } from 'node:http';
import { execute, GraphQLError, parse, validate, type GraphQLSchema } from 'graphql';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { shareSubscriptions, type SharedSubscriptions } from '#schema/live/shared-subscription.ts';
import { attachWebSocket, type WebSocketDoor, type WebSocketOptions } from '#schema/live/websocket.ts';
import { TickFeed } from './tick-feed.ts';
import { pushedNumbers, toySchema, type Viewer } from './toy-schema.ts';

/** A toy schema behind the door, with a server and a feed of its own. */
export interface Stage {
  readonly url: string;
  readonly server: Server;
  readonly schema: GraphQLSchema;
  readonly feed: TickFeed;
  readonly sharing: SharedSubscriptions;
  readonly door: WebSocketDoor;
  /** Who is let in, by the token they bring; absent: nobody. */
  readonly viewers: Map<string, Viewer>;
  /** Answers of `Tick.value` so far: one an execution. */
  resolved: number;
  /** Makes the next event of `numbers`. */
  readonly pushNumber: (value: number) => void;
  /** A second door on the same server, after the first was closed. */
  attach(): WebSocketDoor;
}

export async function openStage(options: Partial<WebSocketOptions<Viewer>> = {}): Promise<Stage> {
  const feed = new TickFeed();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const viewers = new Map([['good', { name: 'ann', scope: 'reader' }]]);
  const numbers = pushedNumbers();
  const schema = toySchema(feed, numbers.values, () => stage.resolved++);
  const sharing = shareSubscriptions({ maskError });
  const attach = (): WebSocketDoor =>
    attachWebSocket<Viewer>({
      server,
      path: '/graphql',
      schema,
      sharing,
      maskError,
      logger: pino({ level: 'silent' }),
      parseAndValidate: (query) => parseAndValidate(schema, query),
      execute: async (args) => execute(args),
      authenticate: async ({ connectionParams }) =>
        viewers.get(typeof connectionParams?.['token'] === 'string' ? connectionParams['token'] : 'good'),
      contextOf: (viewer) => viewer,
      scopeOf: (viewer) => viewer.scope,
      ...options,
    });
  const door = attach();
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const stage: Stage = {
    url: `ws://127.0.0.1:${port}/graphql`,
    server,
    schema,
    feed,
    sharing,
    door,
    viewers,
    attach,
    resolved: 0,
    pushNumber: numbers.push,
  };
  onTestFinished(async () => {
    await door.close();
    await new Promise((resolve) => server.close(resolve));
  });
  return stage;
}

function parseAndValidate(schema: GraphQLSchema, query: string) {
  try {
    const document = parse(query);
    const errors = validate(schema, document);
    return errors.length > 0 ? errors : document;
  } catch (error) {
    if (error instanceof GraphQLError) return [error];
    throw error;
  }
}

/** Shows what the client caused itself, hides the rest. */
function maskError(error: GraphQLError): GraphQLError {
  const cause = error.cause ?? error.originalError;
  if (!cause || cause instanceof GraphQLError) return error;
  return new GraphQLError('Unexpected error.', error.path ? { path: error.path } : {});
}
