/** Runs once around a whole test run: real services, and a migrated database to clone for each test file. */
import type { TestProject } from 'vitest/node';
import { sql } from 'kysely';
import { openDatabase } from '#src/platform/database.ts';
import { migrate } from '#src/platform/migrate.ts';
import { startTestServices, withDatabase } from './services.ts';

declare module 'vitest' {
  // An interface, because vitest's own is extended by merging.
  export interface ProvidedContext {
    /** Database `postgres` as its administrator. */
    databaseUrl: string;
    /** Name of the migrated database that each test file clones (`CREATE DATABASE … TEMPLATE …`). */
    templateDatabase: string;
    redisUrl: string;
  }
}

const templateDatabase = 'modelarium_template';

async function createDatabase(adminUrl: string, name: string): Promise<void> {
  const database = openDatabase({ url: adminUrl, pool: 2 });
  try {
    await sql`CREATE DATABASE ${sql.id(name)}`.execute(database.db);
  } finally {
    await database.close();
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const services = await startTestServices();
  try {
    await createDatabase(services.databaseUrl, templateDatabase);
    await migrate(withDatabase(services.databaseUrl, templateDatabase));
  } catch (error) {
    await services.stop();
    throw error;
  }
  project.provide('databaseUrl', services.databaseUrl);
  project.provide('templateDatabase', templateDatabase);
  project.provide('redisUrl', services.redisUrl);
  return services.stop;
}
