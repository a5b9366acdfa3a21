/** References to a time: what was then is found, also where it was deleted since; nobody finds what is not theirs. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { eventsOf, innerId, later } from '#test/helpers/ledger.ts';
import { holdLock } from '#test/helpers/lock.ts';
import {
  done,
  held,
  refused,
  versionFields,
  type HeldFile,
  type VersionFacts,
} from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createProject, createToken } from '#test/helpers/work.ts';

let stack: Stack;
let bytes: HeldFile;

beforeAll(async () => {
  stack = await startStack();
  bytes = await held(stack, 'breast-cancer/v1.onnx');
});

const create = (model: string, input: object = {}): Promise<VersionFacts> =>
  done(stack, 'createVersion', { model, artifacts: [bytes], ...input }, versionFields);

type Found = { readonly number: number; readonly deletedAt: string | null } | null;

/** What a reference within the project finds. */
async function find(ref: string): Promise<Found> {
  const query = `query ($ref: VersionRef!) { project(name: "${PROJECT}") { version(ref: $ref) { number deletedAt } } }`;
  return (await stack.data<{ project: { version: Found } }>(query, { ref })).project.version;
}

test('latest at a time is the highest number of those that were there then', async () => {
  const model = await stack.model('counted');
  for (let number = 1; number <= 3; number++) await create(model, { parents: [] });
  for (const number of [3, 1])
    await done(stack, 'deleteVersion', { version: `${PROJECT}/counted:${number}` });
  await create(model, { parents: [] });
  const events = (await eventsOf(stack, PROJECT)).filter(({ modelId }) => modelId === innerId(model));
  const seen = [];
  for (const { at } of events) seen.push((await find(`counted@latest{${at}}`))?.number ?? null);
  // The model, versions 1 to 3, the end of 3 and of 1, version 4.
  expect(seen).toEqual([null, 1, 2, 3, 2, 2, 4]);
  const third = events[3]!.at;
  expect(await find(`counted@latest{${third}}`)).toEqual({ number: 3, deletedAt: expect.any(String) });
  expect(await find('counted:3')).toBeNull();
  expect(await find('counted@latest')).toEqual({ number: 4, deletedAt: null });
});

describe('a deleted version that a time finds', () => {
  let ref: string;

  beforeAll(async () => {
    const model = await stack.model('gone');
    await create(model);
    await create(model, { parents: [] });
    await done(stack, 'deleteVersion', { version: `${PROJECT}/gone:2` });
    const events = await eventsOf(stack, PROJECT);
    const end = events.find(({ type, data }) => type === 'VERSION_DELETED' && data['model'] === 'gone')!;
    ref = `${PROJECT}/gone@latest{${later(end.at, -1)}}`;
    expect(await find(ref)).toMatchObject({ number: 2 });
  });

  test.each<[string, (version: string, model: string) => object]>([
    ['createDeployment', (version) => ({ project: PROJECT, name: 'gone', version })],
    ['restoreVersion', (version) => ({ version })],
    ['setAlias', (version, model) => ({ model, name: 'gone', version })],
    ['updateVersion', (version) => ({ version, tags: [{ key: 'a', value: '' }] })],
    ['archiveVersion', (version) => ({ version })],
    ['deleteVersion', (version) => ({ version })],
  ])('is not to be had for %s', async (field, inputOf) => {
    const refusal = await refused(stack, field, { ...inputOf(ref, await stack.model('gone')) });
    expect(refusal.__typename).toBe('NotFoundError');
  });

  test('is no parent any more', async () => {
    const input = { model: await stack.model('gone'), artifacts: [bytes], parents: [ref] };
    expect((await refused(stack, 'createVersion', input)).__typename).toMatch(/NotFoundError|ConflictError/);
  });
});

test('when a version says that it was created, it was the latest, however long its transaction took', async () => {
  const model = await stack.model('waited');
  await create(model);
  const project = innerId(await stack.project());
  const lock = await holdLock(
    stack,
    sql`select from ledger_counter where project_id = ${project} for update`,
  );
  const pending = create(model);
  await lock.waiters(1);
  const waitsSince = Date.now();
  while (Date.now() - waitsSince < 5) await lock.waiters(1);
  await lock.release();
  const { number, createdAt } = await pending;
  expect(await find(`waited@latest{${createdAt}}`)).toMatchObject({ number });
});

test('what is in a project that somebody cannot see is not there for them, whichever way they write it', async () => {
  const model = await stack.model('secret');
  const { id } = await create(model);
  await create(model);
  await done(stack, 'setAlias', { model, name: 'champion', version: 'secret:1' });
  const at = (await eventsOf(stack, PROJECT)).at(-1)!.at;
  await createProject(stack, 'theirs');
  const { secret } = await createToken(stack, { project: 'theirs', name: 'they', role: 'ADMIN' });
  const theirs = await done<{ id: string }>(
    stack,
    'createModel',
    { project: 'theirs', name: 'secret' },
    'id',
  );
  const call = { token: secret };
  const query = `query ($ref: VersionRef!) { version(ref: $ref) { id } }`;
  const inside = `query ($ref: VersionRef!) { project(name: "theirs") { version(ref: $ref) { id } } }`;
  const refs = [
    'test/secret:1',
    'test/secret:2~1',
    'test/secret@champion',
    'test/secret@latest',
    `test/secret@champion{${at}}`,
    'test/secret@latest{9999-01-01T00:00Z}',
    id,
    innerId(id),
    `${innerId(id)}~0`,
  ];
  for (const ref of refs) {
    const { body } = await stack.gql(query, { ref }, call);
    expect(body.errors?.[0]?.extensions, ref).toMatchObject({ code: 'NOT_FOUND' });
    expect(await stack.data(inside, { ref }, call)).toEqual({ project: { version: null } });
    for (const [field, input] of [
      ['createVersion', { model: theirs.id, artifacts: [bytes], parents: [ref] }],
      ['setAlias', { model: theirs.id, name: 'a', version: ref }],
      ['createDeployment', { project: 'theirs', name: 'a', version: ref }],
    ] as const) {
      const { __typename } = await refused(stack, field, { ...input }, call);
      expect([ref, field, __typename]).toEqual([ref, field, 'NotFoundError']);
    }
  }
  const missing = await stack.gql(query, { ref: 'nope/secret:1' }, call);
  const hidden = await stack.gql(query, { ref: 'test/secret:1' }, call);
  expect(JSON.stringify(hidden.body)).toBe(JSON.stringify(missing.body).replaceAll('nope', 'test'));
});
