import { expect, test } from 'vitest';
import { SameTurn } from '#src/platform/same-turn.ts';

test('the work is done once for all that ask in a turn, and each gets its answer', async () => {
  const turn = new SameTurn();
  let runs = 0;
  const ask = () => turn.share('key', async () => ({ run: ++runs }));
  const [first, second] = await Promise.all([ask(), Promise.resolve().then(ask)]);
  expect(runs).toBe(1);
  expect(second).toBe(first);
});

test('nobody joins work that has begun, and nobody waits for it', async () => {
  const turn = new SameTurn();
  const begun = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<string>();
  const first = turn.share('key', async () => {
    begun.resolve();
    return answer.promise;
  });
  await begun.promise;
  expect(await turn.share('key', async () => 'new')).toBe('new');
  answer.resolve('old');
  expect(await first).toBe('old');
});

test('another key is another question, and a failure is told to each', async () => {
  const turn = new SameTurn();
  const fail = async (): Promise<string> => {
    throw new Error('away');
  };
  const results = await Promise.allSettled([
    turn.share('a', fail),
    turn.share('a', fail),
    turn.share('b', async () => 'b'),
  ]);
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
  expect(await turn.share('a', async () => 'again')).toBe('again');
});
