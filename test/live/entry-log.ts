import { buildSchema, type GraphQLSchema } from 'graphql';
import { logSource, type LogFeed, type Stretch } from '#schema/live/log-source.ts';

export interface Entry {
  readonly number: number;
  readonly text: string;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A log that the test writes to, read in pages. */
export class EntryLog {
  readonly entries: Entry[] = [];
  /** Pages that were asked for and came, so far. */
  reads = 0;
  readonly #pageSize: number;
  readonly #waiting = new Set<() => void>();
  #finished = false;

  constructor(pageSize = 10) {
    this.#pageSize = pageSize;
  }

  get length(): number {
    return this.entries.length;
  }

  push(count = 1, text = 'entry'): void {
    for (let i = 0; i < count; i++)
      this.entries.push({ number: this.length + 1, text: `${text} ${this.length + 1}` });
    for (const go of this.#waiting) go();
  }

  /** The log itself comes to its end. */
  finish(): void {
    this.#finished = true;
    for (const go of this.#waiting) go();
  }

  /** Behind a number; of the even ones only, where it is said. */
  feed(after: number, evenOnly = false): LogFeed<Entry> {
    return {
      after,
      end: this.length,
      places: ['after'],
      at: ({ number }) => number,
      read: async (from, signal) => {
        while (from >= this.length) {
          if (this.#finished || signal.aborted) return undefined;
          await this.#news(signal);
        }
        // As a database does, it takes its time.
        if (from < this.length - this.#pageSize) await turn();
        this.reads++;
        return this.#page(from, evenOnly);
      },
    };
  }

  #page(from: number, evenOnly: boolean): Stretch<Entry> {
    const entries = this.entries.slice(from, from + this.#pageSize);
    return {
      events: evenOnly ? entries.filter(({ number }) => number % 2 === 0) : entries,
      through: from + entries.length,
    };
  }

  #news(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        this.#waiting.delete(go);
        resolve();
      };
      this.#waiting.add(go);
      signal.addEventListener('abort', go, { once: true });
    });
  }
}

const typeDefs = `
  type Query { hello: String! }
  type Entry { number: Int!, text(prefix: String = ""): String! }
  type Subscription { log(after: Int, evenOnly: Boolean = false): Entry! }
`;

/** @param onText called whenever `Entry.text` is asked for: once an execution. */
export function logSchema(log: EntryLog, onText: () => void = () => undefined): GraphQLSchema {
  const schema = buildSchema(typeDefs);
  const fields = schema.getSubscriptionType()?.getFields();
  Object.assign(fields?.['log'] ?? {}, {
    resolve: (entry: unknown) => entry,
    subscribe: (_: unknown, { after, evenOnly }: { after?: number; evenOnly: boolean }) =>
      logSource(log.feed(after ?? log.length, evenOnly)),
  });
  const entry = schema.getType('Entry');
  if (entry && 'getFields' in entry) {
    Object.assign(entry.getFields()['text'] ?? {}, {
      resolve: ({ text }: Entry, { prefix }: { prefix: string }) => {
        onText();
        return prefix + text;
      },
    });
  }
  return schema;
}

/** The entry within a `next` message. */
export function entryOf({ type, payload }: { type: string; payload?: { data?: { log: Entry } } }): Entry {
  if (type !== 'next' || !payload?.data)
    throw new Error(`Expected an entry, found ${JSON.stringify(payload)}.`);
  return payload.data.log;
}
