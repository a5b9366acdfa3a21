/**
 * `npm run test:faults`: what the short tests of faults show, at length and at a stated rate. Each case prints how many
 * requests were sent, how they ended, and how long the slowest took.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { done } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { stopped } from '#test/helpers/work.ts';
import { fixturePredictions } from '#test/replica/process.harness.ts';
import { OwnService } from '../own-services.ts';
import { SteadyLoad, type Totals } from './steady-load.ts';

const PER_SECOND = 500;
const REQUESTS = 100_000;
const minutes = (count: number): number => count * 60_000;

const [postgres, redis] = [new OwnService('postgres'), new OwnService('redis')];
const [input] = fixturePredictions('breast-cancer', 'v1').requests[0]!.request.inputs;
let stack: Stack;
let version: string;

beforeAll(async () => {
  await Promise.all([postgres.start(), redis.start()]);
  const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url };
  stack = await startStack({ apis: 2, env });
  const file = fixtureFile('breast-cancer/v2.onnx');
  version = (await stack.createModelVersion('fraud', [file], breastCancerSignature)).id;
}, minutes(2));
afterAll(async () => {
  await stack?.stop();
  await Promise.all([postgres.remove(), redis.remove()]);
});

interface Seen {
  readonly state: string;
  readonly arms: readonly { readonly replicas: readonly { readonly state: string }[] }[];
}

/** Resolves once a deployment is LIVE with so many replicas, all of them ready. */
async function settled(id: string, count: number): Promise<void> {
  const query = 'subscription ($id: ID!) { deployment(id: $id) { state arms { replicas { state } } } }';
  await stack.until<{ deployment: Seen }>(query, { id }, ({ deployment: { state, arms } }) => {
    const replicas = arms.flatMap((arm) => arm.replicas);
    return state === 'LIVE' && replicas.length === count && replicas.every((one) => one.state === 'READY');
  });
}

const sortedPids = (): number[] => stack.replicaPids().toSorted((a, b) => a - b);

const load = (name: string, apis: readonly number[] = [0]): SteadyLoad =>
  new SteadyLoad(
    apis.map((index) => stack.apis[index]!.url),
    `/v2/models/${PROJECT}/${name}/infer`,
    { inputs: [input] },
    PER_SECOND,
  );

function tell(what: string, { sent, outcomes, slowestMs, p99Ms, seconds }: Totals): void {
  const ended = Object.entries(outcomes).map(([outcome, count]) => `${count} × ${outcome}`);
  process.stdout.write(
    `${what}: ${sent} requests in ${seconds.toFixed(0)} s (${PER_SECOND}/s): ${ended.join(', ')}; p99 ${p99Ms.toFixed(1)} ms, slowest ${slowestMs.toFixed(0)} ms\n`,
  );
}

test(
  'an update of three replicas and a scale-down, again and again',
  async () => {
    const { id } = await stack.deploy(version, { name: 'update', replicas: 3 });
    const running = load('update');
    let updates = 0;
    const over = running.sent(REQUESTS).then(() => true);
    for (let isOver = false; !isOver;) {
      updates += 1;
      await done(stack, 'scale', { deployment: id, replicas: 3, resources: { threads: 1 + (updates % 2) } });
      await settled(id, 3);
      await done(stack, 'scale', { deployment: id, replicas: 1 });
      await settled(id, 1);
      isOver = await Promise.race([over, Promise.resolve(false)]);
    }
    const totals = await running.stop();
    tell(`${updates} updates of three replicas and scale-downs to one`, totals);
    expect(totals.outcomes).toEqual({ 200: totals.sent });
    await stopped(stack, id);
  },
  minutes(10),
);

test(
  'a replica of three is killed every two seconds',
  async () => {
    const { id } = await stack.deploy(version, { name: 'replica', replicas: 3 });
    const running = load('replica');
    for (let kills = 0; kills < 10; kills++) {
      await running.seconds(2);
      process.kill(stack.replicaPids()[0] as number, 'SIGKILL');
    }
    await running.seconds(5);
    const totals = await running.stop();
    tell('10 kills of a replica of three', totals);
    expect(totals.outcomes).toEqual({ 200: totals.sent });
    await settled(id, 3);
    await stopped(stack, id);
  },
  minutes(5),
);

test(
  'the worker is killed, and another one takes its replicas over',
  async () => {
    const { id } = await stack.deploy(version, { name: 'worker', replicas: 2 });
    const pids = sortedPids();
    const running = load('worker');
    for (let kills = 0; kills < 3; kills++) {
      await running.seconds(3);
      await stack.worker.kill();
      await running.seconds(3);
      await stack.worker.start();
    }
    await running.seconds(15);
    const totals = await running.stop();
    tell('3 kills of the worker', totals);
    expect(totals.outcomes).toEqual({ 200: totals.sent });
    expect(sortedPids()).toEqual(pids);
    await stopped(stack, id);
  },
  minutes(5),
);

test(
  'an api is killed beside another one',
  async () => {
    const { id } = await stack.deploy(version, { name: 'api' });
    const [beside, killed] = [load('api', [0]), load('api', [1])];
    await beside.seconds(5);
    await stack.apis[1]!.kill();
    await beside.seconds(5);
    await stack.apis[1]!.start();
    const [totals, gone] = await Promise.all([beside.stop(), killed.stop()]);
    tell('the api beside', totals);
    tell('the api that was killed (no connection is what a load balancer goes on from)', gone);
    expect(totals.outcomes).toEqual({ 200: totals.sent });
    expect(Object.keys(gone.outcomes).filter((outcome) => /^[45]/.test(outcome))).toEqual([]);
    await stopped(stack, id);
  },
  minutes(5),
);

test(
  'Redis is killed and comes back empty; PostgreSQL is restarted',
  async () => {
    const { id } = await stack.deploy(version, { name: 'services', replicas: 2 });
    const running = load('services', [0, 1]);
    await running.seconds(3);
    await redis.end('SIGKILL');
    redis.wipe();
    await running.seconds(10);
    await redis.start();
    await running.seconds(5);
    await postgres.end('SIGQUIT');
    await running.seconds(10);
    await postgres.start();
    await running.seconds(10);
    const totals = await running.stop();
    tell('Redis killed and emptied for 10 s, PostgreSQL away for 10 s', totals);
    expect(totals.outcomes).toEqual({ 200: totals.sent });
    await settled(id, 2);
    await stopped(stack, id);
  },
  minutes(5),
);
