/** The statements of createVersion, as it runs them itself: recorded once, to be run by bare pg. */
import pg from 'pg';
import { local } from '#src/access/access.ts';
import { openPlatform } from '#src/app.ts';
import { loadConfig } from '#src/platform/config.ts';
import { createLogger } from '#src/platform/logger.ts';
import { openDatabase } from '#src/platform/database.ts';
import { createVersion } from '#src/version/create.ts';
import type { Statement, TransactionOrder } from './sql.process.ts';
import type { Stack } from './stack.ts';

/** A version's number that stands in no other value of its statements. */
const RECOGNISED = 7_000_001;

interface Input {
  readonly model: string;
  readonly artifacts: readonly { path: string; digest: string }[];
  readonly message: string;
  readonly metadata: unknown;
  readonly tags: readonly { key: string; value: string }[];
  readonly metrics: readonly { name: string; value: number }[];
}

const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** Calls `work` and answers with every statement that pg was given meanwhile. */
async function statementsOf(work: () => Promise<unknown>): Promise<Statement[]> {
  const statements: Statement[] = [];
  const prototype = pg.Client.prototype as unknown as { query: (...parameters: unknown[]) => unknown };
  const { query } = prototype;
  prototype.query = function record(this: unknown, ...parameters: unknown[]) {
    const [first, second] = parameters;
    const { text, values } = (typeof first === 'string' ? { text: first, values: second } : first) as {
      text: string;
      values?: unknown[];
    };
    statements.push({ text, values: Array.isArray(values) ? values : [] });
    return query.apply(this, parameters);
  };
  try {
    await work();
  } finally {
    prototype.query = query;
  }
  return statements;
}

/** One transaction for each input. Its models' numbers go on at seven millions afterwards. */
export async function recordCreation(
  stack: Stack,
  inputs: readonly Input[],
): Promise<TransactionOrder['transactions']> {
  const config = loadConfig({
    DATABASE_URL: stack.databaseUrl,
    REDIS_URL: stack.redisUrl,
    DATA_DIR: stack.dataDir,
    DATABASE_POOL: '2',
  });
  const { platform, close } = await openPlatform(config, createLogger('bench', 'warn'));
  const { db, close: closeDatabase } = openDatabase({ url: stack.databaseUrl, pool: 1 });
  try {
    const recorded: TransactionOrder['transactions'][number][] = [];
    for (const input of inputs) {
      const modelId = Buffer.from(input.model, 'base64').toString().split(':')[1] as string;
      await db
        .updateTable('model')
        .set({ lastNumber: RECOGNISED - 1 })
        .where('id', '=', modelId)
        .execute();
      const all = await statementsOf(() =>
        createVersion(platform, local, {
          ...input,
          modelId,
          files: [],
          uploads: [],
          signature: null,
          parents: null,
          expectedLatest: null,
        }),
      );
      const statements = all.slice(all.findIndex(({ text }) => /^(begin|start transaction)/i.test(text)));
      const known = new Set(JSON.stringify(all.slice(0, -statements.length)).match(uuid));
      const ids = new Set(JSON.stringify(statements.map(({ values }) => values)).match(uuid));
      recorded.push({
        statements,
        ids: [...ids].filter((id) => !known.has(id) && !statements.some(isReadOf(id))),
        number: RECOGNISED,
        numberFrom: statements.findIndex(({ text }) => text.includes('"last_number"')),
      });
    }
    return recorded;
  } finally {
    await closeDatabase();
    await close();
  }
}

/** Whether an id was there before: the model's and the project's stand in statements that read or lock. */
const isReadOf =
  (id: string) =>
  ({ text, values }: Statement): boolean =>
    !/insert/i.test(text) && values.includes(id);
