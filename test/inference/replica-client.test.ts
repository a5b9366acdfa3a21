/** Calls that share an exchange keep their own answers, errors, deadlines and aborts. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeRequest } from '#src/inference/protocol.ts';
import { ReplicaClient, type Inferred } from '#src/inference/replica-client.ts';
import { ReplicaRejected, ReplicaTimeout, ReplicaUnreachable } from '#src/inference/replica-errors.ts';
import { parseTensors } from '#src/tensor/parse.ts';
import type { NamedTensor } from '#src/tensor/tensor.ts';
import {
  difference,
  fixturePredictions,
  fixtureSignature,
  http,
  startReplica,
  type RunningReplica,
} from '#test/replica/process.harness.ts';

let replica: RunningReplica;
let slow: RunningReplica;
beforeAll(async () => {
  [replica, slow] = await Promise.all([
    startReplica('breast-cancer', 'v2'),
    startReplica('breast-cancer', 'v5-slow'),
  ]);
  await Promise.all([replica.settled(), slow.settled()]);
});
afterAll(async () => {
  await replica.stop();
  await slow.stop();
});

const { requests, tolerance } = fixturePredictions('breast-cancer', 'v2');
const signature = fixtureSignature('breast-cancer', 'v2');
const inputs = requests.map(({ request }) => parseTensors(signature, request.inputs, { maxRows: 100 }));
const right = (outputs: readonly NamedTensor[], index: number) => {
  const wanted = requests[index]!.outputs;
  const [label, probabilities] = outputs;
  expect(label!.data).toEqual(wanted[0]!.data);
  expect(difference([...probabilities!.data], wanted[1]!.data)).toBeLessThanOrEqual(tolerance);
};
const row = (value = 1): NamedTensor[] => [
  { name: 'input', datatype: 'FP32', shape: [1, 30], data: new Float32Array(30).fill(value) },
];
const invalid = (): NamedTensor[] => row(Number.NaN);

test('calls of one turn share a run, and each gets its own rows', async () => {
  await replica.client.infer(inputs[0]!);
  const before = (await replica.client.renewLease()).requests;
  const answers = await Promise.all(inputs.map((one) => replica.client.infer(one)));
  answers.forEach(({ outputs }, index) => right(outputs, index));
  expect(answers[0]!.batchSize).toBeGreaterThan(1);
  expect((await replica.client.renewLease()).requests - before).toBeLessThan(inputs.length / 4);
});

test('only the outputs that are asked for are fetched, in that order', async () => {
  const [both, one, all] = await Promise.all([
    replica.client.infer(inputs[0]!, ['probabilities', 'label']),
    replica.client.infer(inputs[0]!, ['label']),
    replica.client.infer(inputs[0]!),
  ]);
  const names = [both, one, all].map(({ outputs }) => outputs.map(({ name }) => name));
  expect(names).toEqual([['probabilities', 'label'], ['label'], ['label', 'probabilities']]);
  await expect(replica.client.infer(inputs[0]!, ['nope'])).rejects.toThrow('"label", "probabilities"');
});

test('what cannot be written fails alone, and not its process', async () => {
  const odd = { name: 'input', datatype: 'BYTES', shape: [1], data: [null] } as unknown as NamedTensor;
  const [one, other] = await Promise.allSettled([
    replica.client.infer([odd]),
    replica.client.infer(inputs[0]!),
  ]);
  expect(one.status).toBe('rejected');
  right((other as PromiseFulfilledResult<Inferred>).value.outputs, 0);
});

test('a refused call does not take its companions along', async () => {
  const calls = [
    replica.client.infer(inputs[0]!),
    replica.client.infer(invalid()),
    replica.client.infer(inputs[1]!),
  ];
  const [first, second, third] = await Promise.allSettled(calls);
  expect(second).toMatchObject({ status: 'rejected', reason: { status: 400 } });
  expect((second as PromiseRejectedResult).reason).toBeInstanceOf(ReplicaRejected);
  for (const [index, result] of [first, third].entries()) {
    expect(result?.status).toBe('fulfilled');
    if (result?.status === 'fulfilled') right(result.value.outputs, index);
  }
});

test("a call's deadline and abort are its own", async () => {
  const { client } = slow;
  await client.infer(row());
  const controller = new AbortController();
  const reason = new Error('changed my mind');
  const calls = [
    client.infer(row(), null, { timeoutMs: 1 }),
    client.infer(row(), null, { signal: controller.signal }),
    client.infer(row()),
  ];
  setImmediate(() => controller.abort(reason));
  const [late, aborted, patient] = await Promise.allSettled(calls);
  expect((late as PromiseRejectedResult).reason).toBeInstanceOf(ReplicaTimeout);
  expect((aborted as PromiseRejectedResult).reason).toBe(reason);
  expect(patient!.status).toBe('fulfilled');
  await expect(client.infer(row(), null, { signal: controller.signal })).rejects.toBe(reason);
});

test('nobody there: unreachable, and certainly not executed', async () => {
  for (const endpoint of ['unix:/nonexistent/socket', 'http://127.0.0.1:1']) {
    const client = new ReplicaClient({ endpoint, modelName: 'm', versionNumber: 1 });
    for (const result of await Promise.allSettled([client.infer(row()), client.renewLease()])) {
      expect((result as PromiseRejectedResult).reason).toBeInstanceOf(ReplicaUnreachable);
      expect(result).toMatchObject({ reason: { mayHaveExecuted: false } });
    }
    await client.close();
    await expect(client.infer(row())).rejects.toBeInstanceOf(ReplicaUnreachable);
    await expect(client.renewLease()).rejects.toBeInstanceOf(ReplicaUnreachable);
  }
});

test('close waits for what is under way', async () => {
  const { endpoint } = replica.ready;
  const client = new ReplicaClient({ endpoint, modelName: 'breast-cancer', versionNumber: 7 });
  const call = client.infer(inputs[0]!);
  await client.close();
  right((await call).outputs, 0);
});

test('hostile bodies are refused and leave the replica as it was', async () => {
  const path = '/v2/models/breast-cancer/infer';
  const { body, headerLength } = encodeRequest(row(), { binary: true });
  const octets = { 'content-type': 'application/octet-stream' };
  const cases: [Buffer | string, Record<string, string>][] = [
    [body, { ...octets, 'inference-header-content-length': String(body.length + 1) }],
    [body, { ...octets, 'inference-header-content-length': '-1' }],
    [body, { ...octets, 'inference-header-content-length': '1e3' }],
    [body, { ...octets, 'inference-header-content-length': '0' }],
    [body.subarray(0, -1), { ...octets, 'inference-header-content-length': String(headerLength) }],
    [
      Buffer.concat([body, Buffer.of(0)]),
      { ...octets, 'inference-header-content-length': String(headerLength) },
    ],
    [body, octets],
    ['', {}],
    ['null', {}],
    ['{"inputs":[{"name":"input","shape":[1,30],"datatype":"FP32","data":[NaN]}]}', {}],
    ['{"inputs":{}}', {}],
    ['['.repeat(100_000), {}],
    [
      `{"inputs":[{"name":"input","datatype":"FP32","data":${'['.repeat(50_000)}1${']'.repeat(50_000)}}]}`,
      {},
    ],
  ];
  for (const [hostile, headers] of cases) {
    const answer = await http(replica.ready.endpoint, 'POST', path, { headers, body: hostile });
    expect(answer.status).toBe(400);
    const { error } = JSON.parse(answer.body.toString()) as { error: string };
    expect(error.length).toBeGreaterThan(10);
    expect(error.length).toBeLessThan(1000);
  }
  right((await replica.client.infer(inputs[0]!)).outputs, 0);
});

test('a body beyond the limit is refused before it is read', async () => {
  const launch = { maxBodyBytes: 1000 };
  const small = await startReplica('breast-cancer', 'v2', { launch });
  await small.settled();
  const path = '/v2/models/breast-cancer/infer';
  const declared = await http(small.ready.endpoint, 'POST', path, { body: Buffer.alloc(1001) });
  const headers = { 'transfer-encoding': 'chunked' };
  const chunked = await http(small.ready.endpoint, 'POST', path, { headers, body: Buffer.alloc(1001) });
  expect([declared.status, chunked.status]).toEqual([413, 413]);
  expect((await small.client.infer(row())).outputs).toHaveLength(2);
  await small.stop();
});
