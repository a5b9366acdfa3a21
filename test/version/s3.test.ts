/** The whole way of a model whose bytes are kept on S3: sent, read, deployed, predicted with, deleted. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { filesIn } from '#test/helpers/folder.ts';
import { fixtureFile } from '#test/helpers/models.ts';
import { attempt, done } from '#test/helpers/registry.ts';
import { S3Server } from '#test/helpers/s3-server.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { createVersion, sendVersion, workDone } from '#test/helpers/work.ts';

const server = new S3Server();
let stack: Stack;

beforeAll(async () => {
  await server.start();
  stack = await startStack({ env: { ...server.environment('models'), ARTIFACT_GRACE_SECONDS: '0' } });
});
afterAll(async () => {
  await stack.stop();
  await server.stop();
});

const keys = (folder: string): string[] =>
  [...server.objects.keys()].filter((key) => key.startsWith(`models/${folder}/`));

const predict = async (): Promise<unknown> => {
  const query = `mutation ($tensors: [TensorInput!]) { result: predict(input: {deployment: "test/iris", tensors: $tensors}) {
    ... on PredictPayload { tensors { name data } } ... on Error { code message } } }`;
  const tensors = [{ name: 'input', data: [[5.1, 3.5, 1.4, 0.2]] }];
  return (await stack.data<{ result: unknown }>(query, { tensors })).result;
};

test('a model is sent, read, deployed and predicted with', async () => {
  // Its served graph is derived: that one is kept, too.
  const version = await stack.createModelVersion('iris', [fixtureFile('iris/v1.onnx')]);
  expect(keys('sha256')).toHaveLength(2);
  expect(keys('staging')).toEqual([]);
  await stack.deploy(version.id, { name: 'iris' });
  expect(await predict()).toMatchObject({ tensors: expect.any(Array) });
  expect(existsSync(stack.artifactStore)).toBe(false);
  expect(readdirSync(join(stack.dataDir, 'cache/blobs')).toSorted()).toEqual(
    keys('sha256')
      .map((key) => key.slice(-64))
      .toSorted(),
  );
  // What was read is not left anywhere else.
  expect(filesIn(join(stack.dataDir, 'work'))).toEqual([]);
});

test('several files are one version', async () => {
  const files = ['model.onnx', 'weights.bin'].map((name) => fixtureFile(`external-data/${name}`));
  expect(await stack.createModelVersion('external', files)).toMatchObject({ status: 'READY' });
});

test('while it is away: predictions go on, an upload is refused with what to do, an ingest waits', async () => {
  const model = await stack.model('away');
  await stack.worker.kill('SIGTERM');
  const waiting = await createVersion(stack, model, [fixtureFile('wine/v1.onnx')]);
  await server.stop();
  expect(await predict()).toMatchObject({ tensors: expect.any(Array) });
  const { body } = await sendVersion(stack, model, [fixtureFile('iris/v2.onnx')]);
  expect(body.data?.result).toMatchObject({ __typename: 'NotReadyError', code: 'NOT_READY' });
  const ready = await fetch(`${stack.api.url}/health/ready`);
  expect(ready.status).toBe(503);
  expect(await ready.json()).toMatchObject({ parts: { artifactStore: 'not ready', postgres: 'ready' } });
  await server.start();
  await stack.worker.start();
  expect(await workDone(stack, waiting.operation.id)).toMatchObject({ status: 'SUCCEEDED' });
});

test('an ingest that cannot get at the bytes is no failure of the model', async () => {
  server.fault = ({ method, key }) => (method === 'GET' && key.includes('/sha256/') ? 'fail' : undefined);
  const version = await createVersion(stack, await stack.model('later'), [fixtureFile('penguins/v1.onnx')]);
  const query = 'subscription ($id: ID!) { operation(id: $id) { status attempts } }';
  type Seen = { operation: { status: string; attempts: number } };
  const isBack = ({ operation }: Seen): boolean => operation.status === 'QUEUED' && operation.attempts > 0;
  await stack.until<Seen>(query, { id: version.operation.id }, isBack);
  server.fault = () => undefined;
  expect(await workDone(stack, version.operation.id)).toMatchObject({ status: 'SUCCEEDED' });
});

test('bytes go with the last version that has them', async () => {
  const before = keys('sha256');
  await stack.createModelVersion('short', [fixtureFile('iris/v2.onnx')]);
  expect(keys('sha256')).toHaveLength(before.length + 1);
  await done(stack, 'deleteVersion', { version: 'test/short:1' });
  await expect.poll(() => keys('sha256'), { timeout: 30_000 }).toEqual(before);
  expect(await attempt(stack, 'createModel', { project: 'test', name: 'still-here' })).toHaveProperty('made');
});
