import { promises as fs } from 'node:fs';
import * as path from 'node:path';
import { FileMigrationProvider, Migrator } from 'kysely/migration';
import { openDatabase } from './database.ts';

/**
 * Brings a database to the newest schema, one migrator at a time (Kysely takes an advisory lock); each migration
 * and its mark commit together. Safe to call at every start.
 * @throws the first migration's error; what was applied before it stays.
 */
export async function migrate(databaseUrl: string): Promise<{ applied: string[] }> {
  const { db, close } = openDatabase({ url: databaseUrl, pool: 2 });
  try {
    const migrator = new Migrator({
      db,
      provider: new FileMigrationProvider({
        fs,
        path,
        migrationFolder: path.join(import.meta.dirname, '../../migrations'),
      }),
    });
    const { error, results } = await migrator.migrateToLatest();
    if (error) throw error;
    return { applied: (results ?? []).map((result) => result.migrationName) };
  } finally {
    await close();
  }
}
