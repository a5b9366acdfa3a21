/** Two workers on one host share its replicas and its jobs, also when one is killed, or the wish changes meanwhile. */
import { join } from 'node:path';
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { filesOnce } from '#test/helpers/folder.ts';
import { holdLock } from '#test/helpers/lock.ts';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import type { Program } from '#test/helpers/program.ts';
import { done } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import {
  cancelOperation,
  createDeployment,
  createModel,
  createProject,
  createVersion,
  deploymentIn,
  ingested,
  stopped,
  undeploy,
  workDone,
  workIn,
} from '#test/helpers/work.ts';
import { operationOf, replicaProcesses, rowsOf } from './stack-facts.ts';

let stack: Stack;
let version: string;

beforeAll(async () => {
  const env = { OPERATION_LEASE_SECONDS: '2', REPLICA_LEASE_SECONDS: '6', DATABASE_POOL: '6' };
  stack = await startStack({ env, workers: 2 });
  const model = fixtureFile('breast-cancer/v2.onnx');
  version = (await stack.createModelVersion('fraud', [model], breastCancerSignature)).id;
});

test('one is killed while both start replicas: each is started once', async () => {
  const id = await createDeployment(stack, { project: PROJECT, name: 'shared', version, replicas: 4 });
  await workIn(stack, await operationOf(stack, id), 'RUNNING');
  await stack.workers[1]?.restart();
  await deploymentIn(stack, id, 'LIVE');
  const ready = sql<{ pid: number }>`select pid from replica where state = 'READY'`;
  const recorded = (await rowsOf(stack, ready)).map(({ pid }) => pid);
  expect(new Set(replicaProcesses(stack))).toEqual(new Set(recorded));
  expect(recorded).toHaveLength(4);
  await stopped(stack, id);
  expect(replicaProcesses(stack)).toEqual([]);
});

// A moment each: before its job is taken, while replicas start, when some or all are ready.
test.for(['PENDING', 'STARTING', 'LOADING', 'READY', 'LIVE'])(
  'undeploy at %s: it is STOPPED, its provisioning has ended, and no process is left',
  async (moment) => {
    const name = `undeployed-${moment.toLowerCase()}`;
    const id = await createDeployment(stack, { project: PROJECT, name, version, replicas: 3 });
    const operation = await operationOf(stack, id);
    if (moment !== 'PENDING') {
      await stack.until<{ deployment: { state: string; arms: { replicas: { state: string }[] }[] } }>(
        'subscription ($id: ID!) { deployment(id: $id) { state arms { replicas { state } } } }',
        { id },
        ({ deployment: { state, arms } }) =>
          state === 'LIVE' ||
          arms.some(({ replicas }) => replicas.some((replica) => replica.state === moment)),
      );
    }
    await undeploy(stack, id);
    await deploymentIn(stack, id, 'STOPPED');
    expect((await workDone(stack, operation)).status).toMatch(
      moment === 'LIVE' ? /SUCCEEDED/ : /CANCELLED|SUCCEEDED/,
    );
    const left = sql`select id from replica where state not in ('EXITED', 'DRAINING')`;
    expect(await rowsOf(stack, left)).toEqual([]);
    await stack.deploy(version, { name }).then((again) => stopped(stack, again.id));
    expect(replicaProcesses(stack)).toEqual([]);
  },
);

test('one that stands still while it keeps a derived graph gives nothing to a version that is over by then', async () => {
  const file = fixtureFile('iris/v3-int-zipmap.onnx');
  // Its derived graph is held elsewhere, too: there is a row to wait for.
  await createProject(stack, 'elsewhere');
  await ingested(stack, await createModel(stack, 'elsewhere', 'same'), [file]);
  const [first, second] = stack.workers as [Program, Program];
  await second.kill();
  const held = await holdLock(
    stack,
    sql`select from blob where digest = (select blob_digest from version_artifact where role = 'SERVING') for update`,
  );
  const made = await createVersion(stack, await stack.model('frozen'), [file]);
  await held.waiters(1);
  process.kill(first.pid, 'SIGSTOP');
  try {
    await cancelOperation(stack, made.operation.id);
    await second.start();
    await workDone(stack, made.operation.id);
    await done(stack, 'deleteVersion', { version: made.id });
  } finally {
    await held.release();
    process.kill(first.pid, 'SIGCONT');
  }
  // Each ingest removes its own folder when it is over.
  await filesOnce(join(stack.dataDir, 'work'), (files) => files.length === 0);
  const holds = sql`select role from version_artifact a join version v on v.id = a.version_id
    where v.deleted_at is not null and blob_digest is not null`;
  expect(await rowsOf(stack, holds)).toEqual([]);
});
