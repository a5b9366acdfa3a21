/** What workers do to a deployment's rows, without one that does it meanwhile. */
import { spawn } from 'node:child_process';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPlatform, type OpenPlatform } from '#src/app.ts';
import { observe } from '#src/deployment/observe.ts';
import { findDeployments } from '#src/deployment/deployment.queries.ts';
import { reconcile } from '#src/deployment/reconcile.ts';
import { listUnsettled } from '#src/deployment/reconcile.queries.ts';
import { loadConfig } from '#src/platform/config.ts';
import { createLogger } from '#src/platform/logger.ts';
import { identify, isAlive } from '#src/platform/process-identity.ts';
import { ReplicaKeeper } from '#src/replica/keeper.ts';
import { listReplicas } from '#src/replica/replica.queries.ts';
import { restartDelayMs } from '#src/replica/replica.state.ts';
import { fixtureFile } from '#test/helpers/models.ts';
import { startStack } from '#test/helpers/stack.ts';

let opened: OpenPlatform;
let deploymentId: string;

beforeAll(async () => {
  const stack = await startStack();
  const version = await stack.createModelVersion('flowers', [fixtureFile('iris/v2.onnx')]);
  await stack.deploy(version.id, { name: 'looked-at' });
  await stack.deploy(version.id, { name: 'other' });
  await stack.worker.stop();
  opened = await openPlatform(loadConfig(stack.environment), createLogger('worker', 'silent'));
  const ofName = db().selectFrom('deployment').select('id').where('name', '=', 'looked-at');
  const { id } = await ofName.executeTakeFirstOrThrow();
  deploymentId = id;
});
afterAll(() => opened.close());

const db = () => opened.platform.db;
const change = (values: object) =>
  db()
    .updateTable('replica')
    .set(values)
    .where('state', '<>', 'EXITED')
    .where('deploymentId', '=', deploymentId);
const replicas = () => listReplicas(db(), [deploymentId]);

/** Resolves once so many statements wait for a row that somebody holds. */
async function blocked(count: number): Promise<void> {
  const waiting = sql<{ count: number }>`select count(*)::integer as count from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`;
  while ((await waiting.execute(db())).rows[0]!.count < count);
}

test('of two who look at once the later one has the last word', async () => {
  await change({ state: 'WARMING' }).execute();
  let looks: Promise<unknown> = Promise.resolve();
  await opened.platform.database.db.transaction().execute(async (tx) => {
    await tx.selectFrom('deployment').select('id').where('id', '=', deploymentId).forUpdate().execute();
    const early = observe(opened.platform, deploymentId);
    await blocked(1);
    await change({ state: 'READY' }).execute();
    const late = observe(opened.platform, deploymentId);
    await blocked(2);
    looks = Promise.all([early, late]);
  });
  await looks;
  const [seen] = await findDeployments(db(), [deploymentId]);
  expect(seen).toMatchObject({ state: 'LIVE', stateReason: null });
});

test('where many are not as wanted, each gets its turn', async () => {
  await db().updateTable('deployment').set({ desiredReplicas: 2 }).execute();
  const turns = new Set<string>();
  while (turns.size < 2) for (const id of await listUnsettled(db(), 1)) turns.add(id);
  await db().updateTable('deployment').set({ desiredReplicas: 1 }).execute();
});

test('one after the other outgrows its memory: the next ones start by the delays of one that crashes', async () => {
  const overgrown = { spec: 0, ending: 'It took too much.', restarts: 5, readyAt: new Date() };
  await change(overgrown).execute();
  const began = Date.now();
  await reconcile(opened.platform, deploymentId);
  const [, next] = await replicas();
  expect(next).toMatchObject({ state: 'BACKING_OFF', restarts: 6, exitReason: overgrown.ending });
  expect(next!.nextRestartAt!.getTime() - began).toBeGreaterThanOrEqual(restartDelayMs(6, null));
});

test('told to end before it listens, a process that hangs is ended all the same', async () => {
  const hung = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
  const { pid, start } = identify(hung.pid!)!;
  const startedAt = new Date(Date.now() - 3_600_000);
  await change({ state: 'DRAINING', pid, processStart: start, endpoint: null, startedAt }).execute();
  const keeper = new ReplicaKeeper(opened.platform, 'keeper', async () => undefined);
  keeper.start();
  while ((await replicas()).length > 0);
  await keeper.close();
  expect(isAlive({ pid, start })).toBe(false);
});

test('how long a restart waits follows from how often it ended, unless it had answered for long', () => {
  const delays = Array.from({ length: 10 }, (_, index) => restartDelayMs(index + 1, null));
  expect(delays).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
  expect(restartDelayMs(9, 59_999)).toBe(30_000);
  expect(restartDelayMs(9, 60_000)).toBe(200);
});
