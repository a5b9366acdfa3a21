/** The only importer of bullmq. A queue only delivers: payloads carry ids, rows carry the truth. */
import { setTimeout as delay } from 'node:timers/promises';
import { Queue, Worker, type Job } from 'bullmq';
import { openRedis, whenReady, type Redis } from './redis.ts';

/** One queue per class of resource, so that long work of one kind never starves another. */
export const queueNames = ['io', 'maintenance'] as const;
export type QueueName = (typeof queueNames)[number];

export interface QueueOptions {
  readonly redisUrl: string;
  readonly prefix: string;
  readonly onError: (error: Error) => void;
}

/** The sending side. */
export interface Producer {
  /** Enqueues; a job of the same id that waits or runs already makes it a no-op. Fails within two seconds without Redis. */
  add(queue: QueueName, name: string, id: string, payload: object): Promise<void>;
  /** Sees to it that a job recurs, also after Redis lost everything. */
  every(queue: QueueName, name: string, milliseconds: number): Promise<void>;
  close(): Promise<void>;
}

// Ids are free again as soon as a job has ended: the sweep may enqueue the same operation once more.
const forget = { removeOnComplete: true, removeOnFail: true };

/** Opens the sending side on one connection of its own. */
export function openProducer(options: QueueOptions): Producer {
  const connection = openRedis({ url: options.redisUrl, mode: 'fast', onError: options.onError });
  const queues = new Map(queueNames.map((name) => [name, openQueue(name, connection, options)]));
  async function get(name: QueueName): Promise<Queue> {
    await whenReady(connection, READY_MS);
    return queues.get(name) as Queue;
  }
  return {
    add: async (queue, name, id, payload) => {
      await (await get(queue)).add(name, payload, { jobId: id });
    },
    every: async (queue, name, milliseconds) => {
      await (
        await get(queue)
      ).upsertJobScheduler(name, { every: milliseconds }, { name, data: {}, opts: forget });
    },
    close: async () => {
      await Promise.allSettled([...queues.values()].map((queue) => queue.close()));
      connection.disconnect();
    },
  };
}

/** How long a connection that is being made, or made again, is waited for. */
const READY_MS = 1_000;

function openQueue(name: QueueName, connection: Redis, options: QueueOptions): Queue {
  const queue = new Queue(name, {
    connection,
    prefix: `{${options.prefix}}`,
    skipWaitingForReady: true,
    // Asked for once; a queue whose question was lost with the connection would refuse everything for ever.
    skipVersionCheck: true,
    defaultJobOptions: forget,
  });
  queue.on('error', options.onError);
  return queue;
}

export interface Delivery {
  readonly name: string;
  readonly id: string;
  readonly payload: unknown;
}

const TELL_MS = 1_000;

export interface Consumer {
  /** Takes no new job and waits for those that run. */
  close(): Promise<void>;
}

/**
 * The receiving side of one queue.
 * A job whose worker died is handed out again after about `lockSeconds` (its row decides whether it still runs).
 */
export function openConsumer(
  queue: QueueName,
  options: QueueOptions & { readonly concurrency: number; readonly lockSeconds: number },
  handle: (delivery: Delivery) => Promise<void>,
): Consumer {
  const connection: Redis = openRedis({ url: options.redisUrl, mode: 'patient', onError: options.onError });
  const running = new Set<Promise<void>>();
  const worker = new Worker(
    queue,
    (job: Job) => {
      const work = handle({ name: job.name, id: job.id ?? '', payload: job.data as unknown }).finally(() =>
        running.delete(work),
      );
      running.add(work);
      return work;
    },
    {
      connection,
      prefix: `{${options.prefix}}`,
      concurrency: options.concurrency,
      lockDuration: options.lockSeconds * 1000,
      stalledInterval: options.lockSeconds * 500,
      maxStalledCount: 10,
    },
  );
  worker.on('error', options.onError);
  return {
    close: async () => {
      // While Redis is away a worker would not close: whether a job has ended is in its row, Redis need not hear of it.
      const told = worker.close();
      await Promise.allSettled(running);
      await Promise.race([told, delay(TELL_MS)]);
      connection.disconnect();
    },
  };
}
