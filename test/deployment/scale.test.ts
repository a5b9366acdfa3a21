/** Arms with shares of the traffic, and changing what is wanted of a deployment while it answers. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { eventsOf } from '#test/helpers/ledger.ts';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { predict } from '#test/helpers/predict.ts';
import { done, refused } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, createToken, deploymentIn, stopped, undeploy } from '#test/helpers/work.ts';
import { rowsOf } from '#test/fault/stack-facts.ts';
import { patient } from '#test/prediction/served.ts';

let stack: Stack;
let v2: string;
let v3: string;
let other: string;

beforeAll(async () => {
  stack = await startStack();
  const versionOf = async (path: string) =>
    (await stack.createModelVersion('fraud', [fixtureFile(path)], breastCancerSignature)).id;
  v2 = await versionOf('breast-cancer/v2.onnx');
  v3 = await versionOf('breast-cancer/v3.onnx');
  other = (await stack.createModelVersion('flowers', [fixtureFile('iris/v2.onnx')])).id;
});

interface Seen {
  readonly state: string;
  readonly desiredReplicas: number;
  readonly resources: { readonly threads: number; readonly memoryLimitBytes: number | null };
  readonly batching: { readonly maxRows: number; readonly maxDelayMs: number };
  readonly arms: readonly {
    readonly name: string;
    readonly role: string;
    readonly weight: number;
    readonly replicas: readonly { readonly id: string; readonly state: string }[];
  }[];
}
const fields = `state desiredReplicas resources { threads memoryLimitBytes } batching { maxRows maxDelayMs }
  arms { name role weight replicas { id state } }`;

/** Watches a deployment until it is as wanted. */
async function seen(id: string, is: (deployment: Seen) => boolean): Promise<Seen> {
  const query = `subscription ($id: ID!) { deployment(id: $id) { ${fields} } }`;
  return (await stack.until<{ deployment: Seen }>(query, { id }, ({ deployment }) => is(deployment)))
    .deployment;
}

const scale = (input: object) => done<Seen>(stack, 'scale', input as Record<string, unknown>, fields);
const arms = (weight: number) => [
  { name: 'old', version: v2, weight: 1 - weight },
  { name: 'new', version: v3, weight },
];
const isSettled = (replicas: number) => (deployment: Seen) =>
  deployment.state === 'LIVE' &&
  deployment.arms.every(
    (arm) => arm.replicas.length === replicas && arm.replicas.every(({ state }) => state === 'READY'),
  );
const armOf = async (deployment: string, routingKey: string): Promise<string> =>
  (await predict(stack, { deployment, rows: [patient], routingKey })).arm;

test('several arms: each has its replicas, and a key stays with its arm while that does not shrink past it', async () => {
  const id = await createDeployment(stack, { project: PROJECT, name: 'split', arms: arms(0.3), replicas: 1 });
  const live = await seen(id, isSettled(1));
  expect(live.arms.map(({ name, role, weight }) => [name, role, weight])).toEqual([
    ['new', 'CANDIDATE', 0.3],
    ['old', 'STABLE', 0.7],
  ]);
  const keys = Array.from({ length: 60 }, (_none, index) => `user ${index}`);
  const at = async () =>
    new Map(await Promise.all(keys.map(async (key) => [key, await armOf(id, key)] as const)));
  const first = await at();
  expect(await at()).toEqual(first);
  expect(new Set(first.values())).toEqual(new Set(['old', 'new']));

  const grown = await scale({
    deployment: id,
    weights: [
      { arm: 'new', weight: 0.6 },
      { arm: 'old', weight: 0.4 },
    ],
  });
  expect(grown.arms.map(({ weight }) => weight)).toEqual([0.6, 0.4]);
  const answered = async (key: string, arm: string) => {
    // Routes are told by a notification: the next request may still be ahead of it.
    while ((await armOf(id, key)) !== arm);
  };
  await scale({
    deployment: id,
    weights: [
      { arm: 'new', weight: 1 },
      { arm: 'old', weight: 0 },
    ],
  });
  await answered(
    keys.find((key) => first.get(key) === 'old')!,
    'new',
  );
  expect(new Set((await at()).values())).toEqual(new Set(['new']));
  await scale({
    deployment: id,
    weights: [
      { arm: 'new', weight: 0.3 },
      { arm: 'old', weight: 0.7 },
    ],
  });
  await answered(
    keys.find((key) => first.get(key) === 'old')!,
    'old',
  );
  expect(await at()).toEqual(first);

  const told = (await eventsOf(stack, PROJECT)).filter(({ type }) => type === 'DEPLOYMENT_SCALED');
  expect(told).toHaveLength(3);
  await stopped(stack, id);
});

test('more and fewer replicas, other resources: it answers all the while, and says how far it is', async () => {
  const { id } = await stack.deploy(v2, { name: 'sized' });
  const before = await seen(id, isSettled(1));
  expect(before).toMatchObject({
    desiredReplicas: 1,
    resources: { threads: 1, memoryLimitBytes: null },
    batching: { maxRows: 256, maxDelayMs: 0 },
  });
  expect((await scale({ deployment: id, replicas: 3 })).desiredReplicas).toBe(3);
  const three = await seen(id, isSettled(3));
  const shaped = await scale({
    deployment: id,
    replicas: 2,
    resources: { threads: 2, memoryLimitBytes: 2 ** 30 },
    batching: { maxRows: 1 },
  });
  expect(shaped).toMatchObject({
    desiredReplicas: 2,
    resources: { threads: 2, memoryLimitBytes: 2 ** 30 },
    batching: { maxRows: 1, maxDelayMs: 0 },
  });
  const old = new Set(three.arms[0]!.replicas.map((replica) => replica.id));
  const two = await seen(
    id,
    (deployment) => isSettled(2)(deployment) && deployment.arms[0]!.replicas.every((one) => !old.has(one.id)),
  );
  expect(two.state).toBe('LIVE');
  // The same again is no change: nothing is replaced, and the ledger says nothing.
  const events = (await eventsOf(stack, PROJECT)).length;
  await scale({ deployment: id, replicas: 2, resources: { threads: 2 } });
  expect(await eventsOf(stack, PROJECT)).toHaveLength(events);
  expect((await seen(id, isSettled(2))).arms).toEqual(two.arms);
  await stopped(stack, id);
});

