/** The only importer of pg. */
import { CamelCasePlugin, Kysely, PostgresDialect, type Transaction } from 'kysely';
import pg from 'pg';
import type { DB } from './database.generated.ts';

/** Either the pool or a transaction: statements take it first, so that a transaction passes through. */
export type Db = Kysely<DB> | Transaction<DB>;

/** A pool of connections with Kysely on top; columns are camelCase here and snake_case in PostgreSQL. */
export interface Database {
  readonly db: Kysely<DB>;
  /** Runs a named prepared statement: parsed and planned once a connection. For the few hot ones. */
  prepared<Row>(name: string, text: string, values: readonly unknown[]): Promise<Row[]>;
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
    prepared: async <Row>(name: string, text: string, values: readonly unknown[]) =>
      (await pool.query({ name, text, values: values as unknown[] })).rows as Row[],
    close: () => db.destroy(),
  };
}

/** The constraint that a statement broke (PostgreSQL class 23), or undefined for any other error. */
export function brokenConstraint(error: unknown): string | undefined {
  if (!(error instanceof pg.DatabaseError)) return undefined;
  return error.code?.startsWith('23') ? error.constraint : undefined;
}
