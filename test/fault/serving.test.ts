/** Replicas that hang or eat memory, and changes under load: nothing that was accepted is lost by our doing. */
import { beforeAll, describe, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { predict } from '#test/helpers/predict.ts';
import { done } from '#test/helpers/registry.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn, stopped } from '#test/helpers/work.ts';
import { buildModel, elem, int, int64Tensor } from '#test/onnx/build-model.ts';
import { Load, outcomes } from './load.ts';

let stack: Stack;
let version: string;

beforeAll(async () => {
  stack = await startStack();
  const model = fixtureFile('breast-cancer/v2.onnx');
  version = (await stack.createModelVersion('fraud', [model], breastCancerSignature)).id;
});

interface Watched {
  readonly state: string;
  readonly arms: readonly {
    readonly replicas: readonly {
      readonly id: string;
      readonly state: string;
      readonly restarts: number;
      readonly exitReason: string | null;
    }[];
  }[];
}
const replicasOf = ({ arms }: Watched) => arms.flatMap(({ replicas }) => replicas);

/** Watches a deployment until it is as wanted. */
async function seen(id: string, is: (deployment: Watched) => boolean): Promise<Watched> {
  const query = `subscription ($id: ID!) {
    deployment(id: $id) { state arms { replicas { id state restarts exitReason } } }
  }`;
  return (await stack.until<{ deployment: Watched }>(query, { id }, ({ deployment }) => is(deployment)))
    .deployment;
}
const allReady = (count: number) => (deployment: Watched) =>
  deployment.state === 'LIVE' &&
  replicasOf(deployment).length === count &&
  replicasOf(deployment).every(({ state }) => state === 'READY');

test('a replica that hangs: its callers are answered by another one, and it is replaced', async () => {
  const { id } = await stack.deploy(version, { name: 'hangs', replicas: 2 });
  const load = new Load(stack, id, 8);
  await load.more(100);
  const [victim] = stack.replicaPids();
  process.kill(victim as number, 'SIGSTOP');
  const replaced = await seen(id, (deployment) =>
    replicasOf(deployment).some(({ exitReason }) => exitReason !== null),
  );
  expect(replicasOf(replaced).map(({ exitReason }) => exitReason)).toContainEqual(
    expect.stringMatching(/^It has been stopped, and has not answered for \d+ s\.$/),
  );
  await seen(id, allReady(2));
  await load.more(100);
  expect(outcomes(await load.stop())).toEqual({ PredictPayload: expect.any(Number) });
  expect(stack.replicaPids()).not.toContain(victim);
  await stopped(stack, id);
}, 90_000);

test('replicas are replaced, added and taken away under load: every request is answered', async () => {
  const { id } = await stack.deploy(version, { name: 'changes', replicas: 3 });
  const load = new Load(stack, id, 8);
  await load.more(100);
  const before = new Set(stack.replicaPids());
  await done(stack, 'scale', { deployment: id, resources: { threads: 2 } });
  await seen(
    id,
    (deployment) => allReady(3)(deployment) && stack.replicaPids().every((pid) => !before.has(pid)),
  );
  await load.more(100);
  await done(stack, 'scale', { deployment: id, replicas: 1 });
  await seen(id, allReady(1));
  await load.more(100);
  expect(outcomes(await load.stop())).toEqual({ PredictPayload: expect.any(Number) });
  await stopped(stack, id);
}, 90_000);

/** y = x + the sum of as many zeros as the largest x: what comes in decides how much memory a run takes. */
const greedy = buildModel({
  nodes: [
    { op: 'ReduceMax', inputs: ['x'], outputs: ['most'], attributes: [int('keepdims', 0)] },
    { op: 'Cast', inputs: ['most'], outputs: ['count'], attributes: [int('to', elem.int64)] },
    { op: 'Unsqueeze', inputs: ['count', 'zero'], outputs: ['shape'] },
    { op: 'ConstantOfShape', inputs: ['shape'], outputs: ['zeros'] },
    { op: 'ReduceSum', inputs: ['zeros'], outputs: ['sum'], attributes: [int('keepdims', 0)] },
    { op: 'Add', inputs: ['x', 'sum'], outputs: ['y'] },
  ],
  initializers: [int64Tensor('zero', [0])],
  inputs: [{ name: 'x', elem: elem.float, dims: [-1, 1] }],
  outputs: [{ name: 'y', elem: elem.float, dims: [-1, 1] }],
});

describe('a model that eats memory', () => {
  const MiB = 1024 ** 2;
  test('once it answers: it is replaced, with the reason, and its neighbours go on', async () => {
    const { id: hungry } = await stack.createModelVersion('greedy', [
      { name: 'greedy.onnx', content: greedy },
    ]);
    const neighbour = await stack.deploy(version, { name: 'neighbour' });
    const load = new Load(stack, neighbour.id, 2);
    const id = await createDeployment(stack, {
      project: 'test',
      name: 'greedy',
      version: hungry,
      resources: { memoryLimitBytes: 300 * MiB },
    });
    await deploymentIn(stack, id, 'LIVE');
    const [neighbourPid] = stack.replicaPids();
    // 240 MB of floats beside what an empty replica takes.
    const [answer] = (await predict(stack, { deployment: id, tensors: [{ name: 'x', data: [[60e6]] }] }))
      .tensors;
    expect(answer?.data).toEqual([60e6]);
    const fresh = await seen(
      id,
      (deployment) => allReady(1)(deployment) && replicasOf(deployment).some(({ restarts }) => restarts > 0),
    );
    expect(replicasOf(fresh)).toMatchObject([
      {
        restarts: 1,
        exitReason: expect.stringMatching(/^It took \d+ bytes of memory; its limit is 314572800/),
      },
    ]);
    await load.more(50);
    expect(outcomes(await load.stop())).toEqual({ PredictPayload: expect.any(Number) });
    expect(stack.replicaPids()).toContain(neighbourPid);
    await stopped(stack, id);
  }, 90_000);

  test('before it answers: FAILED with the reason, and nothing of it is left', async () => {
    const id = await createDeployment(stack, {
      project: 'test',
      name: 'tight',
      version,
      resources: { memoryLimitBytes: 64 * MiB },
    });
    const { stateReason } = await deploymentIn(stack, id, ['FAILED', 'LIVE']);
    expect(stateReason).toMatch(
      /^It took \d+ bytes of memory; its limit is 67108864 \(resources\.memoryLimitBytes\)\.$/,
    );
  }, 90_000);
});
