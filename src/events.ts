/**
 * Notifications that something changed, over Redis: a hint to look, never the truth. Whoever watches looks again
 * after every reconnection and every few seconds, so a lost hint costs time, not correctness.
 */
import type { Logger } from './platform/logger.ts';
import { openRedis, type Redis } from './platform/redis.ts';

export const entities = ['version', 'deployment', 'rollout', 'operation', 'token', 'ledger'] as const;
export type Entity = (typeof entities)[number];

export interface ChangePublisher {
  /** Tells everybody that an entity changed; call it after the commit. Never throws. */
  announce(entity: Entity, id: string): void;
}

/** Publishes over a connection that fails fast. */
export function changePublisher(redis: Redis, prefix: string): ChangePublisher {
  return {
    announce: (entity, id) => {
      redis.publish(`${prefix}:changes`, `${entity}:${id}`).catch(() => undefined);
    },
  };
}

export interface ChangeFeed {
  /** Calls back at every change of one entity, and when changes may have been missed. Returns how to stop. */
  watch(entity: Entity, id: string, onChange: () => void): () => void;
  /** The same for all entities of a kind; the id is null when any may have changed. */
  watchAll(entity: Entity, onChange: (id: string | null) => void): () => void;
  close(): void;
}

const LOOK_AGAIN_MS = 5_000;

/** One subscription per process, shared by everybody in it. */
export function openChangeFeed(options: { url: string; prefix: string; logger: Logger }): ChangeFeed {
  const one = new Map<string, Set<() => void>>();
  const all = new Map<Entity, Set<(id: string | null) => void>>();
  const channel = `${options.prefix}:changes`;
  const redis = openRedis({
    url: options.url,
    mode: 'patient',
    onError: (error) => options.logger.debug({ err: error }, 'change feed: redis'),
  });

  function missed(): void {
    for (const watchers of one.values()) for (const watcher of watchers) watcher();
    for (const watchers of all.values()) for (const watcher of watchers) watcher(null);
  }
  redis.on('message', (_channel: string, message: string) => {
    const colon = message.indexOf(':');
    for (const watcher of one.get(message) ?? []) watcher();
    for (const watcher of all.get(message.slice(0, colon) as Entity) ?? []) watcher(message.slice(colon + 1));
  });
  redis.on('ready', missed);
  redis.subscribe(channel).catch((error: unknown) => options.logger.debug({ err: error }, 'change feed'));
  const timer = setInterval(missed, LOOK_AGAIN_MS).unref();

  return {
    watch: (entity, id, onChange) => enroll(one, `${entity}:${id}`, onChange),
    watchAll: (entity, onChange) => enroll(all, entity, onChange),
    close: () => {
      clearInterval(timer);
      redis.disconnect();
    },
  };
}

function enroll<K, W>(watchers: Map<K, Set<W>>, key: K, watcher: W): () => void {
  const set = watchers.get(key) ?? new Set();
  watchers.set(key, set.add(watcher));
  return () => {
    set.delete(watcher);
    if (set.size === 0 && watchers.get(key) === set) watchers.delete(key);
  };
}

/**
 * Changes of one entity as an async sequence of hints: the first at once, then one after each change. Changes
 * while the reader is busy fold into one.
 */
export async function* changesOf(
  feed: Pick<ChangeFeed, 'watch'>,
  entity: Entity,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<void> {
  let pending = true;
  let wake: (() => void) | undefined;
  const hint = (): void => {
    pending = true;
    wake?.();
  };
  const stop = feed.watch(entity, id, hint);
  signal.addEventListener('abort', hint, { once: true });
  try {
    while (!signal.aborted) {
      if (!pending) await new Promise<void>((resolve) => (wake = resolve));
      pending = false;
      if (!signal.aborted) yield;
    }
  } finally {
    stop();
    signal.removeEventListener('abort', hint);
  }
}
