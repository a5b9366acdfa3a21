/** The embedded PostgreSQL: a real server on files of its own, on loopback only. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { endProcess, spawnChild } from './child.ts';
import { postgresBinaries } from './postgres-binaries.ts';
import { database, endPostgres, openCluster, user } from './postgres-cluster.ts';
import { freePort } from './port.ts';
import { processesIn } from './processes-in.ts';
import { keptSecret } from './secret.ts';
import { answering, ask, type Service, type ServiceOptions } from './service.ts';
import { unprivileged } from './unprivileged.ts';

function settings(port: number, durable: boolean): string[] {
  const values: Record<string, string | number> = {
    listen_addresses: '127.0.0.1',
    port,
    // A Unix socket's path must stay below 108 bytes, which a deep folder breaks; loopback serves everybody.
    unix_socket_directories: '',
    max_connections: 200,
    shared_buffers: '128MB',
    // Compiling a plan costs more than any of our statements takes.
    jit: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_checkpoints: 'off',
    fsync: durable ? 'on' : 'off',
    synchronous_commit: durable ? 'on' : 'off',
    full_page_writes: durable ? 'on' : 'off',
  };
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** What a client says first: its length, protocol 3.0, then names and values (PostgreSQL's manual, "Message Formats"). */
function startupMessage(): Buffer {
  const body = Buffer.from(`\0\x03\0\0user\0${user}\0database\0${database}\0\0`, 'latin1');
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([length, body]);
}

/** Ready is who asks for a password ("R"); while starting or recovering it answers with an error ("E"). */
async function isReady(port: number): Promise<boolean> {
  const answer = await ask(port, startupMessage());
  return answer?.[0] === 'R'.charCodeAt(0);
}

/** The URL of a PostgreSQL that somebody else started on `<dataDir>/postgres`; undefined while none takes connections. */
export async function runningPostgres(dataDir: string): Promise<string | undefined> {
  let lines: string[];
  try {
    lines = readFileSync(join(dataDir, 'postgres/postmaster.pid'), 'utf8').split('\n');
  } catch {
    return undefined;
  }
  // PostgreSQL's src/include/utils/pidfile.h: the first line is the pid, the fourth the port.
  const port = Number(lines[3]);
  const isOurs = processesIn(join(dataDir, 'postgres'), ['postgres']).some(
    ({ pid }) => pid === Number(lines[0]),
  );
  if (!isOurs || !Number.isInteger(port) || !(await isReady(port))) return undefined;
  return urlOf(port, keptSecret(join(dataDir, 'postgres.password')));
}

const urlOf = (port: number, password: string): string =>
  `postgres://${user}:${password}@127.0.0.1:${port}/${database}`;

/**
 * Starts PostgreSQL on `<dataDir>/postgres`, which is made where it is not there, and waits until it takes
 * connections. The URL is that of database `modelarium`; its user may do everything.
 * @throws LocalError with what is in the way.
 */
export async function startPostgres(options: ServiceOptions): Promise<Service> {
  const { dataDir, env, durable = true } = options;
  const logs = join(dataDir, 'logs');
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  const binaries = postgresBinaries();
  const way = unprivileged(dataDir, binaries.postgres, env);
  const cluster = await openCluster(options, binaries, way);
  const port = options.port ?? (await freePort());
  const log = join(logs, 'postgres.log');
  const args = ['-D', cluster.folder, ...settings(port, durable)];
  const child = await spawnChild(way.command({ file: binaries.postgres, args, env, cwd: '/' }), {
    log,
    onSpawn: options.onSpawn,
  });
  const stop = (hurry?: AbortSignal) => endProcess(child.identity, endPostgres, hurry);
  try {
    await answering('PostgreSQL', child, log, () => isReady(port), options.signal);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: urlOf(port, cluster.password), port, child, stop };
}
