/** The embedded Redis: on loopback only, with a password, keeping what it was told. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { endProcess, spawnChild } from './child.ts';
import { freePort } from './port.ts';
import { processesIn } from './processes-in.ts';
import { redisBinary, redisEnvironment } from './redis-binary.ts';
import { keptSecret, replaceFile } from './secret.ts';
import { answering, ask, type Service, type ServiceOptions } from './service.ts';

export const endRedis = [['SIGTERM', 10_000]] as const;

/** Values in double quotes: Redis then takes spaces, and a backslash as an escape. */
const quoted = (value: string): string => `"${value.replaceAll(/["\\]/g, '\\$&')}"`;

function configuration(folder: string, port: number, password: string, durable: boolean): string {
  const lines = {
    bind: '127.0.0.1',
    port: String(port),
    requirepass: quoted(password),
    dir: quoted(folder),
    daemonize: 'no',
    save: '""',
    appendonly: durable ? 'yes' : 'no',
    appendfsync: 'everysec',
    // Queues and streams are not a cache: refuse rather than forget.
    'maxmemory-policy': 'noeviction',
    logfile: '""',
  };
  return Object.entries(lines)
    .map(([name, value]) => `${name} ${value}\n`)
    .join('');
}

const twoLines = (answer: Buffer): boolean => answer.toString('latin1').split('\r\n').length > 2;

/** Until its data are loaded it takes connections and passwords, but answers anything else with "-LOADING". */
async function isReady(port: number, password: string): Promise<boolean> {
  const answer = await ask(port, `AUTH ${password}\r\nPING\r\n`, twoLines);
  return answer?.toString('latin1') === '+OK\r\n+PONG\r\n';
}

/**
 * Starts Redis with its data in `<dataDir>/redis` and waits until it answers.
 * @throws LocalError with what is in the way.
 */
export async function startRedis(options: ServiceOptions): Promise<Service> {
  const { dataDir, env, durable = true } = options;
  const folder = join(dataDir, 'redis');
  for (const each of [folder, join(dataDir, 'logs')]) mkdirSync(each, { recursive: true, mode: 0o700 });
  const binary = await redisBinary(options);
  // Two servers on the same files would spoil them.
  const left = processesIn(folder, ['redis-server', 'valkey-server', 'redis-check-rdb', 'valkey-check-rdb']);
  for (const process of left) await endProcess(process, endRedis);

  const password = keptSecret(join(dataDir, 'redis.password'));
  const port = options.port ?? (await freePort());
  const file = join(dataDir, 'redis.conf');
  replaceFile(file, configuration(folder, port, password, durable));
  const log = join(dataDir, 'logs/redis.log');
  const command = { file: binary.file, args: [file], env: redisEnvironment(binary, env), cwd: '/' };
  const child = await spawnChild(command, { log, onSpawn: options.onSpawn });
  const stop = (hurry?: AbortSignal) => endProcess(child.identity, endRedis, hurry);
  try {
    await answering('Redis', child, log, () => isReady(port, password), options.signal);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `redis://:${password}@127.0.0.1:${port}`, port, child, stop };
}
