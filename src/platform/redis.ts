/** The only importer of ioredis. */
import { Redis } from 'ioredis';

export type { Redis };

export interface RedisOptions {
  readonly url: string;
  /**
   * `fast`: a command fails at once while Redis is away (what may be lost: motion).
   * `patient`: commands wait for Redis to come back (blocking readers, BullMQ workers).
   */
  readonly mode: 'fast' | 'patient';
  readonly onError?: (error: Error) => void;
}

/** One connection; it reconnects by itself, at most a second apart. */
export function openRedis(options: RedisOptions): Redis {
  const redis = new Redis(options.url, {
    maxRetriesPerRequest: options.mode === 'fast' ? 0 : null,
    enableOfflineQueue: options.mode === 'patient',
    autoResubscribe: true,
    connectTimeout: 2_000,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 5), 1_000),
    ...(options.mode === 'fast' ? { commandTimeout: 1_000 } : {}),
  });
  redis.on('error', (error) => options.onError?.(error));
  return redis;
}

/** Resolves once the connection can take commands; at once when it can already. @throws Error when that takes longer. */
export function whenReady(redis: Redis, milliseconds = 60_000): Promise<void> {
  if (redis.status === 'ready') return Promise.resolve();
  return new Promise((resolve, reject) => {
    const ready = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(() => {
      redis.off('ready', ready);
      reject(new Error('Redis is away.'));
    }, milliseconds);
    redis.once('ready', ready);
  });
}
