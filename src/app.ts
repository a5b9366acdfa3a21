/** Opens what a process stands on, and closes it in order. */
import { changePublisher } from './events.ts';
import { openStore } from './platform/artifact-store.open.ts';
import type { Config } from './platform/config.ts';
import { openDatabase } from './platform/database.ts';
import { openLocks } from './platform/locks.ts';
import type { Logger } from './platform/logger.ts';
import type { Platform } from './platform/platform.ts';
import { openProducer } from './platform/queue.ts';
import { openRedis } from './platform/redis.ts';

export interface OpenPlatform {
  readonly platform: Platform;
  close(): Promise<void>;
}

/**
 * Connects to PostgreSQL (which must be migrated) and the artifact store; Redis may come later.
 * @throws Error when the store belongs to another database, or the database cannot be reached.
 */
export async function openPlatform(config: Config, logger: Logger): Promise<OpenPlatform> {
  const onError = (what: string) => (error: Error) => logger.warn({ err: error }, `${what}: connection lost`);
  const database = openDatabase({
    url: config.DATABASE_URL,
    pool: config.DATABASE_POOL,
    onError: onError('postgres'),
  });
  const installation = await database.db
    .selectFrom('installation')
    .select(['id', 'linkKey'])
    .executeTakeFirstOrThrow();
  const store = await openStore(config, {
    databaseId: installation.id,
    onFault: quietly(logger, 'artifact store'),
  });
  const redis = openRedis({ url: config.REDIS_URL, mode: 'fast', onError: quietly(logger, 'redis') });
  const queue = openProducer({
    redisUrl: config.REDIS_URL,
    prefix: config.REDIS_PREFIX,
    onError: quietly(logger, 'queue'),
  });
  const { announce } = changePublisher(redis, config.REDIS_PREFIX);
  const { linkKey } = installation;
  const locks = openLocks(config.DATABASE_URL);
  const platform: Platform = {
    config,
    logger,
    db: database.db,
    database,
    redis,
    queue,
    store,
    locks,
    linkKey,
    announce,
  };
  return {
    platform,
    close: async () => {
      await queue.close();
      await locks.close();
      redis.disconnect();
      await database.close();
    },
  };
}

/** A connection that is refused again and again says so once a minute, not ten times a second. */
export function quietly(logger: Logger, what: string): (error: Error) => void {
  let spokenAt = 0;
  return (error) => {
    if (Date.now() - spokenAt < 60_000) return;
    spokenAt = Date.now();
    logger.warn({ err: error }, `${what}: connection lost; trying again`);
  };
}
