/** A worker: takes jobs, and looks after the replicas of this host. Run as many as needed. */
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openPlatform, quietly } from '#src/app.ts';
import { operationPayload, jobOf, sweepJob } from '#src/jobs.ts';
import { runOperation } from '#src/operation/operation.ts';
import { openReconciler } from '#src/deployment/reconciler.ts';
import { reconcile } from '#src/deployment/reconcile.ts';
import { observe } from '#src/deployment/observe.ts';
import { ConfigError, loadConfig, type Config } from '#src/platform/config.ts';
import { newId } from '#src/platform/id.ts';
import { createLogger } from '#src/platform/logger.ts';
import { migrate } from '#src/platform/migrate.ts';
import { openConsumer, queueNames, type Delivery } from '#src/platform/queue.ts';
import { ReplicaKeeper } from '#src/replica/keeper.ts';
import { openDriver } from '#src/rollout/driver.ts';
import type { WorkerContext } from './context.ts';
import { handlers } from './handlers.ts';
import { sweep } from './maintenance/sweep.ts';

const RESCHEDULE_MS = 5_000;
/** How long a stop waits for the jobs that run. */
const FINISH_MS = 10_000;

async function main(config: Config): Promise<void> {
  // For the processes that it starts, one for each inspection.
  enableCompileCache(join(config.DATA_DIR, 'cache/code'));
  const logger = createLogger('worker', config.LOG_LEVEL);
  await migrate(config.DATABASE_URL);
  const { platform, close } = await openPlatform(config, logger);
  const id = newId();
  const keeper: ReplicaKeeper = new ReplicaKeeper(platform, id, async (deploymentId) => {
    await observe(platform, deploymentId);
    if (await reconcile(platform, deploymentId)) keeper.hurry();
  });
  const context: WorkerContext = { platform, keeper };
  keeper.start();
  const reconciler = openReconciler(platform, keeper);
  const driver = openDriver(platform, () => keeper.hurry());

  async function handle(delivery: Delivery): Promise<void> {
    if (delivery.name === sweepJob.name) return sweep(context);
    const job = jobOf(delivery.name);
    if (!job)
      throw new Error(`No handler for job ${delivery.name}: this worker is older than who queued it.`);
    const { operationId } = operationPayload.parse(delivery.payload);
    await runOperation(platform, id, operationId, handlers[job.name](context));
  }
  const queueOptions = {
    redisUrl: config.REDIS_URL,
    prefix: config.REDIS_PREFIX,
    onError: quietly(logger, 'queue'),
    concurrency: config.WORKER_CONCURRENCY,
    lockSeconds: config.OPERATION_LEASE_SECONDS,
  };
  const consumers = queueNames.map((name) => openConsumer(name, queueOptions, handle));
  // Not once but again and again: a Redis that was emptied has forgotten it.
  const schedule = (): void => {
    platform.queue.every(sweepJob.queue, sweepJob.name, sweepJob.everyMs).catch(() => undefined);
  };
  schedule();
  const timer = setInterval(schedule, RESCHEDULE_MS);

  let stopping = false;
  const stop = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    logger.info('worker stopping');
    clearInterval(timer);
    const finished = Promise.allSettled(consumers.map((consumer) => consumer.close()));
    // A job that takes longer is taken over, once its claim falls silent.
    await Promise.race([finished, delay(FINISH_MS)]);
    await driver.close();
    await reconciler.close();
    await keeper.close();
    await close();
    process.exit(0);
  };
  process.on('unhandledRejection', (error) => logger.error({ err: error }, 'unhandled rejection'));
  process.on('SIGTERM', () => void stop());
  process.on('SIGINT', () => void stop());
  logger.info({ worker: id, host: config.HOST_ID }, 'worker started');
}

try {
  await main(loadConfig());
} catch (error) {
  process.stderr.write(`${error instanceof ConfigError ? error.message : String((error as Error).stack)}\n`);
  process.exit(1);
}
