import type { GraphQLResolveInfo } from 'graphql';
import { isDatabaseAway } from '#src/platform/database.ts';

/**
 * Reads a row at every hint and yields it when it differs from what was yielded before; ends after `isOver`.
 * Hints that come while nobody reads fold into one, so a slow reader costs no memory. While the database is away
 * nothing is yielded: the next hint comes within seconds.
 */
export async function* watched<T>(
  info: GraphQLResolveInfo,
  hints: (signal: AbortSignal) => AsyncIterable<void>,
  read: () => Promise<T>,
  isOver: (value: T) => boolean,
): AsyncGenerator<T, void, void> {
  const ending = new AbortController();
  const outer = info.getAbortSignal();
  const abort = (): void => ending.abort();
  outer?.addEventListener('abort', abort, { once: true });
  let before: string | undefined;
  try {
    for await (const _hint of hints(ending.signal)) {
      const value = await read().catch(whileAway);
      if (value === undefined) continue;
      const now = JSON.stringify(value, (_key, part: unknown) =>
        typeof part === 'bigint' ? String(part) : part,
      );
      if (now === before) continue;
      before = now;
      yield value;
      if (isOver(value)) return;
    }
  } finally {
    ending.abort();
    outer?.removeEventListener('abort', abort);
  }
}

/** @throws any other error */
function whileAway(error: unknown): undefined {
  if (!isDatabaseAway(error)) throw error;
}
