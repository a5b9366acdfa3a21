import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ValidationError } from '#src/platform/errors.ts';
import { newId } from '#src/platform/id.ts';
import { parseVersionRef, printVersionRef, type VersionRef } from '#src/version/ref.ts';

const parse = (text: string): VersionRef => parseVersionRef(['ref'], text);

function errorOf(text: string): ValidationError {
  try {
    parse(text);
  } catch (error) {
    expect(error).toBeInstanceOf(ValidationError);
    return error as ValidationError;
  }
  throw new Error(`${text} was accepted.`);
}

const fraud = { kind: 'named', project: null, model: 'fraud', steps: [] };
const ancestor = (generations: number) => ({ kind: 'ancestor', generations });
const parent = (ordinal: number) => ({ kind: 'parent', ordinal });
const id = '01a0b1c2-d3e4-7f00-8123-456789abcdef';

describe('what is meant', () => {
  test.each<[string, object]>([
    ['fraud:12', { ...fraud, at: { number: 12 } }],
    ['demo/fraud:2147483647', { ...fraud, project: 'demo', at: { number: 2147483647 } }],
    ['fraud@champion', { ...fraud, at: { alias: 'champion', time: null } }],
    ['fraud@latest~', { ...fraud, at: { alias: 'latest', time: null }, steps: [ancestor(1)] }],
    ['fraud:12~2', { ...fraud, at: { number: 12 }, steps: [ancestor(2)] }],
    ['fraud:12^', { ...fraud, at: { number: 12 }, steps: [parent(1)] }],
    ['fraud:12^2~0^0', { ...fraud, at: { number: 12 }, steps: [parent(2), ancestor(0), parent(0)] }],
    ['fraud:12~~', { ...fraud, at: { number: 12 }, steps: [ancestor(1), ancestor(1)] }],
    [
      'demo/fraud@champion{2026-11-01T00:00Z}~3',
      {
        ...fraud,
        project: 'demo',
        at: { alias: 'champion', time: new Date('2026-11-01T00:00:00Z') },
        steps: [ancestor(3)],
      },
    ],
    [
      'fraud@a{2024-02-29t23:30:15.25-01:30}',
      { ...fraud, at: { alias: 'a', time: new Date('2024-03-01T01:00:15.250Z') } },
    ],
    [id, { kind: 'id', id, steps: [] }],
    [`${id.toUpperCase()}~1`, { kind: 'id', id, steps: [ancestor(1)] }],
    // A model may be called like an id.
    [`${id}:1`, { ...fraud, model: id, at: { number: 1 } }],
    [`${id}/fraud:1`, { ...fraud, project: id, at: { number: 1 } }],
    // "é" as a letter with a mark is the same name as the one letter.
    ['cafe\u0301:1', { ...fraud, model: 'caf\u00e9', at: { number: 1 } }],
  ])('%s', (text, ref) => {
    expect(parse(text)).toEqual(ref);
  });
});

describe('what is wrong is said with its place', () => {
  test.each<[string, number, string, string]>([
    ['', 1, 'a version such as fraud:12', 'the end'],
    ['fraud:x', 7, 'a version number (1 or more)', '"x"'],
    ['demo/fraud:', 12, 'a version number (1 or more)', 'the end'],
    ['fraud:0', 7, 'a version number from 1 to 2147483647', '0'],
    ['fraud:2147483648', 7, 'from 1 to 2147483647', '2147483648'],
    [`fraud:${'9'.repeat(400)}`, 7, 'from 1 to 2147483647', 'a number of 400 digits'],
    ['fraud:-1', 7, 'a version number', '"-"'],
    ['fraud', 6, '":" and a version number', 'the end'],
    ['fraud/', 7, "a model's name", 'the end'],
    ['a/b/c:1', 4, '":" and a version number', '"/"'],
    ['fra ud:12', 4, 'letters, digits', '" "'],
    ['.fraud:12', 1, 'starting with a letter or digit', '".fraud"'],
    [`${'n'.repeat(101)}:1`, 1, '1 to 100 characters', '101 characters'],
    ['fraud@', 7, "an alias's name", 'the end'],
    ['fraud:12 ', 9, '"~", "^" or the end', '" "'],
    ['fraud:12x', 9, '"~", "^" or the end', '"x"'],
    ['fraud:12{2026-11-01T00:00Z}', 9, '"~", "^" or the end', '"{"'],
    // Columns count characters: the letter takes two UTF-16 units.
    ['𠮷:12x', 5, '"~", "^" or the end', '"x"'],
    [`${id}x`, 38, '":" and a version number', 'the end'],
    ['fraud:12~10001', 10, 'from 0 to 10000', '10001'],
    ['fraud:12^9', 10, 'from 0 to 8', '9'],
    [`fraud:12${'~'.repeat(101)}`, 109, 'at most 100 steps', 'one more'],
    ['fraud@a{}', 9, 'a time such as', '"}"'],
    ['fraud@a{2026-11-01T00:00Z', 26, '"}" after the time', 'the end'],
    ['fraud@a{2026-02-30T00:00Z}', 9, 'a time such as', 'no time that there is'],
    ['fraud@a{2026-11-01T24:00Z}', 9, 'a time such as', 'no time that there is'],
    ['fraud@a{2026-11-01T23:59:60Z}', 9, 'a time such as', 'no time that there is'],
    ['fraud@a{2026-11-01}', 9, 'a time such as', '"2026-11-01"'],
    ['fraud@a{2026-11-01T00:00}', 9, 'a time such as', 'which has no zone'],
    ['fraud@a{2026-11-01T00:00.5Z}', 9, 'a time such as', '"2026-11-01T00:00.5Z"'],
    ['fraud@a{2026-11-01T00:00:00.1234Z}', 9, 'a time such as', 'finer than a millisecond'],
    ['fraud@a{99999-01-01T00:00Z}', 9, 'a time such as', '"99999-01-01T00:00Z"'],
    ['fraud@a{9999-12-31T23:59-00:01}', 9, 'a time such as', 'out of range'],
    ['fraud@a{0000-01-01T00:00Z}', 9, 'a time such as', 'out of range'],
  ])('%s', (text, column, expected, found) => {
    const error = errorOf(text);
    const [issue] = error.issues;
    expect(issue!.path).toEqual(['ref']);
    expect(issue!.expected).toContain(expected);
    expect(issue!.found).toContain(found);
    expect(error.message).toBe(`ref: column ${column}: expected ${issue!.expected}, found ${issue!.found}.`);
  });

  test('a text that is too long is not read', () => {
    expect(errorOf('~'.repeat(10_000_000)).message).toContain('at most 1,000 characters');
    expect(errorOf(`a:1${'~'.repeat(998)}`).message).toContain('at most 1,000 characters, found 1001');
  });
});

