import { expect, test } from 'vitest';
import { version } from 'uuid';
import { isId, newId } from '#src/platform/id.ts';

test('ids are UUIDv7, unique, and in the order of their making', () => {
  const ids = Array.from({ length: 20_000 }, newId);
  expect(ids.every((id) => isId(id) && version(id) === 7)).toBe(true);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.toSorted()).toEqual(ids);
});
