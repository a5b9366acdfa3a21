/** PostgreSQL goes away at once and comes back: predictions go on, everything else fails clearly and then works. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import {
  createDeployment,
  createVersion,
  deploymentIn,
  stopped,
  versionNow,
  workDone,
  workIn,
} from '#test/helpers/work.ts';
import { Load, outcomes } from './load.ts';
import { OwnService } from './own-services.ts';

const LEASE_SECONDS = 5;
const model = fixtureFile('breast-cancer/v2.onnx');
const postgres = new OwnService('postgres');
let stack: Stack;
let version: string;

beforeAll(async () => {
  await postgres.start();
  const env = {
    DATABASE_URL: postgres.url,
    OPERATION_LEASE_SECONDS: '2',
    REPLICA_LEASE_SECONDS: String(LEASE_SECONDS),
  };
  stack = await startStack({ env });
  version = (await stack.createModelVersion('fraud', [model], breastCancerSignature)).id;
});

afterAll(async () => {
  await stack?.stop();
  await postgres.remove();
});

const list = 'query { projects { name } }';

/** Resolves once a query that needs the database is answered. */
async function answersAgain(): Promise<void> {
  while ((await stack.gql(list)).body.errors);
}

test('away for longer than the lease of a replica: predictions and subscriptions go on', async () => {
  const { id } = await stack.deploy(version, { name: 'fraud', replicas: 2 });
  const pids = stack.replicaPids();
  const states = stack.subscribe<{ deployment: { state: string } }>(
    'subscription ($id: ID!) { deployment(id: $id) { state } }',
    { id },
  );
  expect((await states.next()).value?.deployment.state).toBe('LIVE');
  const load = new Load(stack, id, 8);
  await load.more(50);

  await postgres.end('SIGQUIT');
  const endsItself = performance.now() + (LEASE_SECONDS + 2) * 1000;
  const { body } = await stack.gql(list);
  expect(body.errors?.[0]?.extensions).toEqual({ code: 'UNAVAILABLE', errorId: expect.any(String) });
  expect(await (await fetch(`${stack.api.url}/health/ready`)).json()).toMatchObject({
    ready: false,
    parts: { postgres: 'not ready', redis: 'ready' },
  });
  await load.until(() => performance.now() > endsItself);
  await postgres.start();
  await answersAgain();

  const next = await stack.deploy(version, { name: 'next' });
  await stopped(stack, next.id);
  const ended = await load.stop();
  expect(outcomes(ended)).toEqual({ PredictPayload: ended.length });
  expect(stack.replicaPids()).toEqual(pids);
  process.kill(pids[0] as number, 'SIGKILL');
  let state = '';
  while (state !== 'DEGRADED') state = (await states.next()).value?.deployment.state ?? 'DEGRADED';
  expect((await states.next()).value?.deployment.state).toMatch(/DEGRADED|LIVE/);
  await states.return();
  await deploymentIn(stack, id, 'LIVE');
  await stopped(stack, id);
});

test('goes away during an ingest: the version becomes READY all the same', async () => {
  const slow = fixtureFile('breast-cancer/v5-slow.onnx');
  const { id, operation } = await createVersion(
    stack,
    await stack.model('slow'),
    [slow],
    breastCancerSignature,
  );
  await workIn(stack, operation.id, 'RUNNING');
  await postgres.end('SIGQUIT');
  await postgres.start();
  await answersAgain();
  expect(await workDone(stack, operation.id)).toMatchObject({ status: 'SUCCEEDED', error: null });
  expect((await versionNow(stack, id)).status).toBe('READY');
});

test('goes away during a provisioning: the deployment becomes LIVE with the wanted replicas, and no more', async () => {
  expect(stack.replicaPids()).toEqual([]);
  const id = await createDeployment(stack, { project: PROJECT, name: 'interrupted', version, replicas: 3 });
  await deploymentIn(stack, id, ['PROVISIONING', 'LIVE']);
  await postgres.end('SIGQUIT');
  await postgres.start();
  await answersAgain();
  await deploymentIn(stack, id, 'LIVE');
  expect(stack.replicaPids()).toHaveLength(3);
  await stopped(stack, id);
  expect(stack.replicaPids()).toEqual([]);
  for (const program of [stack.api, stack.worker])
    expect(program.written()).not.toContain('unhandled rejection');
});
