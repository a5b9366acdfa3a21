/** Where a command finds an installation's data: at the services that the environment names, or in DATA_DIR. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Place } from '../backup/backup.ts';
import { loadStoreConfig, type StoreConfig } from '../platform/config.ts';
import { hostId, prepareDataFolder } from './data-folder.ts';
import { LocalError } from './local-error.ts';
import { describeHolder, takeLock } from './lock.ts';
import { runningPostgres, startPostgres } from './postgres.ts';
import { endRecorded, recordProcess } from './process-record.ts';

export interface PlaceOptions {
  /** The surrounding environment. */
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
  /** What a person typed. */
  readonly command: string;
}

/**
 * Runs work on the data of an installation, also while it runs: its PostgreSQL is started for as long as nobody else has.
 * @throws LocalError, ConfigError with what to do.
 */
export async function atInstallation<T>(
  options: PlaceOptions,
  work: (place: Place) => Promise<T>,
): Promise<T> {
  const config = loadStoreConfig(options.env);
  if (config.DATABASE_URL !== undefined) return work({ databaseUrl: config.DATABASE_URL, config });
  const dataDir = config.DATA_DIR;
  if (!existsSync(join(dataDir, 'postgres'))) {
    throw new LocalError(
      `There is no installation in ${dataDir}. Set DATA_DIR to its folder, or DATABASE_URL to its database.`,
    );
  }
  const running = await runningPostgres(dataDir);
  if (running !== undefined) return work({ databaseUrl: running, config });
  return withOwnPostgres(config, options, 'Try again in a moment.', work);
}

/**
 * Runs work on data that nobody else uses; a folder that is not there is made.
 * @throws LocalError, ConfigError with what to do.
 */
export async function atNewInstallation<T>(
  options: PlaceOptions,
  work: (place: Place) => Promise<T>,
): Promise<T> {
  const config = loadStoreConfig(options.env);
  if (config.DATABASE_URL !== undefined) return work({ databaseUrl: config.DATABASE_URL, config });
  return withOwnPostgres(config, options, 'Stop it first, or set DATA_DIR to another folder.', work);
}

async function withOwnPostgres<T>(
  config: StoreConfig,
  { env, signal, log, command }: PlaceOptions,
  hint: string,
  work: (place: Place) => Promise<T>,
): Promise<T> {
  const dataDir = config.DATA_DIR;
  prepareDataFolder(dataDir);
  const lock = await takeLock(dataDir, command);
  if ('heldBy' in lock) throw new LocalError(`${describeHolder(lock.heldBy)} ${hint}`);
  try {
    await endRecorded(dataDir);
    const onSpawn = (identity: Parameters<typeof recordProcess>[2]): void =>
      recordProcess(dataDir, 'postgres', identity);
    const postgres = await startPostgres({ dataDir, env, onSpawn, signal, log });
    try {
      // The name under which `npm start` will look for what it has staged.
      const HOST_ID = env['HOST_ID'] ? config.HOST_ID : hostId(dataDir);
      return await work({ databaseUrl: postgres.url, config: { ...config, HOST_ID } });
    } finally {
      await postgres.stop();
      await endRecorded(dataDir); // Forgets it.
    }
  } finally {
    lock.release();
  }
}
