/** One PostgreSQL and one Redis for a whole test run, in a folder of their own that goes away with them. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '#src/local/postgres.ts';
import { endRecorded, endReplicas, recordProcess } from '#src/local/process-record.ts';
import { startRedis } from '#src/local/redis.ts';
import { identify, isAlive } from '#src/platform/process-identity.ts';

export interface TestServices {
  /** Database `postgres` as its administrator: for creating and dropping databases. */
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly stop: () => Promise<void>;
}

const prefix = 'modelarium-test-';

/** The folder's name carries who made it, so that a run that was killed can be told from one at work. */
export function newFolder(): string {
  const self = identify(process.pid);
  return mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-${self?.start ?? 0}-`));
}

/** Ends what earlier runs left that were killed before they could stop. */
async function sweep(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const [, pid, start] = new RegExp(`^${prefix}(\\d+)-(\\d+)-`).exec(name) ?? [];
    if (pid === undefined || start === undefined || isAlive({ pid: Number(pid), start })) continue;
    const folder = join(tmpdir(), name);
    await endRecorded(folder);
    await endReplicas(folder);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The same URL with another database. */
export function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

/** Starts both side by side, without their safety against power loss. */
export async function startTestServices(): Promise<TestServices> {
  await sweep();
  const dataDir = newFolder();
  mkdirSync(join(dataDir, 'run'));
  const options = { dataDir, env: process.env, durable: false };
  const starts = await Promise.allSettled([
    startPostgres({ ...options, onSpawn: (identity) => recordProcess(dataDir, 'postgres', identity) }),
    startRedis({ ...options, onSpawn: (identity) => recordProcess(dataDir, 'redis', identity) }),
  ]);
  const stop = async (): Promise<void> => {
    await endRecorded(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  };
  const [postgres, redis] = starts;
  if (postgres.status === 'rejected' || redis.status === 'rejected') {
    await stop();
    throw new AggregateError(starts.flatMap((start) => (start.status === 'rejected' ? [start.reason] : [])));
  }
  return {
    databaseUrl: withDatabase(postgres.value.url, 'postgres'),
    redisUrl: redis.value.url,
    stop,
  };
}
