import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toRfc3339 } from '#schema/rfc3339.ts';

test('writes every time as toISOString does', () => {
  fc.assert(fc.property(fc.date({ noInvalidDate: true }), (time) => toRfc3339(time) === time.toISOString()));
});

test('refuses what is no time', () => {
  expect(() => toRfc3339(new Date(Number.NaN))).toThrow(RangeError);
});
