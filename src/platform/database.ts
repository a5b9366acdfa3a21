/** The only importer of pg and of what streams through it. */
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CamelCasePlugin, Kysely, PostgresDialect, type Transaction } from 'kysely';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import type { DB } from './database.generated.ts';

/** Either the pool or a transaction: statements take it first, so that a transaction passes through. */
export type Db = Kysely<DB> | Transaction<DB>;

/** A read that is parsed and planned once a connection, under its name. For the few hot ones. */
export interface PreparedRead<Row extends object, Values extends readonly unknown[], T> {
  readonly name: string;
  readonly text: string;
  /** What becomes of the rows. */
  readonly shape: (rows: readonly Row[], values: Values) => T;
}

/** A pool of connections with Kysely on top; columns are camelCase here and snake_case in PostgreSQL. */
export interface Database {
  readonly db: Kysely<DB>;
  read<Row extends object, Values extends readonly unknown[], T>(
    read: PreparedRead<Row, Values, T>,
    values: Values,
  ): Promise<T>;
  close(): Promise<void>;
}

// bigint (int8) as BigInt: counts and bytes are exact, never rounded to a double.
const types = new pg.TypeOverrides();
types.setTypeParser(pg.types.builtins.INT8, (text) => BigInt(text));

export interface DatabaseOptions {
  readonly url: string;
  readonly pool: number;
  /** Called with errors of idle connections; the pool replaces them by itself. */
  readonly onError?: (error: Error) => void;
}

/** Opens a pool; nothing is connected until the first statement. */
export function openDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.pool,
    types,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    application_name: 'modelarium',
  });
  const onError = (error: Error): void => options.onError?.(error);
  pool.on('error', onError);
  // A connection that is checked out also emits; without a listener that would end the process.
  pool.on('connect', (client) => client.on('error', onError));
  const db = new Kysely<DB>({
    dialect: new PostgresDialect({ pool }),
    plugins: [new CamelCasePlugin({ maintainNestedObjectKeys: true })],
  });
  return {
    db,
    read: async ({ name, text, shape }, values) =>
      shape((await pool.query({ name, text, values: [...values] })).rows, values),
    close: () => db.destroy(),
  };
}

/** One connection by itself, for what belongs to a connection: locks, what others notify it of, COPY. */
export interface Session {
  query(text: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>;
  /**
   * `COPY … TO STDOUT`, whose bytes `take` reads to their end at its own pace. Answers how many rows there were; after a
   * failure the session is over.
   */
  copyOut(text: string, take: (bytes: Readable) => Promise<void>): Promise<number>;
  /** `COPY … FROM STDIN`. Answers how many rows there were; after a failure the session is over. */
  copyIn(text: string, bytes: Readable): Promise<number>;
  close(): Promise<void>;
}

export interface SessionOptions {
  readonly url: string;
  /** What PostgreSQL shows of it; `modelarium` where nothing is said. */
  readonly name?: string;
  readonly onNotification?: (payload: string) => void;
  /** It is gone, with all that belonged to it. */
  readonly onLost: (error: Error | null) => void;
}

/** @throws Error when PostgreSQL cannot be reached. */
export async function openSession(options: SessionOptions): Promise<Session> {
  const { url, name = 'modelarium', onNotification, onLost } = options;
  const socket = new Socket();
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    application_name: name,
    stream: () => socket,
  });
  let isOver = false;
  const over = (error: Error | null): void => {
    if (isOver) return;
    isOver = true;
    onLost(error);
  };
  client.on('error', over);
  client.on('end', () => over(null));
  client.on('notification', ({ payload }) => onNotification?.(payload ?? ''));
  await client.connect();
  // pg wants one at a time, and will not put them in a row itself any more one day.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work, work);
    last = turn.catch(() => undefined);
    return turn;
  };
  /** Half a COPY cannot be taken back: PostgreSQL rolls back what a connection was at that goes away. */
  const orEnd = async (work: () => Promise<number>): Promise<number> => {
    try {
      return await work();
    } catch (error) {
      isOver = true;
      socket.destroy();
      throw error;
    }
  };
  return {
    copyOut: (text, take) =>
      inTurn(() =>
        orEnd(async () => {
          const copy = client.query(copyTo(text));
          await take(copy);
          // The last byte comes before the count.
          await client.query('select');
          return copy.rowCount;
        }),
      ),
    copyIn: (text, bytes) =>
      inTurn(() =>
        orEnd(async () => {
          const copy = client.query(copyFrom(text));
          await pipeline(bytes, copy);
          return copy.rowCount;
        }),
      ),
    query: (text, values = []) => inTurn(async () => (await client.query(text, [...values])).rows),
    close: async () => {
      const wasOver = isOver;
      isOver = true;
      if (!wasOver) await client.end();
    },
  };
}

/** The constraint that a statement broke (PostgreSQL class 23), or undefined for any other error. */
export function brokenConstraint(error: unknown): string | undefined {
  if (!(error instanceof pg.DatabaseError)) return undefined;
  return error.code?.startsWith('23') ? error.constraint : undefined;
}

// SQLSTATE 08: connection exceptions; 57P01 to 57P03: the server is shutting down, has crashed or is starting.
const away = /^(08...|57P0[123]|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN)$/;

/** Whether a statement failed because PostgreSQL was not there, or went away; nothing is wrong with the statement. */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  if (code !== undefined) return away.test(code);
  // pg has no code for these.
  return /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/.test(
    error.message,
  );
}

/** Whether a row found no partition of its table that it belongs to: the one check without a name. */
export function isPartitionMissing(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '23514' && error.constraint === undefined;
}

/** Whether a statement gave up waiting for a lock (`lock_timeout`). */
export function isLockTimeout(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '55P03';
}
