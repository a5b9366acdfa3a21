import { buildSchema, GraphQLError, type GraphQLSchema } from 'graphql';
import { liveSource } from '#schema/live/live-source.ts';
import type { LiveFeed } from '#schema/live/live-source.ts';
import type { TickFeed, Tick } from './tick-feed.ts';

export interface Viewer {
  readonly name: string;
  readonly scope: string;
}

const typeDefs = `
  type Query { hello: String!, fails: String }
  type Mutation { double(x: Int!): Int! }
  type Tick { at: Float!, value: String!, gap: Boolean!, viewer: String! }
  type Subscription {
    ticks(backfill: Int! = 0): Tick!
    slowTicks(backfill: Int! = 0): Tick!
    breaks: Tick!
    denied: Tick!
    numbers: Int!
  }
`;

interface Resolvers {
  [type: string]: Record<string, { resolve?: unknown; subscribe?: unknown }>;
}

function withResolvers(schema: GraphQLSchema, resolvers: Resolvers): GraphQLSchema {
  for (const [type, fields] of Object.entries(resolvers)) {
    const found = schema.getType(type);
    if (!found || !('getFields' in found)) throw new Error(`No type ${type}.`);
    for (const [name, field] of Object.entries(fields)) Object.assign(found.getFields()[name] ?? {}, field);
  }
  return schema;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const itself = (event: unknown): unknown => event;

interface Backfill {
  readonly backfill: number;
}

const secret = (): never => {
  throw new Error('the secret password');
};

/** Breaks at its first event. */
const breaking: AsyncIterable<Tick> = {
  [Symbol.asyncIterator]: () => ({ next: () => turn().then(secret) }),
};

/**
 * Every kind of field that the door has to deal with.
 * @param onValue called whenever a `Tick.value` is asked for: once an execution.
 */
export function toySchema(
  feed: TickFeed,
  numbers: AsyncIterable<number>,
  onValue: () => void,
): GraphQLSchema {
  const broken: LiveFeed<Tick> = { ...feed.feed(0), live: () => breaking };
  return withResolvers(buildSchema(typeDefs), {
    Query: { hello: { resolve: () => 'world' }, fails: { resolve: secret } },
    Mutation: { double: { resolve: (_root: unknown, { x }: { x: number }) => x * 2 } },
    Tick: {
      value: {
        resolve: ({ value }: Tick) => {
          onValue();
          return value === 'bad' ? secret() : value;
        },
      },
      viewer: { resolve: (_tick: unknown, _args: unknown, viewer: Viewer) => viewer.name },
    },
    Subscription: {
      ticks: {
        resolve: itself,
        subscribe: (_: unknown, args: Backfill) => liveSource(feed.feed(args.backfill)),
      },
      slowTicks: {
        resolve: async (event: Tick) => {
          for (let turns = event.value === 'laborious' ? 10 : 1; turns > 0; turns--) await turn();
          return event;
        },
        subscribe: (_: unknown, args: Backfill) => turn().then(() => liveSource(feed.feed(args.backfill))),
      },
      breaks: { resolve: itself, subscribe: () => liveSource(broken) },
      denied: {
        subscribe: () => {
          throw new GraphQLError('Not yours.');
        },
      },
      numbers: { resolve: itself, subscribe: () => numbers },
    },
  });
}

/** A plain async generator: it cannot be ended while it waits, and is not shared. */
export function pushedNumbers(): {
  values: AsyncGenerator<number, void, void>;
  push: (value: number) => void;
} {
  const waiting: number[] = [];
  let arrival = Promise.withResolvers<void>();
  async function* generate(): AsyncGenerator<number, void, void> {
    for (;;) {
      await arrival.promise;
      arrival = Promise.withResolvers<void>();
      yield* waiting.splice(0);
    }
  }
  return {
    values: generate(),
    push: (value) => {
      waiting.push(value);
      arrival.resolve();
    },
  };
}
