/** Numbers of versions: 1, 2, 3 … within a model, whoever comes at the same time; and what of a version never changes. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { done, held, issueOf, refused, versionAt, versionFields } from '#test/helpers/registry.ts';
import type { HeldFile, VersionFacts } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createProject } from '#test/helpers/work.ts';
import { rowsOf } from '#test/fault/stack-facts.ts';

let stack: Stack;
let v1: HeldFile;
let v2: HeldFile;

beforeAll(async () => {
  stack = await startStack({ apis: 2 });
  v1 = await held(stack, 'breast-cancer/v1.onnx');
  v2 = await held(stack, 'breast-cancer/v2.onnx');
});

const create = (model: string, input: object = {}, api = stack.api): Promise<VersionFacts> =>
  done(stack, 'createVersion', { model, artifacts: [v1], ...input }, versionFields, { api });

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

/** The numbers that a model's versions tell of in the ledger, in its order. */
async function numbersInLedger(model: string): Promise<number[]> {
  const [name] = Buffer.from(model, 'base64').toString().split(':').slice(1);
  const events = sql<{ number: number }>`
    select (data->>'number')::integer as number from ledger_event
    where type = 'VERSION_CREATED' and model_id = ${name} order by sequence`;
  return (await rowsOf(stack, events)).map(({ number }) => number);
}

describe('at once', () => {
  test('a hundred versions of one model, by two apis, are numbered 1 to 100 and READY', async () => {
    const model = await stack.model('hundred');
    const created = await Promise.all(upTo(100).map((each) => create(model, {}, stack.apis[each % 2])));
    expect(created.map(({ number }) => number).toSorted((a, b) => a - b)).toEqual(upTo(100));
    expect(new Set(created.map(({ status }) => status))).toEqual(new Set(['READY']));
    expect(new Set(created.map(({ id }) => id)).size).toBe(100);
    // Each was made from the one before it: nobody saw a latest that was not the latest any more.
    for (const { number, parents } of created) {
      expect(parents.map((parent) => parent.number)).toEqual(number === 1 ? [] : [number - 1]);
    }
    expect(await numbersInLedger(model)).toEqual(upTo(100));
  });

  test('two models count each for itself', async () => {
    const models = await Promise.all(['left', 'right'].map((name) => stack.model(name)));
    const created = await Promise.all(upTo(40).map((each) => create(models[each % 2]!)));
    for (const parity of [0, 1]) {
      const own = created.filter((_, index) => (index + 1) % 2 === parity);
      expect(own.map(({ number }) => number).toSorted((a, b) => a - b)).toEqual(upTo(20));
    }
  });

  test('of ten who expect the same latest, one is served and nine hear which it is now', async () => {
    const model = await stack.model('raced');
    await create(model);
    const input = { model, artifacts: [v1], expectedLatest: 1 };
    const fields = 'number';
    const results = await Promise.allSettled(
      upTo(10).map((each) =>
        done<{ number: number }>(stack, 'createVersion', input, fields, { api: stack.apis[each % 2]! }),
      ),
    );
    const served = results.filter((result) => result.status === 'fulfilled');
    expect(served.map(({ value }) => value.number)).toEqual([2]);
    const lost = results.filter((result) => result.status === 'rejected');
    for (const { reason } of lost) expect(String(reason)).toMatch(/"ConflictError".*"current":"2"/);
    expect(await numbersInLedger(model)).toEqual([1, 2]);
  });
});

describe('refused', () => {
  test('a latest that is another, also where there is none, takes no number', async () => {
    const model = await stack.model('expected');
    const input = { model, artifacts: [v1] };
    expect(await refused(stack, 'createVersion', { ...input, expectedLatest: 1 })).toMatchObject({
      __typename: 'ConflictError',
      current: '0',
    });
    expect((await create(model, { expectedLatest: 0 })).number).toBe(1);
    expect(await refused(stack, 'createVersion', { ...input, expectedLatest: 0 })).toMatchObject({
      __typename: 'ConflictError',
      code: 'CONFLICT',
      current: '1',
      message: 'The latest version is 1, not 0.',
    });
    expect((await create(model, { expectedLatest: 1 })).number).toBe(2);
  });

  test('bytes that the project does not hold, or that another project holds', async () => {
    const model = await stack.model('missing');
    const nowhere = { path: 'other.onnx', digest: '0'.repeat(64) };
    const issue = issueOf(await refused(stack, 'createVersion', { model, artifacts: [v1, nowhere] }));
    expect(issue).toMatchObject({
      path: ['artifacts', '1', 'digest'],
      expected: 'the digest of a file that a version of this project holds',
      found: nowhere.digest,
    });
    await createProject(stack, 'elsewhere');
    const other = await done<{ id: string }>(
      stack,
      'createModel',
      { project: 'elsewhere', name: 'fraud' },
      'id',
    );
    const foreign = await refused(stack, 'createVersion', { model: other.id, artifacts: [v1] });
    expect(issueOf(foreign).path).toEqual(['artifacts', '0', 'digest']);
    expect((await create(model)).number).toBe(1);
  });

  test.each<[string, object, string[]]>([
    ['no files at all', { artifacts: [] }, ['files']],
    ['a path twice', { artifacts: [{ path: 'a' }, { path: 'a' }] }, ['artifacts', '1', 'path']],
    ['a path upwards', { artifacts: [{ path: '../a' }] }, ['artifacts', '0', 'path']],
    ['an empty path', { artifacts: [{ path: '' }] }, ['artifacts', '0', 'path']],
    ['a message that is too long', { message: 'x'.repeat(10_001) }, ['message']],
  ])('%s', async (_what, input, path) => {
    const model = await stack.model('refused');
    const artifacts = 'artifacts' in input ? (input.artifacts as object[]) : [v1];
    const whole = { ...input, model, artifacts: artifacts.map((file) => ({ digest: v1.digest, ...file })) };
    const issue = issueOf(await refused(stack, 'createVersion', whole));
    expect(issue).toMatchObject({ path, expected: expect.any(String), found: expect.any(String) });
    expect(await numbersInLedger(model)).toEqual([]);
  });
});

test('what is written beside a version changes; what it is does not', async () => {
  const model = await stack.model('immutable');
  await create(model);
  const before = await create(model, {
    artifacts: [v2],
    message: 'better\n\tby far',
    tags: [{ key: 'a', value: '1' }],
  });
  expect(before).toMatchObject({
    number: 2,
    status: 'READY',
    digest: v2.digest,
    bytes: 1060,
    message: 'better\n\tby far',
    author: { name: 'local', kind: 'USER' },
    parents: [{ number: 1 }],
  });
  const change = {
    version: `${PROJECT}/immutable:2`,
    tags: [{ key: 'b', value: '2' }],
    removeTags: ['a'],
    metadata: { owner: 'ana' },
    metrics: [{ name: 'auc', value: 0.5 }],
  };
  const after = await done<VersionFacts>(stack, 'updateVersion', change, versionFields);
  await create(model, { parents: [] });
  for (const seen of [after, await versionAt(stack, before.id)]) {
    expect(seen).toEqual({
      ...before,
      tags: [{ key: 'b', value: '2' }],
      metadata: { owner: 'ana' },
      metrics: [{ name: 'auc', value: 0.5, source: 'REPORTED' }],
    });
  }
});
