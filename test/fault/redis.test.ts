/** Redis goes away, and comes back with nothing in it: it costs motion, never work. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import {
  createDeployment,
  createModel,
  createVersion,
  deploymentIn,
  stopped,
  versionNow,
  workDone,
} from '#test/helpers/work.ts';
import { countsAfter, Dashboard } from './frames.ts';
import type { UploadFile } from '#test/helpers/client.ts';
import { Load, outcomes } from './load.ts';
import { OwnService } from './own-services.ts';

const model = fixtureFile('breast-cancer/v2.onnx');
const redis = new OwnService('redis');
let stack: Stack;
let version: string;
let deployment: string;

beforeAll(async () => {
  await redis.start();
  stack = await startStack({ env: { REDIS_URL: redis.url, OPERATION_LEASE_SECONDS: '2' } });
  version = (await stack.createModelVersion('fraud', [model], breastCancerSignature)).id;
  deployment = (await stack.deploy(version, { name: 'before' })).id;
});

afterAll(async () => {
  await stack?.stop();
  await redis.remove();
});

/** The same bytes under a name of their own: what was read under another is read again. */
const unread = (name: string): UploadFile => ({ ...model, name: `${name}.onnx` });

interface Readiness {
  readonly ready: boolean;
  readonly parts: Readonly<Record<string, string>>;
}

async function readiness(): Promise<Readiness & { readonly status: number }> {
  const response = await fetch(`${stack.api.url}/health/ready`);
  return { status: response.status, ...((await response.json()) as Readiness) };
}

test('away, then back and empty: predictions go on, changes are taken, and what was asked for is done', async () => {
  const load = new Load(stack, deployment, 4);
  const dashboard = new Dashboard(stack.api.url, deployment);
  await dashboard.next(countsAfter(0));
  expect(await readiness()).toMatchObject({ status: 200, ready: true });

  await redis.end('SIGKILL');
  redis.wipe();
  await load.more(100);
  expect(await readiness()).toEqual({
    status: 503,
    ready: false,
    parts: { postgres: 'ready', redis: 'not ready', artifactStore: 'ready' },
  });
  const asked = performance.now();
  const created = await createModel(stack, PROJECT, 'meanwhile');
  const { id, operation } = await createVersion(stack, created, [unread('away')], breastCancerSignature);
  const meanwhile = await createDeployment(stack, { project: PROJECT, name: 'meanwhile', version });
  // Three seconds for each of those that are queued, and as much again for a busy machine.
  expect(performance.now() - asked).toBeLessThan(12_000);
  expect((await versionNow(stack, id)).status).toBe('PENDING');
  await load.more(100);

  await redis.start();
  const back = Date.now();
  await dashboard.next(countsAfter(back));
  expect(dashboard.connections).toBe(1);
  expect(await workDone(stack, operation.id)).toMatchObject({ status: 'SUCCEEDED' });
  expect((await versionNow(stack, id)).status).toBe('READY');
  await deploymentIn(stack, meanwhile, 'LIVE');
  expect(await readiness()).toMatchObject({ status: 200, ready: true });
  // The queue delivers again, not only the sweep.
  await stopped(stack, meanwhile);
  expect(outcomes(await load.stop())).toEqual({ PredictPayload: expect.any(Number) });
  await dashboard.close();
});

test('goes away while a job runs, and comes back empty: the job ends once, as promised', async () => {
  const slow = fixtureFile('breast-cancer/v5-slow.onnx');
  const { id, operation } = await createVersion(
    stack,
    await stack.model('slow'),
    [slow],
    breastCancerSignature,
  );
  await stack.until<{ operation: { status: string } }>(
    'subscription ($id: ID!) { operation(id: $id) { status } }',
    { id: operation.id },
    (value) => value.operation.status === 'RUNNING',
  );
  await redis.end('SIGKILL');
  redis.wipe();
  await redis.start();
  expect(await workDone(stack, operation.id)).toMatchObject({ status: 'SUCCEEDED', attempts: 1 });
  expect((await versionNow(stack, id)).status).toBe('READY');
  // As many as a worker runs at a time: none of its places is lost.
  const next = await Promise.all(
    Array.from({ length: 5 }, async (_, index) =>
      createVersion(stack, await stack.model('slow'), [unread(`slow-${index}`)]),
    ),
  );
  const ended = await Promise.all(next.map((each) => workDone(stack, each.operation.id)));
  expect(ended.map(({ status }) => status)).toEqual(ended.map(() => 'SUCCEEDED'));
});

test('away: an api and a worker start, look after replicas, and stop in order', async () => {
  await redis.end('SIGKILL');
  await stack.api.restart('SIGTERM');
  await stack.worker.restart('SIGTERM');
  const load = new Load(stack, deployment, 1);
  await load.more(10);
  process.kill(stack.replicaPids()[0] as number, 'SIGKILL');
  await load.more(1, 'NotReadyError');
  await load.more(10);
  await load.stop();
  for (const program of [stack.api, stack.worker])
    expect(program.written()).not.toContain('unhandled rejection');
  await stack.stop();
});
