/**
 * The limit of what stands on PostgreSQL: bare pg in a closed loop over some connections, each running its next
 * statement, or transaction, when the last one has ended.
 */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { Loaded } from './load.process.ts';

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** One prepared statement, with these values one after the other. */
export interface PreparedOrder {
  readonly kind: 'prepared';
  readonly text: string;
  readonly values: readonly (readonly unknown[])[];
}

/**
 * A transaction for each connection, as it was recorded once. Ids are drawn anew each time, and the number that the
 * statement numbered `numberFrom` answers takes the place of the one that was recorded.
 */
export interface TransactionOrder {
  readonly kind: 'transaction';
  readonly transactions: readonly {
    readonly statements: readonly Statement[];
    readonly ids: readonly string[];
    readonly number: number;
    readonly numberFrom: number;
  }[];
}

export type SqlOrder = (PreparedOrder | TransactionOrder) & {
  readonly databaseUrl: string;
  readonly connections: number;
  readonly seconds: number;
};

type Run = () => Promise<void>;

function preparedRun(client: pg.Client, { text, values }: PreparedOrder, next: () => number): Run {
  return async () => {
    const { rowCount } = await client.query({
      name: 'limit',
      text,
      values: [...values[next() % values.length]!],
    });
    if (!rowCount) throw new Error('No row was found.');
  };
}

function transactionRun(client: pg.Client, order: TransactionOrder, index: number): Run {
  const { statements, ids, number, numberFrom } = order.transactions[index % order.transactions.length]!;
  return async () => {
    const fresh = ids.map(() => randomUUID());
    let taken = number;
    const now = (value: unknown): unknown => {
      if (value === number) return taken;
      if (typeof value !== 'string') return value;
      const renewed = ids.reduce((text, id, at) => text.replaceAll(id, fresh[at]!), value);
      return renewed.replaceAll(String(number), String(taken));
    };
    for (const [at, { text, values }] of statements.entries()) {
      const { rows } = await client.query<Record<string, unknown>>(text, values.map(now));
      if (at === numberFrom) taken = Number(Object.values(rows[0] ?? {})[0]);
    }
  };
}

async function run(order: SqlOrder): Promise<Loaded> {
  const clients = Array.from(
    { length: order.connections },
    () => new pg.Client({ connectionString: order.databaseUrl }),
  );
  let sent = 0;
  const latencies: number[] = [];
  try {
    await Promise.all(clients.map((client) => client.connect()));
    const until = performance.now() + order.seconds * 1000;
    await Promise.all(
      clients.map(async (client, index) => {
        const once =
          order.kind === 'prepared'
            ? preparedRun(client, order, () => sent++)
            : transactionRun(client, order, index);
        for (;;) {
          const begun = performance.now();
          await once();
          const ended = performance.now();
          if (ended >= until) return;
          latencies.push(ended - begun);
        }
      }),
    );
  } catch (error) {
    return { failure: (error as Error).message };
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * sorted.length)] ?? Number.NaN;
  return { requests: sorted.length, seconds: order.seconds, p50: at(0.5), p99: at(0.99) };
}

process.on('message', (order: SqlOrder) => void run(order).then((loaded) => process.send?.(loaded)));
process.once('disconnect', () => process.exit());
