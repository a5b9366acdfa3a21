/** Versions that are no longer wanted: archived, taken back, deleted; and the bytes that go with the last of them. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { innerId } from '#test/helpers/ledger.ts';
import { grow } from '#test/helpers/lineage.ts';
import { holdLock } from '#test/helpers/lock.ts';
import { attempt, done, held, refused, versionAt, versionFields } from '#test/helpers/registry.ts';
import type { HeldFile, VersionFacts } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createToken, createVersion, stopped, workDone } from '#test/helpers/work.ts';
import { buildModel, identityModel } from '#test/onnx/build-model.ts';

let stack: Stack;
let bytes: HeldFile;

beforeAll(async () => {
  stack = await startStack();
  bytes = await held(stack, 'breast-cancer/v1.onnx');
});

const remove = (version: string): Promise<VersionFacts> =>
  done(stack, 'deleteVersion', { version }, versionFields);

/** What stands in the way of deleting a version. */
async function inTheWay(version: string): Promise<string> {
  const refusal = await refused(stack, 'deleteVersion', { version });
  expect(refusal).toMatchObject({ __typename: 'ConflictError', code: 'CONFLICT' });
  return refusal.current ?? '';
}

describe('archived', () => {
  test('it is not deployed and gets no alias until it is taken back; what it has, stays', async () => {
    const model = await grow(stack, bytes, 'archive', [[], [1]]);
    const version = `${PROJECT}/archive:1`;
    await done(stack, 'setAlias', { model, name: 'old', version: 'archive:1' });
    const archived = await done<VersionFacts>(stack, 'archiveVersion', { version }, versionFields);
    expect(archived.archivedAt).toMatch(/Z$/);
    expect(await versionAt(stack, version)).toEqual(archived);
    expect(await done(stack, 'archiveVersion', { version }, versionFields)).toEqual(archived);
    expect(await versionAt(stack, `${PROJECT}/archive@old`)).toEqual(archived);
    for (const [field, input] of [
      ['setAlias', { model, name: 'new', version: 'archive:1' }],
      ['createDeployment', { project: PROJECT, name: 'archived', version }],
    ] as const) {
      expect(await refused(stack, field, input)).toMatchObject({
        __typename: 'ConflictError',
        current: 'archived',
        hint: 'Unarchive it first.',
      });
    }
    const back = await done<VersionFacts>(stack, 'unarchiveVersion', { version }, versionFields);
    expect(back).toEqual({ ...archived, archivedAt: null });
    expect(await done(stack, 'unarchiveVersion', { version }, versionFields)).toEqual(back);
    await done(stack, 'setAlias', { model, name: 'new', version: 'archive:1' });
  });

  // The other one asks just before, and comes to write just after it was archived.
  test('an alias that is being set meanwhile is not set', async () => {
    const model = await grow(stack, bytes, 'race', [[], []]);
    await done(stack, 'setAlias', { model, name: 'champion', version: 'race:1' });
    const lock = await holdLock(stack, sql`select from alias where model_id = ${innerId(model)} for update`);
    const input = { model, name: 'champion', version: 'race:2', expected: 'race:1' };
    const pending = attempt(stack, 'setAlias', input);
    await lock.waiters(1);
    await done(stack, 'archiveVersion', { version: `${PROJECT}/race:2` });
    await lock.release();
    expect(await pending).toMatchObject({ refusal: { __typename: 'ConflictError', current: 'archived' } });
  });

  test('a deployment that is being made meanwhile is not made', async () => {
    await grow(stack, bytes, 'raced', [[]]);
    const { id } = await versionAt(stack, `${PROJECT}/raced:1`);
    const lock = await holdLock(stack, sql`select from version where id = ${innerId(id)} for update`);
    const archiving = done(stack, 'archiveVersion', { version: id });
    await lock.waiters(1);
    const pending = attempt(stack, 'createDeployment', { project: PROJECT, name: 'raced', version: id });
    await lock.waiters(2);
    await lock.release();
    await archiving;
    expect(await pending).toMatchObject({ refusal: { __typename: 'ConflictError', current: 'archived' } });
  });
});

