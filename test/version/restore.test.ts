/** An older version comes back as a new one. */
import { beforeAll, expect, test } from 'vitest';
import { grow } from '#test/helpers/lineage.ts';
import { fixtureFile } from '#test/helpers/models.ts';
import { predict } from '#test/helpers/predict.ts';
import { done, held, refused, versionAt, versionFields } from '#test/helpers/registry.ts';
import type { HeldFile, VersionFacts } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createToken, createVersion, stopped, workDone } from '#test/helpers/work.ts';

let stack: Stack;
let v1: HeldFile;
let v2: HeldFile;

beforeAll(async () => {
  stack = await startStack();
  v1 = await held(stack, 'breast-cancer/v1.onnx');
  v2 = await held(stack, 'breast-cancer/v2.onnx');
});

const fields = `${versionFields} operation { id } origin { __typename ... on RestoreOrigin { by { name } from { id } } }
  signature { task inputs { name datatype shape } outputs { name } } artifacts { path digest bytes mediaType }`;
interface Whole extends VersionFacts {
  readonly origin: { readonly __typename: string; readonly by?: unknown; readonly from?: { id: string } };
  readonly signature: unknown;
  readonly artifacts: unknown;
  readonly operation: unknown;
}
const restore = (input: object): Promise<Whole> => done(stack, 'restoreVersion', { ...input }, fields);

async function wholeOf(ref: string): Promise<Whole> {
  const query = `query ($ref: VersionRef!) { version(ref: $ref) { ${fields} } }`;
  return (await stack.data<{ version: Whole }>(query, { ref })).version;
}

test('it has the old bytes and what was written beside them, and comes from the newest and the old one', async () => {
  const model = await stack.model('fraud');
  const annotations = {
    message: 'the good one',
    metadata: { constructor: { deep: [1, null] } },
    tags: [{ key: 'a', value: 'b' }],
    metrics: [{ name: 'auc', value: 0.75 }],
  };
  const first = await done<VersionFacts>(
    stack,
    'createVersion',
    { model, artifacts: [v1], ...annotations },
    versionFields,
  );
  const second = await done<VersionFacts>(stack, 'createVersion', { model, artifacts: [v2] }, versionFields);
  const old = await wholeOf(first.id);
  expect(old.origin).toEqual({ __typename: 'UploadOrigin' });
  const made = await restore({ version: `${PROJECT}/fraud:1` });
  expect(made).toEqual({
    ...old,
    id: made.id,
    number: 3,
    createdAt: made.createdAt,
    message: 'Restores version 1.',
    parents: [
      { id: second.id, number: 2 },
      { id: first.id, number: 1 },
    ],
    operation: null,
    origin: { __typename: 'RestoreOrigin', by: { name: 'local' }, from: { id: first.id } },
  });
  expect(await wholeOf(`${PROJECT}/fraud@latest`)).toEqual(made);
  // What is written beside the one from then on is not written beside the other.
  await done(stack, 'updateVersion', {
    version: first.id,
    metadata: null,
    removeTags: ['a'],
    removeMetrics: ['auc'],
  });
  expect(await wholeOf(made.id)).toEqual(made);
});

test('the newest one, and one that was restored, can be restored too', async () => {
  const model = await grow(stack, v1, 'again', [[], [1]]);
  const newest = await restore({ version: `${PROJECT}/again@latest`, message: 'once more' });
  expect(newest).toMatchObject({ number: 3, message: 'once more', parents: [{ number: 2 }] });
  const again = await restore({ version: newest.id });
  expect(again).toMatchObject({ number: 4, parents: [{ number: 3 }], origin: { from: { id: newest.id } } });
  const older = await restore({ version: `${PROJECT}/again:1` });
  expect(older.parents).toMatchObject([{ number: 4 }, { number: 1 }]);
  expect(
    (await done<VersionFacts>(stack, 'createVersion', { model, artifacts: [v2] }, versionFields)).parents,
  ).toEqual([{ id: older.id, number: 5 }]);
});

test('what was archived comes back unarchived', async () => {
  await grow(stack, v1, 'shelf', [[], [1]]);
  await done(stack, 'archiveVersion', { version: `${PROJECT}/shelf:1` });
  expect(await restore({ version: `${PROJECT}/shelf:1` })).toMatchObject({ number: 3, archivedAt: null });
});

test('it answers as the old one did, also where another graph than the uploaded one is served', async () => {
  const row = { data: [[5.1, 3.5, 1.4, 0.2]] };
  await stack.createModelVersion('iris', [fixtureFile('iris/v1.onnx')]);
  await stack.createModelVersion('iris', [fixtureFile('iris/v2.onnx')]);
  const { id } = await restore({ version: `${PROJECT}/iris:1` });
  const answers = [];
  for (const version of [`${PROJECT}/iris:1`, id]) {
    const { id: deployment } = await stack.deploy(version, { name: 'iris' });
    const { signature } = (
      await stack.data<{
        version: { signature: { inputs: [{ name: string }] } };
      }>('query ($ref: VersionRef!) { version(ref: $ref) { signature { inputs { name } } } }', {
        ref: version,
      })
    ).version;
    const tensors = [{ name: signature.inputs[0].name, ...row }];
    const { rows, tensors: outputs } = await predict(stack, { deployment, tensors });
    answers.push({ rows: rows.map(({ label, probabilities }) => ({ label, probabilities })), outputs });
    await stopped(stack, deployment);
  }
  expect(answers[1]).toEqual(answers[0]);
});

test('refused: what is not READY, what raced, and who may not', async () => {
  const model = await grow(stack, v1, 'refused', [[], [1]]);
  const broken = await createVersion(stack, model, [{ name: 'broken.onnx', content: 'nothing' }]);
  await workDone(stack, broken.operation.id);
  expect(await refused(stack, 'restoreVersion', { version: broken.id })).toMatchObject({
    __typename: 'NotReadyError',
    message: 'Version 3 is REJECTED, not READY.',
  });
  const old = { version: `${PROJECT}/refused:1` };
  expect(await refused(stack, 'restoreVersion', { ...old, expectedLatest: 2 })).toMatchObject({
    __typename: 'ConflictError',
    current: '3',
  });
  const { secret } = await createToken(stack, { project: PROJECT, name: 'reader', role: 'READER' });
  expect(await refused(stack, 'restoreVersion', old, { token: secret })).toMatchObject({
    __typename: 'ForbiddenError',
    needs: 'AUTHOR',
  });
  const tooLong = await refused(stack, 'restoreVersion', { ...old, message: 'x'.repeat(10_001) });
  expect(tooLong.issues).toMatchObject([{ path: ['message'] }]);
  // What was rejected is no parent.
  expect(await restore({ ...old, expectedLatest: 3 })).toMatchObject({
    number: 4,
    parents: [{ number: 2 }, { number: 1 }],
  });
});

test('many at once: each is numbered, and comes from the one before it', async () => {
  await grow(stack, v1, 'crowd', [[]]);
  const made = await Promise.all(
    Array.from({ length: 20 }, () => restore({ version: `${PROJECT}/crowd:1` })),
  );
  const byNumber = made.toSorted((a, b) => a.number - b.number);
  expect(byNumber.map(({ number }) => number)).toEqual(made.map((_, index) => index + 2));
  for (const { number, parents } of byNumber) {
    expect(parents.map((parent) => parent.number)).toEqual(number === 2 ? [1] : [number - 1, 1]);
  }
  expect(await versionAt(stack, `${PROJECT}/crowd@latest`)).toMatchObject({ number: 21 });
});
