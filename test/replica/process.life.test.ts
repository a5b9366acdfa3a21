/** How a replica process begins and ends. */
import { copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { ReplicaClient } from '#src/inference/replica-client.ts';
import { ReplicaRejected, ReplicaUnreachable } from '#src/inference/replica-errors.ts';
import { identify } from '#src/platform/process-identity.ts';
import type { NamedTensor } from '#src/tensor/tensor.ts';
import {
  fixturePath,
  fixtureSignature,
  http,
  startReplica,
  type RunningReplica,
} from '#test/replica/process.harness.ts';

let replica: RunningReplica | null = null;
const folders: string[] = [];
afterEach(async () => {
  await replica?.stop();
  replica = null;
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'replica-'));
  folders.push(folder);
  return folder;
}

const row = (rows = 1): NamedTensor[] => [
  { name: 'input', datatype: 'FP32', shape: [rows, 30], data: new Float32Array(rows * 30).fill(1) },
];

/** Requests for different outputs do not share a run. */
const separateRuns = [['label'], ['probabilities'], null];

test('a ready replica says what it serves', async () => {
  replica = await startReplica('breast-cancer', 'v2');
  const status = await replica.settled();
  expect(status).toMatchObject({ state: 'READY', inFlight: 0, protocolVersion: 1, exitReason: null });
  expect(status.loadMs).toBeGreaterThan(0);
  expect(status.memoryBytes).toBeGreaterThan(1e6);
  const { endpoint, pid, start } = replica.ready;
  expect(identify(replica.child.pid!)).toEqual({ pid, start });
  expect(statSync(endpoint.slice('unix:'.length)).mode & 0o777).toBe(0o600);

  const get = async (path: string) => {
    const answer = await http(endpoint, 'GET', path);
    return [answer.status, JSON.parse(answer.body.toString())] as const;
  };
  expect(await get('/v2')).toEqual([200, expect.objectContaining({ extensions: ['binary_tensor_data'] })]);
  expect(await get('/v2/health/live')).toEqual([200, { live: true }]);
  expect(await get('/v2/health/ready')).toEqual([200, { ready: true }]);
  expect(await get('/v2/models/breast-cancer/versions/7/ready')).toEqual([
    200,
    { name: 'breast-cancer', ready: true },
  ]);
  expect(await get('/v2/models/breast-cancer')).toEqual([
    200,
    {
      name: 'breast-cancer',
      versions: ['7'],
      platform: 'onnx_onnxv1',
      inputs: [{ name: 'input', datatype: 'FP32', shape: [-1, 30] }],
      outputs: [
        { name: 'label', datatype: 'BYTES', shape: [-1] },
        { name: 'probabilities', datatype: 'FP32', shape: [-1, 2] },
      ],
    },
  ]);
  expect((await get('/v2/models/other'))[0]).toBe(404);
  const other = await http(endpoint, 'POST', '/v2/models/breast-cancer/versions/8/infer', { body: '{}' });
  expect(other.status).toBe(404);
});

test('a graph that cannot be loaded is told with the reason, and ends with 65', async () => {
  // Loads only where the locale en_US.UTF-8 is installed.
  const signature = fixtureSignature('spam-text', 'v1');
  replica = await startReplica('spam-text', 'v2-locale', { launch: { signature } });
  const status = await replica.settled();
  if (status.state === 'READY') return;
  expect(status).toMatchObject({ state: 'FAILED', exitReason: expect.stringContaining('en_US.UTF-8') });
  expect(await replica.exited).toBe(65);
  expect(await replica.exit()).toEqual({ code: 'LOAD_FAILED', message: status.exitReason });
});

test('a signature that names what the graph does not have is a failure to load', async () => {
  const signature = fixtureSignature('digits', 'v2');
  replica = await startReplica('breast-cancer', 'v2', { launch: { signature } });
  expect(await replica.exited).toBe(65);
  expect((await replica.exit()).message).toContain('"image"');
});

test('without a lease it ends itself', async () => {
  replica = await startReplica('breast-cancer', 'v2', { launch: { leaseSeconds: 0.2 } });
  expect(await replica.exited).toBe(0);
  expect(await replica.exit()).toMatchObject({ code: 'LEASE_EXPIRED' });
});

