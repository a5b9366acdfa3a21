import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { TurnReads } from '#src/platform/turn-reads.ts';

test('one read for all that ask in a turn, and its answer to each', async () => {
  const reads = new TurnReads();
  let runs = 0;
  const ask = () => reads.share('key', async () => ({ run: ++runs }));
  const [first, second] = await Promise.all([ask(), Promise.resolve().then(ask)]);
  expect(runs).toBe(1);
  expect(second).toBe(first);
});

test('nobody joins a read that has begun', async () => {
  const reads = new TurnReads();
  const begun = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<string>();
  const first = reads.share('key', async () => {
    begun.resolve();
    return answer.promise;
  });
  await begun.promise;
  const second = reads.share('key', async () => 'new');
  expect(await second).toBe('new');
  answer.resolve('old');
  expect(await first).toBe('old');
});

test('other keys are other reads, and a failure is told to each', async () => {
  const reads = new TurnReads();
  const fail = async (): Promise<string> => {
    throw new Error('away');
  };
  const results = await Promise.allSettled([
    reads.share('a', fail),
    reads.share('a', fail),
    reads.share('b', async () => 'b'),
  ]);
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
  await setImmediate();
  expect(await reads.share('a', async () => 'again')).toBe('again');
});
