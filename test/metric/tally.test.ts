/** What a rollout is judged by: counts that merge, stay within bounds, and travel beside a window's line. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeBatch, encodeBatch } from '#src/metric/stream.ts';
import { OTHER_LABELS, type Verdict } from '#src/metric/tally.ts';
import { FARTHEST_BIN, valueBin } from '#src/metric/value-bin.ts';
import { MetricWindow } from '#src/metric/window.ts';

const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.double({ min: -1e6, max: 1e6, noNaN: true }),
);

describe('the bin of a number', () => {
  test('is in the order of the numbers, has their sign and is no wider than 5 %', () => {
    fc.assert(
      fc.property(number, number, (a, b) => {
        const [low, high] = a <= b ? [a, b] : [b, a];
        expect(valueBin(low)).toBeLessThanOrEqual(valueBin(high));
        expect(Math.abs(valueBin(a))).toBeLessThanOrEqual(FARTHEST_BIN);
        if (Math.abs(a) >= 1e-9) expect(Math.sign(valueBin(a))).toBe(Math.sign(a));
        if (valueBin(a) !== valueBin(b) || valueBin(a) === 0) return;
        expect(Math.max(Math.abs(a), Math.abs(b)) / Math.min(Math.abs(a), Math.abs(b))).toBeLessThan(1.0501);
      }),
      { numRuns: 2_000 },
    );
  });
  test.each([0, -0, 1e-10, -1e-10, NaN])('of %s is 0', (value) => expect(valueBin(value)).toBe(0));
});

type Event = { readonly answer: string | number } | { readonly verdict: Verdict };
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ answer: fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.double()) }),
  fc.record({ verdict: fc.constantFrom<Verdict>('agreed', 'disagreed', 'dropped') }),
);
const events = fc.array(event, { maxLength: 200 });

function windowOf(happened: readonly Event[]): MetricWindow {
  const window = new MetricWindow();
  happened.forEach((each, index) => {
    if ('answer' in each) window.addAnswer(each.answer);
    else window.addMirrored(each.verdict, `0192f0c1-2345-7000-8000-0123456789ab:${index}`);
  });
  return window;
}

const arm = { deploymentId: 'd', armId: 'a', armName: 'candidate' };
const batchOf = (window: MetricWindow) =>
  encodeBatch({ writer: 'w', sequence: 1, second: 1, idle: false, windows: [{ arm, window }] });
/** As it comes out of Redis. */
const sent = (window: MetricWindow): MetricWindow => decodeBatch(batchOf(window)).windows[0]!.window;
const sum = (counts: ReadonlyMap<unknown, number>): number =>
  [...counts.values()].reduce((total, count) => total + count, 0);

describe('a tally', () => {
  test('comes back as it was sent, in few bytes, and without control characters that nobody could store', () => {
    fc.assert(
      fc.property(events, (happened) => {
        const window = windowOf(happened);
        expect(sent(window)).toEqual(window);
        expect(JSON.stringify(window.encodeTally() ?? []).length).toBeLessThan(80_000);
        for (const label of window.labels.keys()) {
          expect(label.length).toBeLessThanOrEqual(200);
          expect(label.isWellFormed() && !label.includes('\0')).toBe(true);
        }
      }),
    );
  });

  test('merged, it counts what all parts did, and stays within its bounds', () => {
    fc.assert(
      fc.property(fc.array(events, { maxLength: 5 }), fc.boolean(), (parts, beside) => {
        const merged = new MetricWindow();
        for (const part of parts)
          if (beside) merged.addBeside(sent(windowOf(part)));
          else merged.addAfter(windowOf(part));
        const all = parts.flat();
        const having = (...verdicts: Verdict[]) =>
          all.filter((each) => 'verdict' in each && verdicts.includes(each.verdict)).length;
        expect(merged.compared).toBe(having('agreed', 'disagreed'));
        expect(merged.disagreed).toBe(having('disagreed'));
        expect(merged.dropped).toBe(having('dropped'));
        expect(merged.examples).toHaveLength(Math.min(3, merged.disagreed));
        const answers = all.flatMap((each) => ('answer' in each ? [each.answer] : []));
        expect(sum(merged.labels)).toBe(answers.filter((answer) => typeof answer === 'string').length);
        expect(sum(merged.values)).toBe(answers.filter(Number.isFinite).length);
        expect(merged.labels.size).toBeLessThanOrEqual(51);
        expect(merged.values.size).toBeLessThanOrEqual(400);
      }),
    );
  });

  test('of more than fifty classes the rest is one', () => {
    const window = new MetricWindow();
    for (let label = 0; label < 60; label++) window.addAnswer(`class ${label}`);
    window.addAnswer('class 7');
    expect(window.labels.size).toBe(51);
    expect([window.labels.get('class 7'), window.labels.get(OTHER_LABELS)]).toEqual([2, 10]);
  });

  test('of more numbers than there is room for, the rest is in the nearest bin', () => {
    const window = new MetricWindow();
    for (let power = 0; power < 300; power++) {
      window.addAnswer(10 ** power);
      window.addAnswer(-(10 ** power));
    }
    expect([window.values.size, sum(window.values)]).toEqual([400, 600]);
  });
});

describe('on the wire', () => {
  const rowsIn = (fields: readonly string[]): unknown[][] =>
    JSON.parse(fields[fields.indexOf('windows') + 1]!) as unknown[][];

  test('older readers find the line that they know; where there is nothing to tell, nothing is there', () => {
    const plain = new MetricWindow();
    plain.add('ok', 5, 1);
    const told = new MetricWindow();
    told.add('ok', 5, 1);
    told.addAnswer('cat');
    const [plainRow, toldRow] = [rowsIn(batchOf(plain))[0]!, rowsIn(batchOf(told))[0]!];
    expect(plainRow).toHaveLength(4);
    expect(toldRow.slice(0, 4)).toEqual(plainRow);
    expect(toldRow[4]).toEqual([0, 0, 0, 0, ['cat', 1], [], []]);
    expect(MetricWindow.decode(String(toldRow[3])).requests).toBe(1);
  });

  test.each<[string, unknown]>([
    ['null', null],
    ['no list', { invalid: 1 }],
    ['a count that is none', [-1, 0, 0, 0, [], [], []]],
    ['a count in words', ['1', 0, 0, 0, [], [], []]],
    ['half a pair', [0, 0, 0, 0, ['a'], [], []]],
    ['a label that is too long', [0, 0, 0, 0, ['a'.repeat(201), 1], [], []]],
    ['too many labels', [0, 0, 0, 0, Array.from({ length: 104 }, (_, at) => (at % 2 ? 1 : `${at}`)), [], []]],
    ['a bin that no number has', [0, 0, 0, 0, [], [FARTHEST_BIN + 1, 1], []]],
    ['an example that is no id', [0, 0, 0, 0, [], [], [7]]],
    ['nothing behind the counts', [0, 0, 0, 0]],
  ])('%s is no tally', (_what, cell) => {
    const fields = batchOf(new MetricWindow());
    const at = fields.indexOf('windows') + 1;
    const [row] = rowsIn(fields);
    const bad = fields.with(at, JSON.stringify([[...row!.slice(0, 4), cell]]));
    expect(() => decodeBatch(bad)).toThrow('Not the tally');
  });
});
