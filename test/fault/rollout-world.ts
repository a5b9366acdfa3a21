/** A stack whose rollouts can be struck: with a PostgreSQL and a Redis of its own, an api beside the one that is killed. */
import { openDatabase } from '#src/platform/database.ts';
import { openRedis, whenReady } from '#src/platform/redis.ts';
import { decodeBatch, shardOf, streamKey } from '#src/metric/stream.ts';
import { MetricWindow } from '#src/metric/window.ts';
import { listReplicas } from '#src/replica/replica.queries.ts';
import { findRollouts, type RolloutRow } from '#src/rollout/rollout.queries.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { registerVersions } from '#test/rollout/rolling.ts';
import type { SteadyLoad } from './full/steady-load.ts';
import { OwnService } from './own-services.ts';

export const faults = ['worker', 'api', 'replica', 'redis', 'postgres'] as const;
export type Fault = (typeof faults)[number];

/** How long something is away, in seconds of traffic. */
const AWAY_SECONDS = 1;

export class World {
  readonly stack: Stack;
  /** Global ids; their numbers are 1, 2, 3. */
  readonly versions: Readonly<Record<'v2' | 'v3' | 'v4-wrong', string>>;
  readonly #postgres: OwnService;
  readonly #redis: OwnService;

  private constructor(
    stack: Stack,
    versions: World['versions'],
    services: { readonly postgres: OwnService; readonly redis: OwnService },
  ) {
    this.stack = stack;
    this.versions = versions;
    this.#postgres = services.postgres;
    this.#redis = services.redis;
  }

  static async start(): Promise<World> {
    const services = { postgres: new OwnService('postgres'), redis: new OwnService('redis') };
    await Promise.all([services.postgres.start(), services.redis.start()]);
    const env = { DATABASE_URL: services.postgres.url, REDIS_URL: services.redis.url };
    const stack = await startStack({ apis: 2, env });
    const versions = await registerVersions(stack, 'cancer', ['v2', 'v3', 'v4-wrong']);
    return new World(stack, versions, services);
  }

  async close(): Promise<void> {
    await this.stack.stop();
    await Promise.all([this.#postgres.remove(), this.#redis.remove()]);
  }

  /**
   * Strikes, and brings back what does not come back by itself.
   * @param id the rollout's inner id.
   * @returns the rollout's state when it was struck.
   */
  async strike(fault: Fault, id: string, load: SteadyLoad): Promise<string> {
    const { worker, apis } = this.stack;
    const state = async (): Promise<string> => (await this.row(id)).state;
    if (fault === 'postgres') {
      const struck = await state();
      await this.#postgres.end('SIGQUIT');
      await load.seconds(AWAY_SECONDS);
      await this.#postgres.start();
      return struck;
    }
    if (fault === 'replica') {
      process.kill(await this.#candidate(id), 'SIGKILL');
      return state();
    }
    if (fault === 'redis') {
      await this.#redis.end('SIGKILL');
      this.#redis.wipe();
    } else await (fault === 'worker' ? worker : apis[1]!).kill();
    const struck = await state();
    await load.seconds(AWAY_SECONDS);
    await (fault === 'redis' ? this.#redis : fault === 'worker' ? worker : apis[1]!).start();
    return struck;
  }

  /** Lets the candidate's replica stand still while it loads, until the function that is returned is called. */
  async hold(id: string): Promise<() => void> {
    const pid = await this.#candidate(id);
    process.kill(pid, 'SIGSTOP');
    return () => process.kill(pid, 'SIGCONT');
  }

  /** The process of the candidate's only replica, as soon as there is one. */
  async #candidate(id: string): Promise<number> {
    const { candidateArmId, deploymentId } = await this.row(id);
    const query = 'subscription ($id: ID!) { deployment(id: $id) { arms { replicas { state } } } }';
    const global = Buffer.from(`Deployment:${deploymentId}`).toString('base64');
    for await (const _ of this.stack.subscribe(query, { id: global })) {
      const replicas = await this.#read(({ db }) => listReplicas(db, [deploymentId]));
      const pid = replicas.find(({ armId }) => armId === candidateArmId)?.pid;
      if (pid) return pid;
    }
    throw new Error('The deployment is gone.');
  }

  async row(id: string): Promise<RolloutRow> {
    const [row] = await this.#read(({ db }) => findRollouts(db, [id]));
    if (!row) throw new Error(`There is no rollout ${id}.`);
    return row;
  }

  async #read<T>(work: (database: ReturnType<typeof openDatabase>) => Promise<T>): Promise<T> {
    const database = this.stack.openDatabase();
    try {
      return await work(database);
    } finally {
      await database.close();
    }
  }

  /** What Redis holds of the candidate's requests, from a time up to where the rollout has read. */
  async told({ deploymentId, candidateArmId, cursor }: RolloutRow, since: number): Promise<MetricWindow> {
    const redis = openRedis({ url: this.stack.redisUrl, mode: 'patient' });
    const sum = new MetricWindow();
    try {
      await whenReady(redis);
      const key = streamKey(this.stack.redisPrefix, shardOf(deploymentId));
      for (const [, fields] of cursor === null ? [] : await redis.xrange(key, '-', cursor)) {
        const { second, windows } = decodeBatch(fields);
        for (const { arm, window } of windows)
          if (arm.armId === candidateArmId && second * 1000 >= since) sum.addBeside(window);
      }
    } finally {
      redis.disconnect();
    }
    return sum;
  }
}
