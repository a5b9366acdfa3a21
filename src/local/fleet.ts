/** All processes of one `npm start`, and the order in which they come and go. */
import { join } from 'node:path';
import type { loadEnvironment } from '../platform/config.ts';
import type { Child } from './child.ts';
import { hostId } from './data-folder.ts';
import { KeptProcess, type Launch } from './kept-process.ts';
import { choosePort, isFree } from './port.ts';
import { startPostgres } from './postgres.ts';
import { endReplicas, recordProcess, roles, type ProcessRole } from './process-record.ts';
import { launchProgram, launchUntilReady, type ProgramOptions } from './program.ts';
import { startRedis } from './redis.ts';
import type { Service, ServiceOptions } from './service.ts';

export interface FleetOptions {
  readonly environment: ReturnType<typeof loadEnvironment>;
  /** The surrounding environment; children get it too. */
  readonly surroundings: NodeJS.ProcessEnv;
  /** Whether somebody asked for PORT: then no other one will do. */
  readonly insistsOnPort: boolean;
  readonly log: (line: string) => void;
  /** Files that Node runs. */
  readonly programs: Readonly<Record<'api' | 'worker', string>>;
}

/** Where a service answers: its URL, and its port when it is ours. */
interface Found {
  readonly url: string;
  readonly port?: number;
}

export class Fleet {
  readonly #options: FleetOptions;
  #port: number | undefined;
  readonly #kept = new Map<ProcessRole, KeptProcess>();

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  get dataDir(): string {
    return this.#options.environment.DATA_DIR;
  }

  /** The pid of a role's process, while there is one. */
  pid(role: ProcessRole): number | undefined {
    return this.#kept.get(role)?.identity?.pid;
  }

  /** PostgreSQL and Redis, side by side; one that the environment names is taken as it is. */
  async startServices(): Promise<{ postgres: Found; redis: Found }> {
    const { DATABASE_URL, REDIS_URL } = this.#options.environment;
    const [postgres, redis] = await Promise.all([
      DATABASE_URL ? { url: DATABASE_URL } : this.#service('postgres', startPostgres),
      REDIS_URL ? { url: REDIS_URL } : this.#service('redis', startRedis),
    ]);
    return { postgres, redis };
  }

  /** Starts a service and keeps it, on the same port for as long as this process lives: others hold its URL. */
  async #service(
    role: 'postgres' | 'redis',
    start: (options: ServiceOptions) => Promise<Service>,
  ): Promise<Found> {
    const { surroundings: env, log } = this.#options;
    let first: Service | undefined;
    const onSpawn = this.#recorder(role);
    await this.#keep(role, async (signal) => {
      const service = await start({ dataDir: this.dataDir, env, port: first?.port, onSpawn, signal, log });
      first ??= service;
      return service.child;
    });
    if (!first) throw new Error(`${role} was started but is not there`);
    return { url: first.url, port: first.port };
  }

  /** The worker and the api, side by side. Answers with the api's URL once it is ready. */
  async startPrograms(databaseUrl: string, redisUrl: string): Promise<string> {
    const env = this.#programEnvironment(databaseUrl, redisUrl);
    let url = '';
    await Promise.all([
      this.#keep('worker', (signal) => launchProgram(this.#program('worker', env, signal))),
      this.#keep('api', async (signal) => {
        const up = await this.#launchApi(env, signal);
        url = up.url;
        return up.child;
      }),
    ]);
    return url;
  }

  #program(role: 'api' | 'worker', env: NodeJS.ProcessEnv, signal: AbortSignal): ProgramOptions {
    const file = this.#options.programs[role];
    return { role, file, env, dataDir: this.dataDir, signal, onSpawn: this.#recorder(role) };
  }

  /** Once it has answered on a port the api stays there; before, it moves on where somebody else was faster. */
  async #launchApi(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<{ child: Child; url: string }> {
    const { environment, insistsOnPort, log } = this.#options;
    const { HOST, PORT } = environment;
    for (;;) {
      const port = this.#port ?? (await choosePort(HOST, PORT, insistsOnPort));
      try {
        const up = await launchUntilReady(this.#program('api', { ...env, PORT: String(port) }, signal));
        if (this.#port === undefined && PORT !== 0 && port !== PORT)
          log(`Port ${PORT} is taken; using ${port}.`);
        this.#port = port;
        return up;
      } catch (error) {
        const overtaken = this.#port === undefined && !insistsOnPort && !(await isFree(HOST, port));
        if (!overtaken || signal.aborted) throw error;
      }
    }
  }

  #programEnvironment(databaseUrl: string, redisUrl: string): NodeJS.ProcessEnv {
    const { environment, surroundings } = this.#options;
    return {
      ...surroundings,
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      DATA_DIR: this.dataDir,
      ARTIFACT_STORE: environment.ARTIFACT_STORE ?? join(this.dataDir, 'artifacts'),
      HOST: environment.HOST,
      HOST_ID: environment.HOST_ID ?? hostId(this.dataDir),
    };
  }

  #recorder(role: ProcessRole): (identity: Parameters<typeof recordProcess>[2]) => void {
    return (identity) => recordProcess(this.dataDir, role, identity);
  }

  async #keep(role: ProcessRole, launch: Launch): Promise<void> {
    const kept = new KeptProcess(role, launch, this.#options.log);
    this.#kept.set(role, kept);
    await kept.start();
  }

  /**
   * Ends everything, each role after those that use it; replicas between the worker, which would replace them, and
   * the services. `hurry` skips the polite waiting from when it fires.
   */
  async stop(hurry?: AbortSignal): Promise<void> {
    for (const role of roles) {
      await this.#kept.get(role)?.stop(hurry);
      if (role === 'worker') await endReplicas(this.dataDir, hurry);
    }
  }
}
