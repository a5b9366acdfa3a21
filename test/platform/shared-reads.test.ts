import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { SharedReads } from '#src/platform/shared-reads.ts';

test('one read for all that ask in a turn, and its answer to each', async () => {
  const reads = new SharedReads();
  let runs = 0;
  const ask = () => reads.share('key', async () => ({ run: ++runs }));
  const [first, second] = await Promise.all([ask(), Promise.resolve().then(ask)]);
  expect(runs).toBe(1);
  expect(second).toBe(first);
});

test('nobody joins a read that has begun; those who come meanwhile share the next', async () => {
  const reads = new SharedReads();
  const begun = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<string>();
  const first = reads.share('key', async () => {
    begun.resolve();
    return answer.promise;
  });
  await begun.promise;
  let runs = 0;
  const later = Array.from({ length: 3 }, () => reads.share('key', async () => `new ${++runs}`));
  await setImmediate();
  expect(runs).toBe(0);
  answer.resolve('old');
  expect(await first).toBe('old');
  expect(await Promise.all(later)).toEqual(['new 1', 'new 1', 'new 1']);
  expect(await reads.share('key', async () => `new ${++runs}`)).toBe('new 2');
});

test('other keys are other reads, and a failure is told to each', async () => {
  const reads = new SharedReads();
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
