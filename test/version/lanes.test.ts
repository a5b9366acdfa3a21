import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { place, type Lanes } from '#src/version/lanes.ts';
import { followed, type DrawnRow } from '#test/helpers/lineage.ts';

/** Versions by number, each with its parents, which have lower numbers. */
type Lineage = readonly (readonly [number: number, parents: readonly number[]])[];

/** The whole drawing, newest on top, and the lanes that are left below it. */
function draw(lineage: Lineage): { rows: DrawnRow[]; left: Lanes } {
  let lanes: Lanes = [];
  const rows = lineage.toReversed().map(([number, parents]) => {
    const { lane, lines, lanes: below } = place(lanes, number, parents);
    lanes = below;
    return { number, lane, lines };
  });
  return { rows, left: lanes };
}

/** A text for each row: `number@lane` and its lines, each from a lane to a lane. */
const shape = (lineage: Lineage): string[] =>
  draw(lineage).rows.map(
    ({ number, lane, lines }) => `${number}@${lane} ${lines.map(({ from, to }) => `${from}${to}`).join(' ')}`,
  );

describe('drawn as people would', () => {
  test('a line of versions stays in the first lane', () => {
    expect(
      shape([
        [1, []],
        [2, [1]],
        [3, [2]],
      ]),
    ).toEqual(['3@0 00', '2@0 00', '1@0 ']);
  });

  test('a branch that is merged goes beside, and its lane ends', () => {
    expect(
      shape([
        [1, []],
        [2, [1]],
        [3, [1]],
        [4, [2, 3]],
        [5, [4]],
      ]),
    ).toEqual(['5@0 00', '4@0 00 01', '3@1 00 11', '2@0 10 00', '1@0 ']);
  });

  test('a lane that has ended is used again', () => {
    expect(
      shape([
        [1, []],
        [2, []],
        [3, [2]],
        [4, []],
        [5, [3, 1]],
      ]),
    ).toEqual(['5@0 00 01', '4@2 00 11', '3@0 11 00', '2@0 11', '1@1 ']);
  });
});

const lineages: fc.Arbitrary<Lineage> = fc
  .uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 })
  .map((numbers) => numbers.toSorted((a, b) => a - b))
  .chain((numbers) =>
    fc.tuple(
      ...numbers.map((number, index) =>
        fc
          .shuffledSubarray(numbers.slice(0, index), { maxLength: Math.min(8, index) })
          .map((parents) => [number, parents] as const),
      ),
    ),
  );

describe('for every lineage', () => {
  test('the lines from a version lead to its parents and nowhere else, and every lane ends', () => {
    fc.assert(
      fc.property(lineages, (lineage) => {
        const { rows, left } = draw(lineage);
        const reached = followed(rows);
        for (const [number, parents] of lineage) {
          expect(new Set(reached.get(number))).toEqual(new Set(parents));
        }
        expect(left).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });

  test('each stands as far to the left as there is room, or where a line leads to', () => {
    fc.assert(
      fc.property(lineages, (lineage) => {
        let lanes: Lanes = [];
        for (const [number, parents] of lineage.toReversed()) {
          const expected = lanes.filter((goal) => goal !== null);
          expect(new Set(expected).size).toBe(expected.length);
          const row = place(lanes, number, parents);
          if (expected.includes(number)) expect(lanes[row.lane]).toBe(number);
          else expect([...lanes, null].indexOf(null)).toBe(row.lane);
          lanes = row.lanes;
          expect(lanes.at(-1)).not.toBeNull();
        }
      }),
    );
  });
});
