/** What every verb of the domain stands on: stores, queue, notifications, configuration. */
import type { ArtifactStore } from './artifact-store.ts';
import type { Config } from './config.ts';
import type { Database, Db } from './database.ts';
import type { Locks } from './locks.ts';
import type { Logger } from './logger.ts';
import type { Producer } from './queue.ts';
import type { Redis } from './redis.ts';

export interface Platform {
  readonly config: Config;
  readonly logger: Logger;
  readonly db: Db;
  readonly database: Database;
  readonly redis: Redis;
  readonly queue: Producer;
  readonly store: ArtifactStore;
  readonly locks: Locks;
  /** Signs the links that this installation hands out; the same for all its processes. */
  readonly linkKey: Buffer;
  /** Tells everybody that an entity changed; call it after the commit. Never throws. */
  announce(entity: 'version' | 'deployment' | 'rollout' | 'operation' | 'token' | 'ledger', id: string): void;
}
