/** A replica that is killed under load: its requests are answered by another one, or fail clearly, at once. */
import { beforeAll, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { deploymentIn } from '#test/helpers/work.ts';
import { Load, outcomes, slowest } from './load.ts';

const IN_FLIGHT = 16;
/** A second is promised; as much again is for a machine that is busy with other tests. */
const SLOWEST_MS = 2_000;

interface Watched {
  readonly state: string;
  readonly stateReason: string | null;
  readonly arms: readonly {
    readonly replicas: readonly {
      readonly state: string;
      readonly restarts: number;
      readonly exitReason: string | null;
    }[];
  }[];
}

let stack: Stack;
let version: string;

beforeAll(async () => {
  stack = await startStack();
  const model = fixtureFile('breast-cancer/v2.onnx');
  version = (await stack.createModelVersion('fraud', [model], breastCancerSignature)).id;
});

/** Every state of a deployment from now on until it is LIVE again, kills one of its replicas at the first. */
async function statesAfter(id: string, kill: () => void): Promise<Watched[]> {
  const query = `subscription ($id: ID!) {
    deployment(id: $id) { state stateReason arms { replicas { state restarts exitReason } } }
  }`;
  const seen: Watched[] = [];
  await stack.until<{ deployment: Watched }>(query, { id }, ({ deployment }) => {
    if (seen.length === 0) kill();
    seen.push(deployment);
    return deployment.state === 'LIVE' && seen.some(({ state }) => state === 'DEGRADED');
  });
  return seen;
}

test('one of two: every request is answered', async () => {
  const { id } = await stack.deploy(version, { name: 'two', replicas: 2 });
  const load = new Load(stack, id, IN_FLIGHT);
  await load.more(200);
  const [victim] = stack.replicaPids();
  const seen = await statesAfter(id, () => process.kill(victim as number, 'SIGKILL'));
  await load.more(200);
  const ended = await load.stop();
  expect(outcomes(ended)).toEqual({ PredictPayload: ended.length });
  expect(slowest(ended)).toBeLessThan(SLOWEST_MS);

  const states = seen.map(({ state }) => state);
  expect(states.filter((state, at) => state !== states[at - 1])).toEqual(['LIVE', 'DEGRADED', 'LIVE']);
  const degraded = seen.find(({ state }) => state === 'DEGRADED');
  expect(degraded?.stateReason).toBe('1 of 2 replicas are ready.');
  expect(degraded?.arms[0]?.replicas).toContainEqual({
    state: 'BACKING_OFF',
    restarts: 1,
    exitReason: 'The process was killed or crashed.',
  });
  expect(
    seen
      .at(-1)
      ?.arms[0]?.replicas.map(({ restarts }) => restarts)
      .toSorted(),
  ).toEqual([0, 1]);
  expect(stack.replicaPids()).not.toContain(victim);
  expect(stack.replicaPids()).toHaveLength(2);
});

test('the only one: requests fail with NotReadyError within a second, then it answers again', async () => {
  const before = stack.replicaPids();
  const { id } = await stack.deploy(version, { name: 'one' });
  const [victim] = stack.replicaPids().filter((pid) => !before.includes(pid));
  const load = new Load(stack, id, IN_FLIGHT);
  await load.more(200);
  const seen = await statesAfter(id, () => process.kill(victim as number, 'SIGKILL'));
  await load.more(200);
  const ended = await load.stop();
  expect(outcomes(ended)).toEqual({
    PredictPayload: expect.any(Number),
    NotReadyError: expect.any(Number),
  });
  expect(slowest(ended)).toBeLessThan(SLOWEST_MS);
  expect(seen.find(({ state }) => state === 'DEGRADED')?.stateReason).toBe('0 of 1 replicas are ready.');
  await deploymentIn(stack, id, 'LIVE');
});

test('over SSE, too, each event tells how the replicas are then', async () => {
  const before = stack.replicaPids();
  const { id } = await stack.deploy(version, { name: 'events' });
  const [victim] = stack.replicaPids().filter((pid) => !before.includes(pid));
  const query = `subscription ($id: ID!) { deployment(id: $id) { state arms { replicas { state restarts } } } }`;
  const response = await fetch(`${stack.api.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({ query, variables: { id } }),
  });
  let seen = '';
  for await (const chunk of (response.body as ReadableStream<BufferSource>).pipeThrough(
    new TextDecoderStream(),
  )) {
    if (seen === '') process.kill(victim as number, 'SIGKILL');
    seen += chunk;
    if (seen.includes('"state":"LIVE","arms":[{"replicas":[{"state":"READY","restarts":1}')) break;
  }
  expect(seen).toContain('"state":"DEGRADED","arms":[{"replicas":[{"state":"BACKING_OFF","restarts":1}');
});
