/** What is kept of too much: within bounds whatever comes, everything accounted for, and everybody with the same chance. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isOver, partitionOf } from '#src/prediction/partition.ts';
import { Sample } from '#src/prediction/log.sample.ts';

/** Offers items as the log does. */
function offer(sample: Sample<number>, item: number, bytes: number, dropped: number[]): void {
  const number = sample.draw();
  if (number === undefined) dropped.push(item);
  else sample.hold(item, bytes, number);
}

const step = fc.oneof(
  { weight: 8, arbitrary: fc.nat(100) },
  { weight: 1, arbitrary: fc.constantFrom('take' as const, 'fail' as const) },
);

test('each item is taken once, dropped once, or held; never more is taken than may be', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.nat(20), fc.nat(400), (steps, items, bytes) => {
      const dropped: number[] = [];
      const taken: number[] = [];
      const sample = new Sample<number>({ items, bytes }, (item) => dropped.push(item));
      const take = (): void => {
        const { kept } = sample.take();
        expect(kept.length).toBeLessThanOrEqual(items);
        expect(kept.reduce((sum, each) => sum + each.bytes, 0)).toBeLessThanOrEqual(bytes);
        taken.push(...kept.map(({ item }) => item));
      };
      let offered = 0;
      for (const each of steps) {
        if (each === 'take') take();
        else if (each === 'fail') sample.putBack(sample.take());
        else offer(sample, offered++, each, dropped);
      }
      take();
      expect([...taken, ...dropped].toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: offered }, (_, index) => index),
      );
    }),
  );
});

test('with room for all nothing is dropped, also when a write fails', () => {
  const sample = new Sample<number>({ items: 10, bytes: 10 }, () => expect.unreachable());
  for (let item = 0; item < 5; item++) offer(sample, item, 1, []);
  sample.putBack(sample.take());
  for (let item = 5; item < 10; item++) offer(sample, item, 1, []);
  expect(sample.take().kept).toHaveLength(10);
});

test('when it came and how large it is does not matter', () => {
  const counts = Array.from({ length: 100 }, () => 0);
  const rounds = 4_000;
  for (let round = 0; round < rounds; round++) {
    const sample = new Sample<number>({ items: 10, bytes: 1_000 }, () => undefined);
    // The second half is ten times as large; in the middle a write fails.
    for (let item = 0; item < 100; item++) {
      if (item === 50) sample.putBack(sample.take());
      offer(sample, item, item < 50 ? 1 : 10, []);
    }
    for (const { item } of sample.take().kept) counts[item]! += 1;
  }
  // Each is a binomial count of 4,000 × 0.1: six standard deviations are 114.
  for (const count of counts) expect(Math.abs(count - rounds / 10)).toBeLessThan(114);
});

test('a partition holds a day of UTC, and is over when its last moment has stayed for its time', () => {
  const at = new Date('2026-11-28T23:59:59.999Z');
  expect(partitionOf({ retentionDays: 7, at })).toEqual({
    name: 'prediction_7_20261128',
    parent: 'prediction_7',
    from: new Date('2026-11-28T00:00Z'),
    to: new Date('2026-11-29T00:00Z'),
  });
  expect(isOver('prediction_7_20261128', Date.parse('2026-12-05T23:59:59.999Z'))).toBe(false);
  expect(isOver('prediction_7_20261128', Date.parse('2026-12-06T00:00Z'))).toBe(true);
  for (const name of ['prediction', 'prediction_7', 'prediction_drop', 'prediction_7_20261128_pkey'])
    expect(isOver(name, Number.MAX_SAFE_INTEGER)).toBe(false);
});
