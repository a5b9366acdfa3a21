/** A worker that is killed or told to stop: what it had begun is finished, once; what serves goes on. */
import { readdirSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { recordedReplicas } from '#src/local/process-record.ts';
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
  type Deployed,
} from '#test/helpers/work.ts';
import { Load, outcomes } from './load.ts';
import { operationOf, replicaProcesses, rowsOf } from './stack-facts.ts';

const model = fixtureFile('breast-cancer/v2.onnx');
/** Its trial run takes long enough to be killed in. */
const slow = fixtureFile('breast-cancer/v5-slow.onnx');

const LEASE_SECONDS = 6;

let stack: Stack;
let version: string;

beforeAll(async () => {
  const env = { OPERATION_LEASE_SECONDS: '2', REPLICA_LEASE_SECONDS: String(LEASE_SECONDS) };
  stack = await startStack({ env });
  version = (await stack.createModelVersion('fraud', [model], breastCancerSignature)).id;
});

/** A process that is not our child sends no event when it ends. */
async function gone(pid: number): Promise<void> {
  while (replicaProcesses(stack).includes(pid)) await delay(20);
}

describe('kill -9 of the worker', () => {
  test('during ingest: another one makes the version READY', async () => {
    const { id, operation } = await createVersion(
      stack,
      await stack.model('slow'),
      [slow],
      breastCancerSignature,
    );
    await workIn(stack, operation.id, 'RUNNING');
    await stack.worker.kill();
    // Taken, and not ended; whether it had got as far as saying so is a matter of microseconds.
    expect(['PENDING', 'INGESTING']).toContain((await versionNow(stack, id)).status);
    await stack.worker.start();
    const work = await workDone(stack, operation.id);
    expect(work).toMatchObject({ status: 'SUCCEEDED', error: null });
    expect(work.attempts).toBeGreaterThan(1);
    expect((await versionNow(stack, id)).status).toBe('READY');
  });

  test('during provisioning: another one makes the deployment LIVE with the wanted replicas, and no more', async () => {
    const id = await createDeployment(stack, { project: PROJECT, name: 'killed', version, replicas: 2 });
    const operation = await operationOf(stack, id);
    await workIn(stack, operation, 'RUNNING');
    await stack.worker.restart();
    await deploymentIn(stack, id, 'LIVE');
    const work = await workDone(stack, operation);
    expect(work).toMatchObject({ status: 'SUCCEEDED', error: null });
    expect(work.attempts).toBeGreaterThan(1);
    const recorded = await rowsOf(
      stack,
      sql<{ pid: number }>`select pid from replica where state = 'READY' order by pid`,
    );
    expect(replicaProcesses(stack).toSorted((a, b) => a - b)).toEqual(recorded.map(({ pid }) => pid));
    expect(recorded).toHaveLength(2);
    await stopped(stack, id);
    expect(replicaProcesses(stack)).toEqual([]);
  });

  test('with a LIVE deployment: predictions go on, and the next worker takes over the same process', async () => {
    const { id } = await stack.deploy(version, { name: 'kept' });
    const [pid] = stack.replicaPids();
    const load = new Load(stack, id, 4);
    await load.more(50);
    await stack.worker.kill();
    const endsItself = performance.now() + (LEASE_SECONDS + 2) * 1000;
    await load.more(50);
    await stack.worker.start();
    // Past the time at which a replica that nobody looks after is gone.
    await load.until(() => performance.now() > endsItself);
    expect(outcomes(await load.stop())).toEqual({ PredictPayload: expect.any(Number) });
    expect(stack.replicaPids()).toEqual([pid]);
    await stopped(stack, id);
    expect(await rowsOf(stack, sql`select restarts, launch from replica where pid = ${pid}`)).toEqual([
      { restarts: 0, launch: 1 },
    ]);
  });

  test('between starting a replica and saying so: the stray ends, another one serves', async () => {
    const { id } = await stack.deploy(version, { name: 'strays', replicas: 2 });
    const strays = replicaProcesses(stack);
    await stack.worker.kill();
    // As if it had been killed before the rows were written; for one of them even before its own record.
    await rowsOf(
      stack,
      sql`update replica set pid = null, process_start = null, endpoint = null, state = 'STARTING'
      where state = 'READY'`,
    );
    const [record] = recordedReplicas(stack.dataDir);
    rmSync(record?.file ?? '');
    await stack.worker.start();
    const found = await stack.until<{ deployment: Deployed }>(
      `subscription ($id: ID!) { deployment(id: $id) { state arms { replicas { state startedAt } } } }`,
      { id },
      ({ deployment }) => deployment.state === 'DEGRADED',
    );
    expect(found).toBeDefined();
    await deploymentIn(stack, id, 'LIVE');
    await Promise.all(strays.map(gone));
    expect(new Set(replicaProcesses(stack))).toEqual(new Set(stack.replicaPids()));
    expect(stack.replicaPids()).toHaveLength(2);
    await stopped(stack, id);
  });
});

describe('SIGTERM to the worker', () => {
  test('with a job running: it is finished first', async () => {
    const { id, operation } = await createVersion(
      stack,
      await stack.model('slow'),
      // Under a name of its own: what was read before is not read again.
      [{ ...slow, name: 'again.onnx' }],
      breastCancerSignature,
    );
    await workIn(stack, operation.id, 'RUNNING');
    await stack.worker.stop();
    expect((await versionNow(stack, id)).status).toBe('READY');
    expect(await workDone(stack, operation.id)).toMatchObject({ status: 'SUCCEEDED', attempts: 1 });
    await stack.worker.start();
  });

  test('with a LIVE deployment: the next worker looks after it at once', async () => {
    const { id } = await stack.deploy(version, { name: 'handed-over' });
    const [pid] = stack.replicaPids();
    await stack.worker.stop();
    expect(await rowsOf(stack, sql`select keeper from replica where pid = ${pid}`)).toEqual([
      { keeper: null },
    ]);
    await stack.worker.start();
    await stopped(stack, id);
  });
});

test('nothing is left of all that', async () => {
  expect(replicaProcesses(stack)).toEqual([]);
  expect(readdirSync(`${stack.dataDir}/work`)).toEqual([]);
  expect(readdirSync(`${stack.dataDir}/run/replicas`)).toEqual([]);
  expect(stack.worker.written()).not.toContain('unhandled rejection');
});
