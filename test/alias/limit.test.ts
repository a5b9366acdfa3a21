/** A model has so many aliases and no more. */
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { innerId } from '#test/helpers/ledger.ts';
import { grow } from '#test/helpers/lineage.ts';
import { holdLock } from '#test/helpers/lock.ts';
import { attempt, done, held, refused } from '#test/helpers/registry.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';

let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
});

test('200 there may be, also when the last ones are made at once; one that goes makes room', async () => {
  const model = await grow(stack, await held(stack, 'breast-cancer/v1.onnx'), 'fraud', [[], []]);
  const set = (name: string, more: object = {}) =>
    attempt(stack, 'setAlias', { model, name, version: 'fraud:1', ...more });
  for (let index = 0; index < 199; index++) await set(`a${index}`);
  const project = innerId(await stack.project());
  const lock = await holdLock(
    stack,
    sql`select from ledger_counter where project_id = ${project} for update`,
  );
  const both = ['b', 'c'].map((name) => set(name));
  await lock.waiters(2);
  await lock.release();
  const last = await Promise.all(both);
  expect(last.filter((result) => 'made' in result)).toHaveLength(1);
  expect(await refused(stack, 'setAlias', { model, name: 'f', version: 'fraud:1' })).toMatchObject({
    __typename: 'ConflictError',
    message: 'fraud has 200 aliases, the most there may be.',
  });
  expect(await set('a0', { version: 'fraud:2', expected: 'fraud:1' })).toHaveProperty('made');
  await done(stack, 'deleteAlias', { model, name: 'a1', expected: 'fraud:1' });
  expect(await set('f')).toHaveProperty('made');
});
