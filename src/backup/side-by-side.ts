/**
 * Works on what a sequence brings, so many at a time: a disk or S3 answers one while another is hashed.
 * @throws the first failure, once nobody works any more.
 */
export async function sideBySide<T>(
  items: AsyncIterable<T>,
  count: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  const failed = new AbortController();
  const hand = async (): Promise<void> => {
    while (!failed.signal.aborted) {
      const next = await iterator.next();
      if (next.done) return;
      await work(next.value);
    }
  };
  const hands = Array.from({ length: count }, () =>
    hand().catch((error: unknown) => {
      failed.abort();
      throw error;
    }),
  );
  const ended = await Promise.allSettled(hands);
  await iterator.return?.();
  for (const each of ended) if (each.status === 'rejected') throw each.reason;
}
