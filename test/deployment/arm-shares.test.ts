/** Which arm a routing key belongs to, and which keys move when weights change. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { placeOf, PLACES, reshare, type Share } from '#src/deployment/arm-shares.ts';

const owner = (arms: readonly (readonly Share[])[], place: number): number =>
  arms.findIndex((shares) => shares.some(([from, to]) => place >= from && place < to));
const size = (shares: readonly Share[]): number => shares.reduce((sum, [from, to]) => sum + to - from, 0);

/** Weights of so many arms that add up to 1, some of them 0. */
const weightsOf = (arms: number): fc.Arbitrary<number[]> =>
  fc
    .array(fc.integer({ min: 0, max: 100 }), { minLength: arms, maxLength: arms })
    .filter((parts) => parts.some((part) => part > 0))
    .map((parts) => parts.map((part) => part / parts.reduce((sum, one) => sum + one, 0)));
const history = fc
  .integer({ min: 1, max: 6 })
  .chain((arms) => fc.array(weightsOf(arms), { minLength: 1, maxLength: 8 }));

describe('for every history of weights', () => {
  test('each place belongs to exactly one arm, and each arm has as many as its weight says', () => {
    fc.assert(
      fc.property(history, (steps) => {
        let shares: Share[][] = steps[0]!.map(() => []);
        for (const weights of steps) {
          shares = reshare(weights.map((weight, index) => ({ weight, shares: shares[index]! })));
          const all = shares.flat().toSorted((a, b) => a[0] - b[0]);
          let at = 0;
          for (const [from, to] of all) {
            expect(from).toBe(at);
            expect(to).toBeGreaterThan(from);
            at = to;
          }
          expect(at).toBe(PLACES);
          weights.forEach((weight, index) =>
            expect(Math.abs(size(shares[index]!) - weight * PLACES)).toBeLessThan(1),
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  test('a place leaves an arm only when that arm shrinks', () => {
    fc.assert(
      fc.property(
        history,
        fc.array(fc.nat(PLACES - 1), { minLength: 20, maxLength: 50 }),
        (steps, places) => {
          let shares: Share[][] = steps[0]!.map(() => []);
          for (const weights of steps) {
            const before = shares;
            shares = reshare(weights.map((weight, index) => ({ weight, shares: before[index]! })));
            for (const place of places) {
              const [was, is] = [owner(before, place), owner(shares, place)];
              if (was !== -1 && was !== is) expect(size(shares[was]!)).toBeLessThan(size(before[was]!));
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

test('there and back again: every key is where it was', () => {
  const at = (weights: readonly number[], shares: readonly (readonly Share[])[]): Share[][] =>
    reshare(weights.map((weight, index) => ({ weight, shares: shares[index]! })));
  const before = at([1, 0], [[], []]);
  expect(at([1, 0], at([0.25, 0.75], before))).toEqual(before);
  const halves = at([0.7, 0.3], [[], []]);
  expect(at([0.7, 0.3], at([0, 1], at([0.4, 0.6], halves)))).toEqual(halves);
});

test('keys are spread evenly, and differently in each deployment', () => {
  const counts = Array.from({ length: 10 }, () => 0);
  const keys = 20_000;
  let same = 0;
  for (let index = 0; index < keys; index++) {
    const place = placeOf('one', `user ${index}`);
    expect(place).toBe(placeOf('one', `user ${index}`));
    counts[Math.floor((place / PLACES) * 10)]! += 1;
    if (Math.floor(place / (PLACES / 10)) === Math.floor(placeOf('two', `user ${index}`) / (PLACES / 10)))
      same += 1;
  }
  // Binomial(20000, 0.1): a standard deviation is 42, and these keys are always the same.
  for (const count of counts) expect(Math.abs(count - keys / 10)).toBeLessThan(5 * 42);
  expect(Math.abs(same - keys / 10)).toBeLessThan(5 * 42);
});
