/** Models that go, with their versions and aliases. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { eventsOf, innerId, later } from '#test/helpers/ledger.ts';
import { grow } from '#test/helpers/lineage.ts';
import { holdLock } from '#test/helpers/lock.ts';
import { attempt, done, held, refused, versionFields, type HeldFile } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createToken, createVersion, stopped, workDone } from '#test/helpers/work.ts';
import { buildModel, identityModel } from '#test/onnx/build-model.ts';

let stack: Stack;
let bytes: HeldFile;

beforeAll(async () => {
  stack = await startStack();
  bytes = await held(stack, 'breast-cancer/v1.onnx');
});

const remove = (model: string): Promise<{ deletedAt: string }> =>
  done(stack, 'deleteModel', { model }, 'deletedAt');

test('it is gone with its versions and aliases, its name is free, and the past still tells of it', async () => {
  const model = await grow(stack, bytes, 'fraud', [[], [1]]);
  await done(stack, 'setAlias', { model, name: 'champion', version: 'fraud:2' });
  const query = `query ($id: ID!) { project(name: "${PROJECT}") { model(name: "fraud") { id } models { edges { node { name } } }
    version(ref: "fraud:2") { ${versionFields} } champion: version(ref: "fraud@champion") { id } } node(id: $id) { ... on Model { name deletedAt aliases { name } latest { number } versions { edges { node { number } } } } } }`;
  type Answer = { project: { version: { id: string } | null } };
  const before = (await stack.data<Answer>(query, { id: model })).project.version!;
  expect((await remove(model)).deletedAt).toMatch(/Z$/);
  expect(await stack.data(query, { id: model })).toEqual({
    project: {
      model: null,
      models: { edges: [{ node: { name: 'bytes' } }] },
      version: null,
      champion: null,
    },
    node: {
      name: 'fraud',
      deletedAt: expect.any(String),
      aliases: [],
      latest: null,
      versions: { edges: [] },
    },
  });
  const old = `query ($id: ID!) { node(id: $id) { ... on Version { ${versionFields} model { name deletedAt } } } }`;
  expect(await stack.data(old, { id: before.id })).toEqual({
    node: {
      ...before,
      deletedAt: expect.any(String),
      model: { name: 'fraud', deletedAt: expect.any(String) },
    },
  });
  const fields = 'id number parents { id }';
  const again = await done<{ id: string }>(stack, 'createModel', { project: PROJECT, name: 'fraud' }, 'id');
  expect(again.id).not.toBe(model);
  const first = await done(stack, 'createVersion', { model: again.id, artifacts: [bytes] }, fields);
  expect(first).toMatchObject({ number: 1, parents: [] });
  expect(await refused(stack, 'deleteModel', { model })).toMatchObject({ __typename: 'NotFoundError' });
  expect(await refused(stack, 'createVersion', { model, artifacts: [bytes] })).toMatchObject({
    __typename: 'NotFoundError',
  });
});

test('its aliases at a time before it was deleted stay what they were; afterwards there are none', async () => {
  const model = await grow(stack, bytes, 'aliased', [[]]);
  await done(stack, 'setAlias', { model, name: 'a', version: 'aliased:1' });
  await remove(model);
  const { at } = (await eventsOf(stack, PROJECT)).findLast(({ type }) => type === 'MODEL_DELETED')!;
  const query = `query ($id: ID!, $asOf: DateTime) { node(id: $id) { ... on Model { alias(name: "a", asOf: $asOf) { version { number deletedAt } } } } }`;
  expect(await stack.data(query, { id: model, asOf: later(at, -1) })).toEqual({
    node: { alias: { version: { number: 1, deletedAt: expect.any(String) } } },
  });
  for (const asOf of [at, null]) {
    expect(await stack.data(query, { id: model, asOf })).toEqual({ node: { alias: null } });
  }
});

describe('refused', () => {
  test('while it is deployed, has a protected alias, or another model builds on it, each by its name', async () => {
    const model = await grow(stack, bytes, 'held', [[], [1]]);
    const child = await stack.model('child');
    await done(stack, 'createVersion', { model: child, artifacts: [bytes], parents: ['held:1'] });
    await done(stack, 'setAlias', { model, name: 'live', version: 'held:2', protected: true });
    await done(stack, 'setAlias', { model, name: 'plain', version: 'held:2' });
    const { id } = await stack.deploy('held:2', { name: 'serves-held' });
    expect(await refused(stack, 'deleteModel', { model })).toMatchObject({
      __typename: 'ConflictError',
      current: 'deployment serves-held, protected alias live, child child:1',
    });
    await stopped(stack, id);
    await done(stack, 'setAlias', {
      model,
      name: 'live',
      version: 'held:2',
      expected: 'held:2',
      protected: false,
    });
    expect(await refused(stack, 'deleteModel', { model })).toMatchObject({ current: 'child child:1' });
    await remove(child);
    await remove(model);
    const query =
      'query ($id: ID!) { node(id: $id) { ... on Deployment { arms { version { number model { name } } } } } }';
    expect(await stack.data(query, { id })).toEqual({
      node: { arms: [{ version: { number: 2, model: { name: 'held' } } }] },
    });
  });

  test('while one of its versions is being read, and to a reader', async () => {
    await stack.worker.kill('SIGTERM');
    const model = await stack.model('waiting');
    const content = buildModel(identityModel);
    const { operation } = await createVersion(stack, model, [{ name: 'i.onnx', content }]);
    expect(await refused(stack, 'deleteModel', { model })).toMatchObject({
      __typename: 'ConflictError',
      current: 'version 1, which is being read',
    });
    await stack.worker.start();
    await workDone(stack, operation.id);
    const { secret } = await createToken(stack, { project: PROJECT, name: 'reader', role: 'READER' });
    expect(await refused(stack, 'deleteModel', { model }, { token: secret })).toMatchObject({
      __typename: 'ForbiddenError',
      needs: 'AUTHOR',
    });
    await remove(model);
  });
});

describe('at once', () => {
  test('a version is made before it, or not at all', async () => {
    for (let round = 0; round < 5; round++) {
      const model = await stack.model(`round${round}`);
      const [gone, ...made] = await Promise.all([
        attempt<{ deletedAt: string }>(stack, 'deleteModel', { model }, 'deletedAt'),
        ...Array.from({ length: 4 }, () =>
          attempt<{ id: string }>(stack, 'createVersion', { model, artifacts: [bytes] }, 'id'),
        ),
      ]);
      expect(gone).toHaveProperty('made');
      for (const result of made) {
        if ('refusal' in result) {
          expect(result.refusal.__typename).toBe('NotFoundError');
          continue;
        }
        const query = 'query ($id: ID!) { node(id: $id) { ... on Version { deletedAt } } }';
        expect(await stack.data(query, { id: result.made.id })).toEqual({
          node: { deletedAt: expect.any(String) },
        });
      }
    }
  });

  test('it and an alias that is being moved do not wait for each other', async () => {
    const model = await grow(stack, bytes, 'waits', [[], []]);
    await done(stack, 'setAlias', { model, name: 'a', version: 'waits:2' });
    const versions = sql`select from version where model_id = ${innerId(model)} for update`;
    const lock = await holdLock(stack, versions);
    const deleting = attempt(stack, 'deleteModel', { model });
    await lock.waiters(1);
    const input = { model, name: 'a', version: 'waits:1', expected: 'waits:2' };
    const moving = attempt(stack, 'setAlias', input);
    await lock.waiters(2);
    await lock.release();
    const [deleted, moved] = await Promise.all([deleting, moving]);
    expect(deleted).toHaveProperty('made');
    if ('refusal' in moved) expect(moved.refusal.__typename).toBe('NotFoundError');
  });

  test('it and a version of another model that is made from its versions do not wait for each other', async () => {
    const model = await grow(stack, bytes, 'parents', [[], []]);
    const late = await stack.model('late');
    const child = { model: late, artifacts: [bytes], parents: ['parents:2', 'parents:1'] };
    const first = sql`select from version where model_id = ${innerId(model)} and number = 1 for update`;
    const lock = await holdLock(stack, first);
    const deleting = attempt(stack, 'deleteModel', { model });
    await lock.waiters(1);
    const making = attempt(stack, 'createVersion', child);
    await lock.waiters(2);
    await lock.release();
    const [deleted, made] = await Promise.all([deleting, making]);
    // One of the two comes first, and the other hears of it.
    expect(['made' in deleted, 'made' in made].filter(Boolean)).toHaveLength(1);
    if ('refusal' in made) expect(made.refusal.__typename).toMatch(/ConflictError|NotFoundError/);
    if ('refusal' in deleted) expect(deleted.refusal.current).toBe('child late:1');
  });
});
