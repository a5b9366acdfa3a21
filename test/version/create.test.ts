/** Versions that are taken: numbered, described, cancelled. */
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { filesIn, filesOnce } from '#test/helpers/folder.ts';
import { breastCancerColumns, breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import {
  cancelOperation,
  createVersion,
  versionNow,
  workDone,
  workIn,
  type CreatedVersion,
} from '#test/helpers/work.ts';
import { buildModel, endlessLoop, identityModel } from '#test/onnx/build-model.ts';

let stack: Stack;
/** Bytes in the store. */
let kept: string;

beforeAll(async () => {
  stack = await startStack();
  kept = join(stack.artifactStore, 'sha256');
  await stack.createModelVersion('good', [fixtureFile('breast-cancer/v1.onnx')]);
});

describe('taken', () => {
  test('twenty at once are numbered 1 to 20, and their bytes are kept once', async () => {
    const model = await stack.model('many');
    const before = filesIn(kept);
    const versions = await Promise.all(
      Array.from({ length: 20 }, () => createVersion(stack, model, [fixtureFile('iris/v2.onnx')])),
    );
    const numbers = versions.map(({ number }) => number).toSorted((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(filesIn(kept)).toHaveLength(before.length + 1);
    const done = await Promise.all(versions.map(({ operation }) => workDone(stack, operation.id)));
    expect(done.map(({ status }) => status)).toEqual(done.map(() => 'SUCCEEDED'));
  });

  test('a version tells its files, its signature and what was done', async () => {
    const { id } = await stack.createModelVersion(
      'meaning',
      [fixtureFile('breast-cancer/v2.onnx')],
      breastCancerSignature,
    );
    const query = `query ($id: VersionRef!) { version(ref: $id) {
      number bytes digest author { name kind } artifacts { path bytes digest mediaType } model { name latest { number } }
      operation { kind status attempts log progress { done total unit stage } by { name } }
      signature { task classes positiveClass inputs { name datatype shape nullable } outputs { name datatype shape } columns { name input index datatype nullable } }
    } }`;
    const { version } = await stack.data<{ version: Record<string, unknown> }>(query, { id });
    const digest = '8b1f02c4529469aa1a24dd67b9fa8a6bacce4076ff31d53d4e43a958e1a6f315';
    expect(version).toMatchObject({
      number: 1,
      bytes: 1060,
      digest,
      author: { name: 'local', kind: 'USER' },
      artifacts: [{ path: 'v2.onnx', bytes: 1060, digest, mediaType: 'application/onnx' }],
      model: { name: 'meaning', latest: { number: 1 } },
      operation: {
        kind: 'version.ingest',
        status: 'SUCCEEDED',
        attempts: 1,
        progress: { done: 1060, total: 1060, unit: 'bytes' },
        by: { name: 'local' },
      },
      signature: {
        task: 'BINARY',
        classes: ['benign', 'malignant'],
        positiveClass: 'malignant',
        inputs: [{ name: 'input', datatype: 'FP32', shape: [-1, 30], nullable: false }],
        outputs: [
          { name: 'label', datatype: 'BYTES', shape: [-1] },
          { name: 'probabilities', datatype: 'FP32', shape: [-1, 2] },
        ],
        columns: breastCancerColumns.map((name, index) => ({
          name,
          input: 'input',
          index,
          datatype: 'FP32',
          nullable: false,
        })),
      },
    });
  });

  test('what a graph says itself: named inputs, classes, maps as a matrix', async () => {
    const query = `query ($id: VersionRef!) { version(ref: $id) { digest artifacts { path } signature { task classes outputs { name datatype shape } columns { name index } } operation { log } } }`;
    const penguins = await stack.createModelVersion('penguins', [fixtureFile('penguins/v1.onnx')]);
    const named = await stack.data<object>(query, { id: penguins.id });
    expect(named).toMatchObject({
      version: {
        signature: {
          task: 'MULTICLASS',
          classes: ['Adelie', 'Chinstrap', 'Gentoo'],
          columns: [
            'bill_length_mm',
            'bill_depth_mm',
            'flipper_length_mm',
            'body_mass_g',
            'island',
            'sex',
          ].map((name) => ({ name, index: null })),
        },
      },
    });
    const iris = await stack.createModelVersion('zipmap', [fixtureFile('iris/v1.onnx')]);
    expect(await stack.data<object>(query, { id: iris.id })).toMatchObject({
      version: {
        digest: '9f91b011ac67883d420d08dc87277d4f0dc25d9b054669aa66210af44c63ff65',
        artifacts: [{ path: 'v1.onnx' }],
        signature: {
          columns: null,
          outputs: [
            { name: 'output_label' },
            { name: 'output_probability', datatype: 'FP32', shape: [-1, 3] },
          ],
        },
        operation: { log: expect.arrayContaining([expect.stringContaining('derived graph')]) },
      },
    });
  });
});

describe('cancelled', () => {
  const gone = async (version: CreatedVersion, before: string[]): Promise<void> => {
    expect(await versionNow(stack, version.id)).toMatchObject({
      status: 'REJECTED',
      statusReason: 'The operation was cancelled.',
    });
    await filesOnce(stack.artifactStore, () => filesIn(kept).length === before.length);
  };

  test('while it waits', async () => {
    const before = filesIn(kept);
    await stack.worker.kill('SIGTERM');
    const version = await createVersion(stack, await stack.model('cancelled'), [
      { name: 'w.onnx', content: buildModel(identityModel) },
    ]);
    expect(await cancelOperation(stack, version.operation.id)).toMatchObject({ status: 'CANCELLING' });
    await stack.worker.start();
    expect(await workDone(stack, version.operation.id)).toMatchObject({
      status: 'CANCELLED',
      error: { code: 'CANCELLED' },
    });
    await gone(version, before);
  });

  test('while it runs', async () => {
    const before = filesIn(kept);
    // Its trial run would take all the time that it is given.
    const version = await createVersion(stack, await stack.model('cancelled'), [
      { name: 'endless.onnx', content: endlessLoop() },
    ]);
    await workIn(stack, version.operation.id, ['RUNNING']);
    expect(await cancelOperation(stack, version.operation.id)).toMatchObject({ status: 'CANCELLING' });
    expect(await workDone(stack, version.operation.id)).toMatchObject({ status: 'CANCELLED', attempts: 1 });
    await gone(version, before);
  });

  test('when it has ended', async () => {
    const { operation } = await versionNow(stack, 'test/good:1');
    expect(await cancelOperation(stack, operation.id)).toMatchObject({ status: 'SUCCEEDED' });
    expect(await versionNow(stack, 'test/good:1')).toMatchObject({ status: 'READY' });
  });
});
