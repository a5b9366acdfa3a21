/**
 * However a file is damaged: an answer comes, within bounded steps, and it is never SAFE while the file still looks up
 * what it must not.
 */
import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { op } from './assemble.ts';
import { lookedUp } from './disassemble.ts';
import { hostile, hostileFixtures, inspectBytes, picklesFolder } from './inspect-bytes.ts';

const seeds = hostileFixtures
  .filter(({ bytes }) => bytes().length < 20_000)
  .map(({ id, bytes }) => ({ id, bytes: bytes() }));
const pickles = seeds.filter(({ id }) => /^pickle\/.*\.pkl$/.test(id));
const benign = ['ridge.p2.pkl', 'ridge.p4.pkl', 'ridge.p5.pkl', 'kmeans.p4.pkl'].map((name) => ({
  id: name,
  bytes: readFileSync(`${picklesFolder}${name}`),
}));

type Mutation = (bytes: Buffer) => Buffer;

const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const at = (bytes: Buffer, where: number): number => Math.floor(where * (bytes.length + 1));

/** A stretch of another file, or opcodes. */
const stretch = fc.oneof(
  fc
    .tuple(fc.constantFrom(...pickles), place, place)
    .map(([{ bytes }, a, b]) => bytes.subarray(at(bytes, Math.min(a, b)), at(bytes, Math.max(a, b)))),
  fc
    .array(fc.constantFrom(...Object.values(op)), { minLength: 1, maxLength: 3 })
    .map((codes) => Buffer.from(codes)),
  fc.uint8Array({ minLength: 1, maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
  fc.constant(hostile('pickle/reduce-p2.pkl')),
  // The shortest attack there is.
  fc.constant(Buffer.from('cos\nsystem\n.')),
);

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(place, fc.nat(255)).map(([where, byte]): Mutation => (bytes) => {
    const changed = Buffer.from(bytes);
    if (changed.length > 0) changed[Math.min(changed.length - 1, at(bytes, where))] = byte;
    return changed;
  }),
  place.map(
    (where): Mutation =>
      (bytes) =>
        bytes.subarray(0, at(bytes, where)),
  ),
  fc.tuple(place, stretch).map(
    ([where, inserted]): Mutation =>
      (bytes) =>
        Buffer.concat([bytes.subarray(0, at(bytes, where)), inserted, bytes.subarray(at(bytes, where))]),
  ),
  fc.tuple(place, place).map(
    ([a, b]): Mutation =>
      (bytes) =>
        Buffer.concat([
          bytes.subarray(0, at(bytes, Math.min(a, b))),
          bytes.subarray(at(bytes, Math.max(a, b))),
        ]),
  ),
  stretch.map(
    (appended): Mutation =>
      (bytes) =>
        Buffer.concat([bytes, appended]),
  ),
);

const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 });
const damaged = (bytes: Buffer, changes: readonly Mutation[]): Buffer =>
  changes.reduce((changed, change) => change(changed), bytes);

/** What the fixtures' attacks look up. */
const isEvil = (name: string): boolean =>
  /^(os|posix|nt)\.system$|^subprocess\.Popen$|^(builtins|__builtin__)\.(eval|exec|getattr|open)$/.test(name);

/** All that a harmless mutation of the seeds may look up. */
const isKnown = (name: string): boolean =>
  /^(collections\.OrderedDict|_codecs\.encode|(builtins|__builtin__)\.(slice|bytes|object)|copy_?reg\._reconstructor|(numpy|sklearn|joblib)\..*)$/.test(
    name,
  );

/** Names that are looked up, and whether the answer suits them. */
async function expectSuited(bytes: Buffer): Promise<string> {
  const { verdict, findings } = await inspectBytes(bytes, 'model.pkl', {
    opcodes: 200_000,
    stackDepth: 50_000,
  });
  const names = lookedUp(bytes);
  if (names.some(isEvil)) expect({ names, verdict, findings }).toMatchObject({ verdict: 'DANGEROUS' });
  if (verdict === 'SAFE') expect(names.filter((name) => !isKnown(name))).toEqual([]);
  return names.some(isEvil) ? 'evil' : verdict;
}

describe('the second reader', () => {
  test.each([
    ['pickle/reduce-p0.pkl', 'posix.system'],
    ['pickle/memo-overwrite.pkl', 'os.system'],
    ['pickle/obj.pkl', 'os.system'],
    ['pickle/inst.pkl', 'os.system'],
    ['pickle/three-in-one.pkl', 'os.system'],
    ['pickle/evil-then-break.pkl', 'os.system'],
  ])('finds in %s what is there', (id, name) => {
    expect(lookedUp(hostile(id))).toContain(name);
  });

  test('and in a good file what is there, and no more', () => {
    const names = lookedUp(hostile('pickle/benign-sklearn.p4.pkl'));
    expect(names).toContain('sklearn.linear_model._logistic.LogisticRegression');
    expect(names.filter((name) => !isKnown(name))).toEqual([]);
  });
});

test('damaged pickles are judged by what is left of them', async () => {
  const outcomes = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...pickles, ...benign), mutations, async ({ bytes }, changes) => {
      const outcome = await expectSuited(damaged(bytes, changes));
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }),
    { numRuns: 6000 },
  );
  // The mutations leave enough of every kind to say something.
  expect(outcomes.get('evil')).toBeGreaterThan(300);
  expect(outcomes.get('SAFE')).toBeGreaterThan(30);
});

test('any damaged fixture gets an answer', async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...seeds), mutations, async ({ id, bytes }, changes) => {
      const limits = { opcodes: 100_000, stackDepth: 20_000, expansionFloor: 2 ** 20, heldBytes: 2 ** 18 };
      const { verdict, findings } = await inspectBytes(damaged(bytes, changes), id, limits);
      expect(verdict === 'SAFE').toBe(findings.length === 0);
    }),
    { numRuns: 5000 },
  );
});

test('and so do bytes without any order', async () => {
  const start = fc.constantFrom(
    '\x80\x04',
    'PK\x03\x04',
    '\x1f\x8b\x08',
    'x\x9c',
    'BZh91AY&SY',
    '\xfd7zXZ\0',
    '\x93NUMPY',
    'GGUF',
  );
  await fc.assert(
    fc.asyncProperty(start, fc.uint8Array({ maxLength: 600 }), async (magic, rest) => {
      const bytes = Buffer.concat([Buffer.from(magic, 'latin1'), rest]);
      await expect(inspectBytes(bytes)).resolves.toBeDefined();
    }),
    { numRuns: 2000 },
  );
});
