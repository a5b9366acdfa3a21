/** Bytes in the store: kept once, as long as a version has them, and not a moment longer. */
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { filesIn, filesOnce } from '#test/helpers/folder.ts';
import { fixtureFile } from '#test/helpers/models.ts';
import { attempt, done, held, issueOf, refused } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createProject, ingested, workDone } from '#test/helpers/work.ts';

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ env: { ARTIFACT_GRACE_SECONDS: '0' } });
  await held(stack, 'breast-cancer/v1.onnx');
});

const stored = (): string[] => filesIn(join(stack.artifactStore, 'sha256'));
/** Once the sweep has come by. */
const storedOnce = (isWanted: (files: readonly string[]) => boolean) =>
  filesOnce(join(stack.artifactStore, 'sha256'), isWanted);
const remove = (version: string) => done(stack, 'deleteVersion', { version });

test('they go with the last version that has them, also the graph that was made from them', async () => {
  const before = stored();
  const file = await held(stack, 'iris/v1.onnx');
  // As it was uploaded, and as it is served.
  expect(stored()).toHaveLength(before.length + 2);
  const model = await stack.model('shared');
  await done(stack, 'createVersion', { model, artifacts: [file] });
  await done(stack, 'restoreVersion', { version: `${PROJECT}/shared:1` });
  expect(stored()).toHaveLength(before.length + 2);
  for (const version of ['bytes@latest', 'shared:2', 'shared:1']) {
    expect(stored()).toHaveLength(before.length + 2);
    await remove(`${PROJECT}/${version}`);
  }
  expect(await storedOnce((files) => files.length <= before.length)).toEqual(before);
  expect(issueOf(await refused(stack, 'createVersion', { model, artifacts: [file] })).path).toEqual([
    'artifacts',
    '0',
    'digest',
  ]);
});

test('they stay while another project has them, and are nothing to the one that has let them go', async () => {
  const fixture = fixtureFile('iris/v2.onnx');
  const file = await held(stack, 'iris/v2.onnx');
  await createProject(stack, 'other');
  const theirs = await done<{ id: string }>(stack, 'createModel', { project: 'other', name: 'm' }, 'id');
  const { id } = await ingested(stack, theirs.id, [fixture]);
  await remove(`${PROJECT}/bytes@latest`);
  expect(stored()).toContain(join(file.digest.slice(0, 2), file.digest));
  const model = await stack.model('again');
  expect(await refused(stack, 'createVersion', { model, artifacts: [file] })).toMatchObject({
    __typename: 'ValidationError',
  });
  await remove(id);
  await storedOnce((files) => !files.includes(join(file.digest.slice(0, 2), file.digest)));
});

test('a version of several files is READY at once only where the same files were read under the same names', async () => {
  const files = ['model.onnx', 'weights.bin'].map((name) => fixtureFile(`external-data/${name}`));
  const { id } = await stack.createModelVersion('external', files);
  const query =
    'query ($id: VersionRef!) { version(ref: $id) { digest bytes artifacts { path digest bytes } } }';
  const { version } = await stack.data<{
    version: { digest: string; artifacts: { path: string; digest: string }[] };
  }>(query, { id });
  const artifacts = version.artifacts.map(({ path, digest }) => ({ path, digest }));
  const model = await stack.model('external');
  const fields = 'id status digest operation { id }';
  for (const order of [artifacts, artifacts.toReversed()]) {
    const made = await done<object>(stack, 'createVersion', { model, artifacts: order }, fields);
    expect(made).toMatchObject({ status: 'READY', digest: version.digest, operation: null });
  }
  const renamed = artifacts.map((file) =>
    file.path === 'model.onnx' ? { ...file, path: 'net.onnx' } : file,
  );
  expect(await done<object>(stack, 'createVersion', { model, artifacts: renamed }, fields)).toMatchObject({
    status: 'PENDING',
    operation: { id: expect.any(String) },
  });
  const signed = { model, artifacts, signature: { task: 'OTHER' } };
  expect(await done<object>(stack, 'createVersion', signed, fields)).toMatchObject({ status: 'PENDING' });
});

test('the last version that has them is deleted while others are made of them: who is made has them', async () => {
  const model = await stack.model('race');
  type Made = { readonly id: string; readonly operation: { readonly id: string } | null };
  for (let round = 0; round < 5; round++) {
    const file = await held(stack, 'wine/v1.onnx');
    const path = join(file.digest.slice(0, 2), file.digest);
    const input = { model, artifacts: [file] };
    const [, ...results] = await Promise.all([
      remove(`${PROJECT}/bytes@latest`),
      ...Array.from({ length: 3 }, () => attempt<Made>(stack, 'createVersion', input, 'id operation { id }')),
    ]);
    const made = results.flatMap((result) => ('made' in result ? [result.made] : []));
    if (made.length > 0) expect(stored()).toContain(path);
    for (const result of results) {
      if ('refusal' in result) expect(issueOf(result.refusal).path).toEqual(['artifacts', '0', 'digest']);
    }
    for (const { operation } of made) {
      if (operation) expect(await workDone(stack, operation.id)).toMatchObject({ status: 'SUCCEEDED' });
    }
    for (const _ of made) await remove(`${PROJECT}/race@latest`);
    await storedOnce((files) => !files.includes(path));
  }
});
