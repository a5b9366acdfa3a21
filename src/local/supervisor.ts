/** `npm start`: brings up everything that a machine needs, keeps it up, and takes it down in order. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, loadEnvironment } from '../platform/config.ts';
import { UnfinishedRestoreError } from '../platform/migrate.ts';
import { prepareDataFolder } from './data-folder.ts';
import type { SeedDemo } from './demo.ts';
import { Fleet, type FleetOptions } from './fleet.ts';
import { LocalError, reason } from './local-error.ts';
import { describeHolder, takeLock, type Lock } from './lock.ts';
import { choosePort } from './port.ts';
import { endRecorded } from './process-record.ts';
import { screen } from './screen.ts';

export interface SupervisorOptions {
  /** The surrounding environment. */
  readonly env: NodeJS.ProcessEnv;
  readonly out: (line: string) => void;
  /** Fires when it shall stop. */
  readonly stop: AbortSignal;
  /** Fires when it shall not wait for anybody while stopping. */
  readonly hurry: AbortSignal;
  readonly programs: FleetOptions['programs'];
  readonly migrate: (databaseUrl: string) => Promise<unknown>;
  readonly seedDemo: SeedDemo;
}

type Environment = FleetOptions['environment'];

/** The work's outcome, or a rejection as soon as the stop is wanted: nothing has to wait for a start that nobody wants. */
async function unless<Result>(stop: AbortSignal, work: Promise<Result>): Promise<Result> {
  const stopped = new Promise<never>((_, reject) => {
    const refuse = (): void => reject(new Error('stopped while starting'));
    if (stop.aborted) refuse();
    else stop.addEventListener('abort', refuse, { once: true });
  });
  return Promise.race([work, stopped]);
}

const stopped = (stop: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (stop.aborted) resolve();
    else stop.addEventListener('abort', () => resolve(), { once: true });
  });

/** Ends what a killed start left. Replicas stay: they answer on, and the new worker takes them over. */
async function cleanUp(dataDir: string, out: (line: string) => void): Promise<void> {
  const ended = await endRecorded(dataDir);
  if (ended.length > 0)
    out(`The last start was not stopped in order; ended what it had left: ${ended.join(', ')}.`);
}

async function migrated(options: SupervisorOptions, databaseUrl: string): Promise<void> {
  try {
    await options.migrate(databaseUrl);
  } catch (error) {
    if (error instanceof UnfinishedRestoreError) throw new LocalError(error.message);
    throw new LocalError(`The database cannot be brought to this version's schema: ${reason(error)}`);
  }
}

const place = (port: number | undefined, name: string): string =>
  port ? `127.0.0.1:${port}` : `from ${name}`;

async function bringUp(
  options: SupervisorOptions,
  env: Environment,
  fleet: Fleet,
  lock: Lock,
): Promise<void> {
  const { out, stop } = options;
  const { postgres, redis } = await unless(stop, fleet.startServices());
  await unless(stop, migrated(options, postgres.url));
  const url = await unless(stop, fleet.startPrograms(postgres.url, redis.url));
  lock.announce(url);
  const token = env.ADMIN_TOKEN_FILE && readFileSync(env.ADMIN_TOKEN_FILE, 'utf8').trim();
  try {
    await unless(stop, options.seedDemo({ url, token, signal: stop, log: out }));
  } catch (error) {
    if (stop.aborted) throw error;
    out(`The demo is not complete: ${reason(error)} The next start tries again.`);
  }
  out(
    screen({
      url,
      dataDir: env.DATA_DIR,
      processes: [
        { name: 'api', place: new URL(url).host, pid: fleet.pid('api') },
        { name: 'worker', place: '', pid: fleet.pid('worker') },
        { name: 'PostgreSQL', place: place(postgres.port, 'DATABASE_URL'), pid: fleet.pid('postgres') },
        { name: 'Redis', place: place(redis.port, 'REDIS_URL'), pid: fleet.pid('redis') },
      ],
      predict: join(import.meta.dirname, 'demo/predict.json'),
      tokenFile: env.ADMIN_TOKEN_FILE,
      // npm changes to the project's folder, and tells where the person stands.
      folder: options.env['INIT_CWD'] ?? process.cwd(),
    }),
  );
}

async function superviseLocked(options: SupervisorOptions, env: Environment, lock: Lock): Promise<number> {
  const { out, stop, hurry } = options;
  await cleanUp(env.DATA_DIR, out);
  const insistsOnPort = Boolean(options.env['PORT']);
  // Known at once, so said at once; the port itself is chosen when the api starts.
  await choosePort(env.HOST, env.PORT, insistsOnPort);
  out('Starting Modelarium.');
  const { env: surroundings, programs } = options;
  const fleet = new Fleet({ environment: env, surroundings, insistsOnPort, log: out, programs });
  let failure: unknown;
  try {
    await bringUp(options, env, fleet, lock);
    await stopped(stop);
  } catch (error) {
    failure = error;
  }
  if (stop.aborted) out('\nStopping.');
  await fleet.stop(hurry);
  await endRecorded(env.DATA_DIR); // Forgets them; none is left.
  if (failure !== undefined && !stop.aborted) throw failure;
  out(`Stopped. The data stay in ${env.DATA_DIR}.`);
  return 0;
}

/** Supervises until `stop` fires. Answers with the exit code; what a person can mend is said, not thrown. */
export async function supervise(options: SupervisorOptions): Promise<number> {
  const { out } = options;
  try {
    const env = loadEnvironment(options.env);
    prepareDataFolder(env.DATA_DIR);
    const lock = await takeLock(env.DATA_DIR);
    if ('heldBy' in lock) {
      out(`${describeHolder(lock.heldBy)}\nFor a second one beside it, set DATA_DIR to another folder.`);
      return 1;
    }
    try {
      return await superviseLocked(options, env, lock);
    } finally {
      lock.release();
    }
  } catch (error) {
    if (!(error instanceof LocalError || error instanceof ConfigError)) throw error;
    out(error.message);
    return 1;
  }
}