const name = fc.oneof(
  fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,30}$/),
  fc.constantFrom('модель', 'caf\u00e9', 'cafe\u0301', '模型-7', '𠮷'),
);
const step = fc.oneof(
  fc.record({ kind: fc.constant('ancestor' as const), generations: fc.nat(10_000) }),
  fc.record({ kind: fc.constant('parent' as const), ordinal: fc.nat(8) }),
);
const steps = fc.array(step, { maxLength: 100 });
const time = fc.date({
  min: new Date('0001-01-01T00:00Z'),
  max: new Date('9999-12-31T23:59:59.999Z'),
  noInvalidDate: true,
});
const ref: fc.Arbitrary<VersionRef> = fc.oneof(
  fc.record({ kind: fc.constant('id' as const), id: fc.uuid(), steps }),
  fc.record({
    kind: fc.constant('named' as const),
    project: fc.option(name.map((each) => each.normalize('NFC'))),
    model: name.map((each) => each.normalize('NFC')),
    at: fc.oneof(
      fc.record({ number: fc.integer({ min: 1, max: 2_147_483_647 }) }),
      fc.record({ alias: name.map((each) => each.normalize('NFC')), time: fc.option(time) }),
    ),
    steps,
  }),
);

describe('for every reference', () => {
  test('printed and read it is the same', () => {
    fc.assert(
      fc.property(ref, (each) => {
        const text = printVersionRef(each);
        fc.pre(text.length <= 1000);
        expect(parse(text)).toEqual(each);
        expect(printVersionRef(parse(text))).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  test('any text is read or refused with a ValidationError', () => {
    const piece = fc.oneof(
      {
        arbitrary: fc.constantFrom('a', ':', '@', '/', '~', '^', '{', '}', '1', '0', ' ', '\u0301', '\0'),
        weight: 4,
      },
      { arbitrary: fc.constantFrom('a:1', 'a@b', 'a@b{2026-11-01T00:00Z}', id), weight: 2 },
      { arbitrary: fc.string({ unit: 'binary', maxLength: 3 }), weight: 1 },
    );
    let read = 0;
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = pieces.join('');
        try {
          const found = parse(text);
          read += 1;
          expect(parse(printVersionRef(found))).toEqual(found);
        } catch (error) {
          if (!(error instanceof ValidationError)) throw error;
        }
      }),
      { numRuns: 5000 },
    );
    expect(read).toBeGreaterThan(50);
  });

  test('long texts are read in linear time: this ends', () => {
    const units = ['a', '1', '~', '^', '@', '/', ':', '{', '}', '-', 'a:', 'a@b{', '~1', '\u0301', '\ud800'];
    for (const unit of units) {
      for (const start of ['', 'a:1', 'a@b', 'a@b{', newId()]) {
        for (const length of [900, 1_000_000]) {
          expect(errorOf(start + unit.repeat(length / unit.length)).message.length).toBeLessThan(400);
        }
      }
    }
  });
});
