import { parse } from 'graphql';
import { expect, test } from 'vitest';
import { placeVariables } from '#schema/live/place-variables.ts';

test.for([
  ['the own field’s argument', 'subscription ($a: Int) { log(after: $a) { number } }', ['a']],
  ['another argument', 'subscription ($a: Int, $b: Int) { log(after: $a, only: $b) { number } }', ['a']],
  ['within a value', 'subscription ($a: Int) { log(after: [$a]) { number } }', []],
  [
    'the same argument of a deeper field',
    'subscription ($a: Int) { log { past(after: $a) { number } } }',
    [],
  ],
  ['here and there', 'subscription ($a: Int) { log(after: $a) { past(after: $a) { number } } }', []],
  ['a directive', 'subscription ($a: Boolean!) { log @include(if: $a) { number } }', []],
  ['a directive’s argument of that name', 'subscription ($a: Int) { log @from(after: $a) { number } }', []],
  ['below', 'subscription ($a: Int, $b: Boolean!) { log(after: $a) { number @skip(if: $b) } }', ['a']],
  [
    'a fragment',
    'subscription ($a: Int) { ...Log } fragment Log on Subscription { log(after: $a) { number } }',
    [],
  ],
  [
    'a fragment in place',
    'subscription ($a: Int) { ... on Subscription { log(after: $a) { number } } }',
    ['a'],
  ],
  ['nothing', 'subscription ($a: Int) { log { number } }', []],
] as const)('a variable for %s', ([, source, expected]) => {
  const document = parse(source);
  expect([...placeVariables(document, ['after'])]).toEqual(expected);
  expect([...placeVariables(document, ['after'])]).toEqual(expected);
  expect([...placeVariables(document, [])]).toEqual([]);
});
