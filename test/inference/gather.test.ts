/** When calls go out to their replicas. */
import { expect, test, vi, type Mock } from 'vitest';
import { sendSoon, type Sender } from '#src/inference/gather.ts';

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** One whose calls that wait are as many as said, look after look. */
function sender(...counts: number[]): Sender & { readonly send: Mock<() => void> } {
  let looks = 0;
  return { shareable: () => counts[Math.min(looks++, counts.length - 1)]!, send: vi.fn<() => void>() };
}

/** Turns of the event loop until it is sent. */
async function turnsUntilSent(asked: ReturnType<typeof sender>): Promise<number> {
  for (let turns = 0; ; turns++) {
    if (asked.send.mock.calls.length > 0) return turns;
    await turn();
  }
}

test.each<[string, number[], number]>([
  ['a lone call', [1], 1],
  ['calls that share with nobody', [0], 1],
  ['several, while more arrive, but no longer than two further looks', [2, 3, 4, 5, 6], 3],
  ['several, until no more arrive', [2, 2, 9], 2],
  ['as many as are worth an exchange', [32, 40], 1],
])('%s', async (_what, counts, turns) => {
  const asked = sender(...counts);
  sendSoon(asked);
  expect(asked.send).not.toHaveBeenCalled();
  expect(await turnsUntilSent(asked)).toBe(turns);
  await turn();
  expect(asked.send).toHaveBeenCalledTimes(1);
});

test('those of all replicas go out together', async () => {
  const [one, other] = [sender(1, 1, 1), sender(1, 2, 2)];
  sendSoon(one);
  sendSoon(other);
  await turn();
  expect([one, other].map(({ send }) => send.mock.calls.length)).toEqual([0, 0]);
  await turnsUntilSent(one);
  expect(other.send).toHaveBeenCalledTimes(1);
});
