import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { expect, onTestFinished, test } from 'vitest';
import { startPostgres } from '#src/local/postgres.ts';
import { startRedis } from '#src/local/redis.ts';
import { ask, type Service, type ServiceOptions } from '#src/local/service.ts';
import { openDatabase } from '#src/platform/database.ts';
import { identify, isAlive } from '#src/platform/process-identity.ts';
import { testFolder } from './terminal-session.ts';

async function start(
  how: (options: ServiceOptions) => Promise<Service>,
  dataDir: string,
  options: Partial<ServiceOptions> = {},
): Promise<Service> {
  const service = await how({ dataDir, env: process.env, ...options });
  onTestFinished(() => service.stop());
  return service;
}

async function query(url: string, text: string): Promise<unknown[]> {
  const database = openDatabase({ url, pool: 2 });
  try {
    return (await sql.raw(text).execute(database.db)).rows;
  } finally {
    await database.close();
  }
}

async function crash(service: Service): Promise<void> {
  process.kill(service.child.identity.pid, 'SIGKILL');
  await service.child.exited;
}

test('PostgreSQL is durable, asks for its password, and finds its data again', async () => {
  const dataDir = testFolder();
  const first = await start(startPostgres, dataDir);
  await query(first.url, 'CREATE TABLE kept AS SELECT 7 AS value');
  const settings = await query(
    first.url,
    `SELECT name, setting FROM pg_settings
     WHERE name IN ('fsync', 'jit', 'listen_addresses', 'max_connections', 'synchronous_commit') ORDER BY name`,
  );
  expect(settings).toEqual([
    { name: 'fsync', setting: 'on' },
    { name: 'jit', setting: 'off' },
    { name: 'listen_addresses', setting: '127.0.0.1' },
    { name: 'max_connections', setting: '200' },
    { name: 'synchronous_commit', setting: 'on' },
  ]);
  const wrong = new URL(first.url);
  wrong.password = 'wrong';
  await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow('password authentication failed');
  expect(statSync(join(dataDir, 'postgres.password')).mode & 0o777).toBe(0o600);

  await first.stop();
  expect(isAlive(first.child.identity)).toBe(false);
  const second = await start(startPostgres, dataDir);
  expect(await query(second.url, 'SELECT value FROM kept')).toEqual([{ value: 7 }]);
});

test('PostgreSQL starts after a crash, also when the pid in its file is somebody else by now', async () => {
  const dataDir = testFolder();
  const first = await start(startPostgres, dataDir);
  await query(first.url, 'CREATE TABLE kept AS SELECT 7 AS value');
  await crash(first);

  const mark = join(dataDir, 'postgres/postmaster.pid');
  const other = spawn('sleep', ['600']);
  onTestFinished(() => void other.kill());
  await once(other, 'spawn');
  const lines = readFileSync(mark, 'utf8').split('\n');
  expect(lines[0]).toBe(String(first.child.identity.pid));
  writeFileSync(mark, [other.pid, ...lines.slice(1)].join('\n'));

  const second = await start(startPostgres, dataDir);
  expect(await query(second.url, 'SELECT value FROM kept')).toEqual([{ value: 7 }]);
  expect(other.exitCode ?? other.signalCode).toBeNull();
});

test('a service that nobody knows of any more is ended before another one takes its files', async () => {
  const dataDir = testFolder();
  for (const how of [startPostgres, startRedis]) {
    const forgotten = await start(how, dataDir);
    const next = await start(how, dataDir);
    expect(await forgotten.child.exited).toBe('exit code 0');
    expect(isAlive(next.child.identity)).toBe(true);
  }
});

test('services run in a folder whose path is longer than that of a Unix socket may be', async () => {
  const dataDir = join(testFolder(), 'deep'.repeat(20), 'it\'s "quoted" \\ here'.repeat(3));
  mkdirSync(dataDir, { recursive: true });
  const [postgres, redis] = await Promise.all([start(startPostgres, dataDir), start(startRedis, dataDir)]);
  expect(await query(postgres.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  const client = new Redis(redis.url);
  expect(await client.config('GET', 'dir')).toEqual(['dir', join(dataDir, 'redis')]);
  client.disconnect();
});

test('Redis keeps what it was told over a crash, and tells nobody without its password', async () => {
  const dataDir = testFolder();
  const first = await start(startRedis, dataDir);
  const client = new Redis(first.url);
  await client.set('kept', '7');
  expect(await client.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
  client.disconnect();
  const answer = await ask(first.port, 'GET kept\r\n');
  expect(answer?.toString()).toContain('-NOAUTH');
  expect(statSync(join(dataDir, 'redis.conf')).mode & 0o777).toBe(0o600);
  expect(readFileSync(`/proc/${first.child.identity.pid}/cmdline`, 'utf8')).not.toContain(
    new URL(first.url).password,
  );
  await crash(first);

  const second = await start(startRedis, dataDir, { port: first.port });
  const again = new Redis(second.url);
  expect(await again.get('kept')).toBe('7');
  again.disconnect();
});

test('a start that is given up leaves nothing running', async () => {
  const dataDir = testFolder();
  for (const how of [startPostgres, startRedis]) {
    const pids: number[] = [];
    const stop = new AbortController();
    const starting = how({
      dataDir,
      env: process.env,
      signal: stop.signal,
      onSpawn: ({ pid }) => {
        pids.push(pid);
        stop.abort();
      },
    });
    await expect(starting).rejects.toThrow();
    expect(pids).toHaveLength(1);
    expect(pids.filter((pid) => identify(pid))).toEqual([]);
  }
});

test('what does not start says why', async () => {
  const dataDir = testFolder();
  const redis = await start(startRedis, dataDir);
  await expect(start(startPostgres, dataDir, { port: redis.port })).rejects.toThrow('Address already in use');
});

test.runIf(process.getuid?.() === 0)('root finds a way where user namespaces are forbidden', async () => {
  const folder = testFolder();
  chmodSync(folder, 0o755);
  const programs = join(folder, 'bin');
  mkdirSync(programs);
  writeFileSync(join(programs, 'unshare'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  const env = { ...process.env, PATH: `${programs}:${process.env['PATH']}` };

  const reachable = join(folder, 'reachable');
  mkdirSync(reachable, { mode: 0o700 });
  const switched = await start(startPostgres, reachable, { env });
  expect(statSync(`/proc/${switched.child.identity.pid}`).uid).not.toBe(0);
  expect(await query(switched.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  await switched.stop();
  // The same data serve the other way too.
  const namespaced = await start(startPostgres, reachable);
  expect(await query(namespaced.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);

  const hidden = join(folder, 'private/data');
  mkdirSync(hidden, { recursive: true });
  chmodSync(join(folder, 'private'), 0o700);
  await expect(start(startPostgres, hidden, { env })).rejects.toThrow('DATABASE_URL');
});

test('without any Redis the ways to get one are named', async () => {
  const dataDir = testFolder();
  const programs = join(dataDir, 'bin');
  mkdirSync(programs);
  writeFileSync(join(programs, 'apt-get'), '#!/bin/sh\necho "no network" >&2\nexit 100\n', { mode: 0o755 });
  const env = { PATH: programs, XDG_CACHE_HOME: join(dataDir, 'cache') };
  const refused = expect(start(startRedis, dataDir, { env })).rejects;
  await refused.toThrow(/redis-server or valkey-server.*REDIS_URL.*no network/s);
});
