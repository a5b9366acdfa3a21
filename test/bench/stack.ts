/** A Modelarium of its own, started as `npm start` does, on a temporary folder: PostgreSQL, Redis, api, worker, demo. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { prepareDataFolder } from '#src/local/data-folder.ts';
import { seedDemo } from '#src/local/demo.ts';
import { Fleet } from '#src/local/fleet.ts';
import { recordedReplicas } from '#src/local/process-record.ts';
import { loadEnvironment } from '#src/platform/config.ts';
import { migrate } from '#src/platform/migrate.ts';

export interface Stack {
  /** The api's origin. */
  readonly url: string;
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly dataDir: string;
  pid(role: 'api' | 'worker' | 'postgres' | 'redis'): number;
  replicaPids(): number[];
  /** Ends every process, and removes the folder. */
  stop(): Promise<void>;
}

export const root = resolve(import.meta.dirname, '../..');

/** The environment without what would lead to somebody else's services or port. */
export function surroundings(dataDir: string): NodeJS.ProcessEnv {
  const {
    DATABASE_URL: _,
    REDIS_URL: __,
    ARTIFACT_STORE: ___,
    PORT: ____,
    HOST: _____,
    ...rest
  } = process.env;
  return { ...rest, DATA_DIR: dataDir, LOG_LEVEL: 'warn' };
}

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'modelarium-bench-'));

/** @throws what stands in the way; nothing is left running then. */
export async function startStack(): Promise<Stack> {
  const dataDir = temporaryFolder();
  const env = { ...surroundings(dataDir), PORT: '0' };
  prepareDataFolder(dataDir);
  const fleet = new Fleet({
    environment: loadEnvironment(env),
    surroundings: env,
    insistsOnPort: false,
    log: (line) => process.stderr.write(`${line}\n`),
    programs: { api: join(root, 'schema/server.ts'), worker: join(root, 'workers/main.ts') },
  });
  const stop = async (): Promise<void> => {
    await fleet.stop();
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const { postgres, redis } = await fleet.startServices();
    await migrate(postgres.url);
    const url = await fleet.startPrograms(postgres.url, redis.url);
    await seedDemo({ url, log: () => {} });
    return {
      url,
      databaseUrl: postgres.url,
      redisUrl: redis.url,
      dataDir,
      pid: (role) => {
        const pid = fleet.pid(role);
        if (pid === undefined) throw new Error(`The ${role} is gone.`);
        return pid;
      },
      replicaPids: () => recordedReplicas(dataDir).map(({ replica }) => replica.pid),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