describe('deleted', () => {
  test('its number is not given again, its id still tells what it was, and references do not find it', async () => {
    const model = await grow(stack, bytes, 'deleted', [[], [1]]);
    const before = await versionAt(stack, `${PROJECT}/deleted:2`);
    const gone = await remove(before.id);
    expect(gone).toEqual({ ...before, deletedAt: expect.stringMatching(/Z$/) });
    const next = await done<VersionFacts>(
      stack,
      'createVersion',
      { model, artifacts: [bytes] },
      versionFields,
    );
    expect(next).toMatchObject({ number: 3, parents: [{ number: 1 }] });
    const query = `query ($id: ID!, $model: ID!) {
      node(id: $id) { ... on Version { ${versionFields} } }
      model: node(id: $model) { ... on Model { version(number: 2) { id } latest { number } versions { edges { node { number } } } } }
    }`;
    expect(await stack.data(query, { id: gone.id, model })).toEqual({
      node: gone,
      model: {
        version: null,
        latest: { number: 3 },
        versions: { edges: [{ node: { number: 3 } }, { node: { number: 1 } }] },
      },
    });
    for (const ref of [gone.id, innerId(gone.id), `${PROJECT}/deleted:2`]) {
      expect(await refused(stack, 'deleteVersion', { version: ref })).toMatchObject({
        __typename: 'NotFoundError',
      });
      const { body } = await stack.gql('query ($ref: VersionRef!) { version(ref: $ref) { id } }', { ref });
      expect(body.errors?.[0]?.extensions).toMatchObject({ code: 'NOT_FOUND' });
    }
  });

  test('the latest is deleted: what is expected then is the one before', async () => {
    const model = await grow(stack, bytes, 'shrunk', [[], [1]]);
    await remove(`${PROJECT}/shrunk@latest`);
    const input = { model, artifacts: [bytes] };
    expect(await refused(stack, 'createVersion', { ...input, expectedLatest: 2 })).toMatchObject({
      current: '1',
    });
    await done(stack, 'createVersion', { ...input, expectedLatest: 1 });
    await remove(`${PROJECT}/shrunk:3`);
    await remove(`${PROJECT}/shrunk:1`);
    expect(await refused(stack, 'createVersion', { ...input, expectedLatest: 1 })).toMatchObject({
      current: '0',
    });
    expect(
      await done(stack, 'createVersion', { ...input, expectedLatest: 0 }, 'number parents { id }'),
    ).toEqual({
      number: 4,
      parents: [],
    });
  });

  test('refused while an alias, a deployment or a child refers to it, each by its name', async () => {
    const model = await grow(stack, bytes, 'held', [[], [1]]);
    const tuned = await stack.model('held-too');
    await done(stack, 'createVersion', { model: tuned, artifacts: [bytes], parents: ['held:2'] });
    await done(stack, 'setAlias', { model, name: 'champion', version: 'held:2' });
    const { id } = await stack.deploy('held:2', { name: 'serves-held' });
    const version = `${PROJECT}/held:2`;
    expect(await inTheWay(version)).toBe('alias champion, deployment serves-held, child held-too:1');
    await done(stack, 'deleteAlias', { model, name: 'champion', expected: 'held:2' });
    await stopped(stack, id);
    expect(await inTheWay(version)).toBe('child held-too:1');
    await remove(`${PROJECT}/held-too:1`);
    await remove(version);
    // The deployment that was still tells what it served.
    const query =
      'query ($id: ID!) { node(id: $id) { ... on Deployment { state arms { version { number deletedAt } } } } }';
    expect(await stack.data(query, { id })).toEqual({
      node: { state: 'STOPPED', arms: [{ version: { number: 2, deletedAt: expect.any(String) } }] },
    });
  });

  test('refused while a version restored from it is there; many are named by ten', async () => {
    await grow(stack, bytes, 'source', [[], [1]]);
    await done(stack, 'restoreVersion', { version: `${PROJECT}/source:1` });
    expect(await inTheWay(`${PROJECT}/source:1`)).toBe('child source:2, child source:3');
    const fan = await grow(stack, bytes, 'fan', [[], ...Array.from({ length: 12 }, () => [1])]);
    expect((await inTheWay(`${PROJECT}/fan:1`)).split(', ')).toHaveLength(10);
    await done(stack, 'setAlias', { model: fan, name: 'root', version: 'fan:1' });
    expect(await inTheWay(`${PROJECT}/fan:1`)).toContain('alias root');
  });

  test('refused while it is being read, and by a reader', async () => {
    await stack.worker.kill('SIGTERM');
    const content = buildModel(identityModel);
    const waiting = await createVersion(stack, await stack.model('waiting'), [{ name: 'i.onnx', content }]);
    expect(await inTheWay(waiting.id)).toBe('PENDING');
    await stack.worker.start();
    await workDone(stack, waiting.operation.id);
    const { secret } = await createToken(stack, { project: PROJECT, name: 'reader', role: 'READER' });
    for (const field of ['deleteVersion', 'archiveVersion', 'unarchiveVersion']) {
      const refusal = await refused(stack, field, { version: waiting.id }, { token: secret });
      expect(refusal).toMatchObject({ __typename: 'ForbiddenError', needs: 'AUTHOR' });
    }
    await remove(waiting.id);
  });
});