test('undeployed by several at once: it is stopped once', async () => {
  const { id } = await stack.deploy(v2, { name: 'stopped-once' });
  await Promise.all(Array.from({ length: 5 }, () => undeploy(stack, id)));
  await deploymentIn(stack, id, 'STOPPED');
  const stops = sql<object>`select status from operation
    where kind = 'deployment.stop' and subject_id in (select id from deployment where name = 'stopped-once')`;
  expect(await rowsOf(stack, stops)).toHaveLength(1);
});

describe('refused', () => {
  let id: string;
  beforeAll(async () => {
    id = (await stack.deploy(v2, { name: 'plain' })).id;
  });
  const issues = async (field: string, input: object): Promise<unknown> => {
    const refusal = await refused(stack, field, input as Record<string, unknown>);
    return refusal.issues ?? refusal;
  };
  test.each([
    ['replicas', { replicas: 0 }, ['replicas'], '1 to 64', '0'],
    ['too many', { replicas: 65 }, ['replicas'], '1 to 64', '65'],
    ['threads', { resources: { threads: 0 } }, ['resources', 'threads'], '1 to 256', '0'],
    [
      'memory',
      { resources: { memoryLimitBytes: 1 } },
      ['resources', 'memoryLimitBytes'],
      '67108864 bytes or more',
      '1',
    ],
    [
      'more memory than there is anywhere',
      { resources: { memoryLimitBytes: '9223372036854775808' } },
      ['resources', 'memoryLimitBytes'],
      'at most 1125899906842624 bytes',
      '9223372036854775808',
    ],
    ['rows', { batching: { maxRows: 0 } }, ['batching', 'maxRows'], '1 to 4096', '0'],
    ['delay', { batching: { maxDelayMs: -1 } }, ['batching', 'maxDelayMs'], '0 to 1000', '-1'],
    ['an arm', { weights: [{ arm: 'no', weight: 1 }] }, ['weights', '0', 'arm'], 'one of stable', '"no"'],
    ['a weight', { weights: [{ arm: 'stable', weight: 1.5 }] }, ['weights', '0', 'weight'], '0 to 1', '1.5'],
    [
      'a sum',
      { weights: [{ arm: 'stable', weight: 0.5 }] },
      ['weights'],
      'weights that add up to 1',
      '0.5 = 0.5',
    ],
    ['no weight', { weights: [] }, ['weights'], 'a weight for every arm: stable', 'none for stable'],
  ])('scale: %s', async (_what, input, path, expected, found) => {
    expect(await issues('scale', { deployment: id, ...input })).toMatchObject([{ path, expected, found }]);
  });
  test.each([
    ['neither version nor arms', {}, ['version'], 'either a version or arms', 'neither'],
    ['both', { version: '', arms: [] }, ['version'], 'either a version or arms', 'both'],
    ['no arm', { arms: [] }, ['arms'], '1 to 10 arms', '0'],
  ])('createDeployment: %s', async (_what, input, path, expected, found) => {
    const given = 'version' in input ? { ...input, version: v2 } : input;
    expect(await issues('createDeployment', { project: PROJECT, name: 'x', ...given })).toMatchObject([
      { path, expected, found },
    ]);
  });
  test('createDeployment: weights that do not add up, a name twice, versions that take something else', async () => {
    const create = (given: object[]) =>
      issues('createDeployment', { project: PROJECT, name: 'x', arms: given });
    const [old, fresh] = arms(0.5) as [object, object];
    expect(await create([old, { ...fresh, weight: 0.6 }])).toMatchObject([{ path: ['arms'] }]);
    expect(await create([old, { ...fresh, name: 'old' }])).toMatchObject([{ path: ['arms', '1', 'name'] }]);
    expect(await create([old, { ...fresh, version: other }])).toMatchObject([
      { path: ['arms', '1', 'version'] },
    ]);
  });
  test('one that is stopped, and whoever may only read', async () => {
    const { secret } = await createToken(stack, { project: PROJECT, name: 'reader', role: 'READER' });
    const asReader = await refused(
      stack,
      'scale',
      { deployment: id, replicas: 2 },
      {
        token: secret,
      },
    );
    expect(asReader.__typename).toBe('ForbiddenError');
    await stopped(stack, id);
    await deploymentIn(stack, id, ['STOPPED']);
    expect(await refused(stack, 'scale', { deployment: id, replicas: 2 })).toMatchObject({
      __typename: 'ConflictError',
      current: 'STOPPED',
    });
  });
  test('a routing key that is too long', async () => {
    const { id: live } = await stack.deploy(v2, { name: 'keys' });
    for (const routingKey of ['', 'k'.repeat(257)])
      expect(await issues('predict', { deployment: live, rows: [patient], routingKey })).toMatchObject([
        { path: ['routingKey'], expected: '1 to 256 characters', found: `${routingKey.length} characters` },
      ]);
  });
});
