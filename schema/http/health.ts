/** Health: `live` says that the process answers, `ready` that what it needs does, too. */
import type { ServerResponse } from 'node:http';
import { sql } from 'kysely';
import type { Platform } from '#src/platform/platform.ts';
import { sendJson } from './request.ts';

const LIMIT_MS = 1_000;

function within<T>(work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('no answer within a second')), LIMIT_MS);
  return Promise.race([work, late.promise]).finally(() => clearTimeout(timer));
}

/** Answers 200 when every part is ready, else 503; the body says which is not. */
export async function sendReadiness(res: ServerResponse, platform: Platform): Promise<void> {
  const parts = {
    postgres: sql`select 1`.execute(platform.db),
    redis: platform.redis.ping(),
    artifactStore: platform.store.check(),
  };
  const entries = await Promise.all(
    Object.entries(parts).map(async ([name, work]) => {
      const ready = await within<unknown>(work).then(
        () => true,
        () => false,
      );
      return [name, ready ? 'ready' : 'not ready'] as const;
    }),
  );
  const ready = entries.every(([, state]) => state === 'ready');
  sendJson(res, ready ? 200 : 503, { ready, parts: Object.fromEntries(entries) });
}
