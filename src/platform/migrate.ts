import { promises as fs } from 'node:fs';
import * as path from 'node:path';
import { sql } from 'kysely';
import { FileMigrationProvider, Migrator } from 'kysely/migration';
import { openDatabase, type Database } from './database.ts';

const provider = new FileMigrationProvider({
  fs,
  path,
  migrationFolder: path.join(import.meta.dirname, '../../migrations'),
});

/** A table that stands in a database for as long as it is being restored: nobody else is to begin on it. */
export const UNFINISHED_RESTORE = 'unfinished_restore';

/** The message says what to do. */
export class UnfinishedRestoreError extends Error {
  override readonly name = 'UnfinishedRestoreError';

  constructor() {
    super(
      'A restore into this database was begun and has not come to its end. Run `npm run restore -- <folder>` again: ' +
        'it goes on. Or begin anew with an empty database and an empty artifact store (`npm run reset` where they are in DATA_DIR).',
    );
  }
}

/** The names of all migrations that this program knows, in order. */
export async function knownMigrations(): Promise<string[]> {
  return Object.keys(await provider.getMigrations()).toSorted();
}

/**
 * Brings a database to the newest schema, one migrator at a time (Kysely takes an advisory lock); each migration
 * and its mark commit together. Safe to call at every start.
 * @throws UnfinishedRestoreError, the first migration's error; what was applied before it stays.
 */
export function migrate(databaseUrl: string): Promise<{ applied: string[] }> {
  return withMigrator(databaseUrl, async (migrator, { db }) => {
    const { rows } = await sql<{ found: string | null }>`
      select to_regclass(${UNFINISHED_RESTORE})::text as found`.execute(db);
    if (rows[0]?.found) throw new UnfinishedRestoreError();
    return migrator.migrateToLatest();
  });
}

/** Brings a database to the schema behind a migration, for a restore. @throws its error. */
export function migrateTo(databaseUrl: string, name: string): Promise<{ applied: string[] }> {
  return withMigrator(databaseUrl, (migrator) => migrator.migrateTo(name));
}

async function withMigrator(
  databaseUrl: string,
  work: (migrator: Migrator, database: Database) => ReturnType<Migrator['migrateToLatest']>,
): Promise<{ applied: string[] }> {
  const database = openDatabase({ url: databaseUrl, pool: 2 });
  try {
    const { error, results } = await work(new Migrator({ db: database.db, provider }), database);
    if (error) throw error;
    return { applied: (results ?? []).map((result) => result.migrationName) };
  } finally {
    await database.close();
  }
}
