/** A PostgreSQL and a Redis of a test's own, to be stopped and started again at the same address. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { startPostgres } from '#src/local/postgres.ts';
import { endRecorded, recordProcess } from '#src/local/process-record.ts';
import { startRedis } from '#src/local/redis.ts';
import type { Service, ServiceOptions } from '#src/local/service.ts';
import { newFolder } from '#test/helpers/services.ts';

const starts = { postgres: startPostgres, redis: startRedis };

export class OwnService {
  readonly #role: 'postgres' | 'redis';
  readonly #folder = newFolder();
  #service: Service | undefined;

  constructor(role: 'postgres' | 'redis') {
    this.#role = role;
    mkdirSync(join(this.#folder, 'run'));
  }

  /** The same at every start. */
  get url(): string {
    if (!this.#service) throw new Error(`${this.#role} has not been started.`);
    return this.#service.url;
  }

  async start(): Promise<void> {
    const options: ServiceOptions = {
      dataDir: this.#folder,
      env: process.env,
      durable: this.#role === 'postgres',
      port: this.#service?.port,
      onSpawn: (identity) => recordProcess(this.#folder, this.#role, identity),
    };
    this.#service = await starts[this.#role](options);
  }

  /** Ends it at once: `SIGQUIT` is PostgreSQL's immediate shutdown, without telling its clients. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#service?.child;
    child?.process.kill(signal);
    await child?.exited;
  }

  /** Deletes what a service that has ended kept. */
  wipe(): void {
    rmSync(join(this.#folder, this.#role), { recursive: true });
  }

  /** Ends it and removes its folder. */
  async remove(): Promise<void> {
    await endRecorded(this.#folder);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
