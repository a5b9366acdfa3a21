/** Random searches in normal form, from texts that the caller knows how to find. */
import * as fc from 'fast-check';
import { versionStatuses } from '#src/platform/database.types.ts';
import {
  ageUnits,
  group,
  negation,
  textFields,
  type AgeUnit,
  type Compared,
  type Comparison,
  type Moment,
  type Pattern,
  type SearchNode,
  type SearchTerm,
} from '#src/search/search.tree.ts';

export interface Texts {
  readonly words: readonly string[];
  readonly keys: readonly string[];
  readonly values: readonly string[];
  readonly metrics: readonly string[];
  readonly days: readonly string[];
  readonly times: readonly Date[];
  readonly digests: readonly string[];
}

const comparison = fc.constantFrom<Comparison>('=', '!=', '>', '>=', '<', '<=');
const withoutNot = fc.constantFrom<Comparison>('=', '>', '>=', '<', '<=');

function compared<T>(value: fc.Arbitrary<T>, is: fc.Arbitrary<Comparison>): fc.Arbitrary<Compared<T>> {
  return fc.oneof(
    fc.record({ is, value }),
    fc.record({ is: fc.constant('range' as const), from: fc.option(value), to: fc.option(value) }),
  );
}

/** A text, or pieces of it around wildcards as a word in a search can hold them. */
function pattern(texts: readonly string[]): fc.Arbitrary<Pattern> {
  const text = fc.constantFrom(...texts);
  const cut = fc
    .tuple(text, fc.nat(8), fc.nat(8), fc.nat(2))
    .map(([whole, start, length, wildcards]): Pattern => {
      const piece = whole.slice(start, start + length).replaceAll(/[^\p{L}\p{N}%_.-]/gu, '');
      if (wildcards === 0 || piece === '') return [piece, ''];
      return wildcards === 1 ? ['', piece] : ['', piece, ''];
    });
  return fc.oneof(
    text.map((whole): Pattern => [whole]),
    cut,
  );
}

function terms(texts: Texts): fc.Arbitrary<SearchTerm> {
  const moment: fc.Arbitrary<Moment> = fc.oneof(
    fc.record({ kind: fc.constant('day' as const), day: fc.constantFrom(...texts.days) }),
    fc.record({ kind: fc.constant('time' as const), time: fc.constantFrom(...texts.times) }),
    fc.record({
      kind: fc.constant('ago' as const),
      count: fc.nat(100),
      unit: fc.constantFrom(...(Object.keys(ageUnits) as AgeUnit[])),
    }),
  );
  const whole = fc.oneof(fc.nat(12), fc.constantFrom(1000, 1_000_000_000, 4_000_000_000_000));
  const decimal = fc.oneof(
    fc.constantFrom(0, 0.5, 0.93, -1.5, 1e300),
    fc.double({ min: -2, max: 2, noNaN: true }),
  );
  const digest: fc.Arbitrary<Pattern> = fc
    .tuple(fc.constantFrom(...texts.digests), fc.nat(64))
    .map(([whole64, length]) => (length > 5 ? [whole64] : [whole64.slice(0, length), '']));
  const word = pattern(texts.words.filter((text) => text !== ''));
  return fc.oneof(
    fc.record({ kind: fc.constant('word' as const), pattern: word }),
    fc.record({
      kind: fc.constant('text' as const),
      field: fc.constantFrom(...textFields.filter((field) => field !== 'digest')),
      pattern: word,
    }),
    fc.record({ kind: fc.constant('text' as const), field: fc.constant('digest' as const), pattern: digest }),
    fc.record({
      kind: fc.constant('tag' as const),
      key: pattern(texts.keys),
      value: fc.option(pattern(texts.values)),
    }),
    fc.record({ kind: fc.constant('status' as const), status: fc.constantFrom(...versionStatuses) }),
    fc.record({
      kind: fc.constant('flag' as const),
      field: fc.constantFrom('deployed' as const, 'archived' as const),
      value: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('created' as const), compared: compared(moment, withoutNot) }),
    fc.record({
      kind: fc.constant('amount' as const),
      field: fc.constantFrom('bytes' as const, 'number' as const),
      compared: compared(whole, withoutNot),
    }),
    fc.record({
      kind: fc.constant('metric' as const),
      metric: fc.constantFrom(...texts.metrics),
      // Zero has no sign in a search.
      compared: compared(
        decimal.map((number) => number + 0),
        comparison,
      ),
    }),
  );
}

/** At most 27 terms, three groups deep. */
export function searches(texts: Texts): fc.Arbitrary<SearchNode> {
  const term = terms(texts);
  let node: fc.Arbitrary<SearchNode> = term;
  for (let depth = 0; depth < 3; depth++) {
    const parts = fc.array(node, { minLength: 1, maxLength: 3 }) as fc.Arbitrary<
      [SearchNode, ...SearchNode[]]
    >;
    const groups = fc.tuple(fc.constantFrom('and' as const, 'or' as const), parts);
    const inner = node;
    node = fc.oneof(
      { arbitrary: groups.map(([kind, of]) => group(kind, of)), weight: 3 },
      { arbitrary: inner.map(negation), weight: 1 },
      { arbitrary: term, weight: 1 },
    );
  }
  return node;
}