test.each(['SIGTERM', '/drain'] as const)('%s lets it finish what it has', async (way) => {
  replica = await startReplica('breast-cancer', 'v5-slow');
  await replica.settled();
  const calls = separateRuns.map((outputs) => replica!.client.infer(row(), outputs));
  // The others are with the replica by then: all three went out in one turn.
  await Promise.race(calls);
  if (way === 'SIGTERM') replica.child.kill('SIGTERM');
  else expect(await replica.client.drain(30_000)).toMatchObject({ state: 'DRAINING' });
  expect(await Promise.all(calls)).toHaveLength(3);
  expect(await replica.exited).toBe(0);
  expect(await replica.exit()).toMatchObject({ code: 'DRAINED' });
  await expect(replica.client.infer(row())).rejects.toBeInstanceOf(ReplicaUnreachable);
});

test('killed in the middle, it is unreachable at once', async () => {
  replica = await startReplica('breast-cancer', 'v5-slow');
  await replica.settled();
  const calls = separateRuns.map((outputs) =>
    replica!.client.infer(row(8), outputs, { timeoutMs: 3_600_000 }),
  );
  await Promise.race(calls);
  replica.child.kill('SIGKILL');
  const lost = (await Promise.allSettled(calls)).filter(({ status }) => status === 'rejected');
  expect(lost.length).toBeGreaterThan(0);
  for (const { reason } of lost as PromiseRejectedResult[]) {
    expect(reason).toBeInstanceOf(ReplicaUnreachable);
    expect(reason).toMatchObject({ mayHaveExecuted: true });
  }
  await expect(replica.client.infer(row())).rejects.toBeInstanceOf(ReplicaUnreachable);
});

test('it takes the place of a killed one, but not that of a file', async () => {
  const folder = temporaryFolder();
  const socketPath = join(folder, 'socket');
  replica = await startReplica('breast-cancer', 'v2', { launch: { listen: { socketPath } } });
  replica.child.kill('SIGKILL');
  await replica.exited;
  await replica.stop();
  replica = await startReplica('breast-cancer', 'v2', { launch: { listen: { socketPath } } });
  expect(await replica.settled()).toMatchObject({ state: 'READY' });
  await replica.stop();

  const taken = join(folder, 'file');
  writeFileSync(taken, 'precious');
  const exitFile = join(folder, 'exit.json');
  const attempt = startReplica('breast-cancer', 'v2', {
    launch: { listen: { socketPath: taken }, exitFile },
  });
  await expect(attempt).rejects.toThrow('without writing');
  expect(statSync(taken).isFile()).toBe(true);
  replica = null;
});

test('on TCP every request needs the token', async () => {
  const token = 'a-token-of-sufficient-length-0123456789';
  const launch = { listen: { host: '127.0.0.1', port: 0 } };
  replica = await startReplica('breast-cancer', 'v2', { launch, token });
  expect(await replica.settled()).toMatchObject({ state: 'READY' });
  const { endpoint } = replica.ready;
  expect(endpoint).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect((await replica.client.infer(row())).outputs).toHaveLength(2);
  expect((await http(endpoint, 'GET', '/v2/health/live')).status).toBe(401);
  for (const wrong of [null, 'another-token']) {
    const stranger = new ReplicaClient({
      endpoint,
      modelName: 'breast-cancer',
      versionNumber: 7,
      token: wrong,
    });
    await expect(stranger.infer(row())).rejects.toBeInstanceOf(ReplicaRejected);
    await expect(stranger.drain()).rejects.toMatchObject({ status: 401 });
    await stranger.close();
  }
});

test('TCP without a token, or a port that is taken, ends it with 69', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const folder = temporaryFolder();
  const exitFile = join(folder, 'exit.json');
  const listen = { host: '127.0.0.1', port };
  for (const token of ['', 'a-token']) {
    const attempt = startReplica('breast-cancer', 'v2', { launch: { listen, exitFile }, token });
    await expect(attempt).rejects.toThrow('without writing');
  }
  taken.close();
});

test('a missing file of weights is named', async () => {
  const lonely = fixturePath('external-data', 'model');
  const folder = temporaryFolder();
  const modelPath = join(folder, 'model.onnx');
  copyFileSync(lonely, modelPath);
  replica = await startReplica('external-data', 'model', { launch: { modelPath } });
  expect(await replica.exited).toBe(65);
  expect((await replica.exit()).message).toContain('weights.bin');
});
