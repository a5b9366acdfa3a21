/** Many requests under way on one connection to a replica: each keeps its answer, whatever becomes of the others. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { CHANNEL_PATH, readAnswerFrame, requestFrame } from '#src/inference/channel-frame.ts';
import type { Answer } from '#src/inference/exchange.ts';
import { decodeResponse } from '#src/inference/protocol.decode.ts';
import { encodeRequest } from '#src/inference/protocol.ts';
import { ReplicaChannel } from '#src/inference/replica-channel.ts';
import type { ReplicaClient } from '#src/inference/replica-client.ts';
import { ReplicaUnreachable } from '#src/inference/replica-errors.ts';
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

const TOKEN = 'a-token-of-sufficient-length-0123456789';
const replicas: RunningReplica[] = [];
const channels: ReplicaChannel[] = [];
afterEach(async () => {
  for (const channel of channels.splice(0)) channel.close();
  for (const replica of replicas.splice(0)) await replica.stop();
  vi.restoreAllMocks();
});

async function started(...given: Parameters<typeof startReplica>): Promise<RunningReplica> {
  const replica = await startReplica(...given);
  replicas.push(replica);
  await replica.settled();
  return replica;
}

const pathOf = ({ ready }: RunningReplica): string => ready.endpoint.slice('unix:'.length);

/** Resolves once it is open; between two looks the replica answers something else. */
async function open(replica: RunningReplica): Promise<ReplicaChannel> {
  const channel = new ReplicaChannel({ path: pathOf(replica) }, {});
  channels.push(channel);
  while (!channel.isOpen()) await replica.client.renewLease();
  return channel;
}

const rows = (count: number, value = 1): NamedTensor[] => [
  { name: 'input', datatype: 'FP32', shape: [count, 30], data: new Float32Array(count * 30).fill(value) },
];

function ask(
  channel: ReplicaChannel,
  inputs: readonly NamedTensor[],
  outputs: readonly string[] | null = null,
): { readonly answer: Promise<Answer>; readonly abort: () => void } {
  const { body, headerLength } = encodeRequest(inputs, { binary: true, outputs });
  const { promise: answer, resolve, reject } = Promise.withResolvers<Answer>();
  const exchange = channel.infer(headerLength!, body, (error, given) =>
    given === null ? reject(error) : resolve(given),
  );
  return { answer, abort: () => exchange.abort() };
}

/** Asks until a request went by the client's own channel, and counts those that do from then on. */
async function untilOnChannel(client: ReplicaClient) {
  const way = vi.spyOn(ReplicaChannel.prototype, 'infer');
  while (way.mock.calls.length === 0) expect((await client.infer(rows(1))).outputs).toHaveLength(2);
  return way.mockClear();
}

const read = ({ body, headerLength }: Answer): readonly NamedTensor[] =>
  decodeResponse(body, headerLength as number).outputs;

describe('answers', () => {
  test('are those of the fixtures, to many at once', async () => {
    const replica = await started('breast-cancer', 'v2');
    const channel = await open(replica);
    const { requests, tolerance } = fixturePredictions('breast-cancer', 'v2');
    const signature = fixtureSignature('breast-cancer', 'v2');
    const answers = await Promise.all(
      requests.map(
        ({ request }) => ask(channel, parseTensors(signature, request.inputs, { maxRows: 100 })).answer,
      ),
    );
    expect(answers.length).toBeGreaterThan(10);
    for (const [index, answer] of answers.entries()) {
      const [label, probabilities] = read(answer);
      const [wantedLabel, wanted] = requests[index]!.outputs;
      expect(label!.data).toEqual(wantedLabel!.data);
      expect(difference([...probabilities!.data], wanted!.data)).toBeLessThanOrEqual(tolerance);
    }
    expect(Math.max(...answers.map(({ timing }) => timing.batchSize))).toBeGreaterThan(1);
  });

  test('may be long', async () => {
    const channel = await open(await started('breast-cancer', 'v2'));
    const [one, many] = await Promise.all([ask(channel, rows(1)).answer, ask(channel, rows(500)).answer]);
    expect(many.body.length).toBeGreaterThan(4096);
    expect(read(many)[0]!.data).toEqual(Array.from({ length: 500 }, () => read(one)[0]!.data[0]));
  });

  test('a refusal is that of one request', async () => {
    const channel = await open(await started('breast-cancer', 'v2'));
    const asked = [rows(1), rows(1, Number.NaN), rows(1)].map((inputs) => ask(channel, inputs).answer);
    const [first, second, third] = await Promise.all(asked);
    expect([first, second, third].map((answer) => answer?.status)).toEqual([200, 400, 200]);
    expect(JSON.parse(second!.body.toString())).toEqual({ error: expect.stringContaining('input') });
    const unknown = await ask(channel, rows(1), ['nope']).answer;
    expect([unknown.status, unknown.body.toString()]).toEqual([400, expect.stringContaining('nope')]);
  });

  test('what nobody waits for any more is not run, and ends', async () => {
    const replica = await started('breast-cancer', 'v5-slow');
    const channel = await open(replica);
    // For different outputs: they share no run.
    const running = ask(channel, rows(1), ['label']);
    const waiting = ask(channel, rows(100), ['probabilities']);
    const next = ask(channel, rows(1));
    waiting.abort();
    await expect(waiting.answer).rejects.toThrow('Nobody waits');
    const { computeMs } = (await running.answer).timing;
    // It was behind a hundred rows.
    expect((await next.answer).timing.queueMs).toBeLessThan(50 * computeMs);
    expect(await replica.client.renewLease()).toMatchObject({ inFlight: 0 });
  });
});

describe('the client of a replica', () => {
  test('takes it once it is open, and HTTP for what is long', async () => {
    const replica = await started('breast-cancer', 'v2');
    const { client } = replica;
    const way = await untilOnChannel(client);
    const outputs = await Promise.all(
      [1, 2000, 1].map(async (count) => (await client.infer(rows(count))).outputs),
    );
    expect(outputs.map(([label]) => label!.data.length)).toEqual([1, 2000, 1]);
    // The two short ones together.
    expect(way).toHaveBeenCalledTimes(1);
  });

  test('killed in the middle: all under way fail, and the next one on its socket is taken again', async () => {
    const replica = await started('breast-cancer', 'v5-slow');
    const channel = await open(replica);
    const asked = [['label'], ['probabilities'], null].map(
      (outputs) => ask(channel, rows(8), outputs).answer,
    );
    await Promise.race(asked);
    replica.child.kill('SIGKILL');
    const ended = await Promise.allSettled(asked);
    expect(ended.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0);
    expect(channel.isOpen()).toBe(false);
    const socketPath = pathOf(replica);
    await replica.exited;
    const next = await started('breast-cancer', 'v2', { launch: { listen: { socketPath } } });
    while (!channel.isOpen()) await next.client.renewLease();
    expect(read(await ask(channel, rows(1)).answer)).toHaveLength(2);
  });

  test('a call that was under way may have been executed', async () => {
    const replica = await started('breast-cancer', 'v5-slow');
    const { client } = replica;
    const way = await untilOnChannel(client);
    const calls = [['label'], ['probabilities'], null].map((outputs) => client.infer(rows(8), outputs));
    await Promise.race(calls);
    expect(way).toHaveBeenCalledTimes(3);
    replica.child.kill('SIGKILL');
    const lost = (await Promise.allSettled(calls)).filter(({ status }) => status === 'rejected');
    expect(lost.length).toBeGreaterThan(0);
    for (const { reason } of lost as PromiseRejectedResult[]) {
      expect(reason).toBeInstanceOf(ReplicaUnreachable);
      expect(reason).toMatchObject({ mayHaveExecuted: true });
    }
    await expect(client.infer(rows(1))).rejects.toBeInstanceOf(ReplicaUnreachable);
  });

  test('one that has gone silent is not relied on, and opened anew', async () => {
    const replica = await started('breast-cancer', 'v2');
    const channel = await open(replica);
    replica.child.kill('SIGSTOP');
    const asked = ask(channel, rows(1));
    const now = performance.now.bind(performance);
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 6_000);
    expect(channel.isOpen()).toBe(false);
    asked.abort();
    await expect(asked.answer).rejects.toThrow('Nobody waits');
    expect(channel.isOpen()).toBe(false);
    replica.child.kill('SIGCONT');
    while (!channel.isOpen()) await replica.client.renewLease();
    clock.mockRestore();
    expect(read(await ask(channel, rows(1)).answer)).toHaveLength(2);
    // Nothing is left of the one that gave up.
    expect(await replica.client.renewLease()).toMatchObject({ inFlight: 0 });
  });

  test('drained: what is under way is answered', async () => {
    const replica = await started('breast-cancer', 'v5-slow');
    const channel = await open(replica);
    const asked = [['label'], ['probabilities'], null].map(
      (outputs) => ask(channel, rows(2), outputs).answer,
    );
    await Promise.race(asked);
    await replica.client.drain(30_000);
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(await replica.exited).toBe(0);
  });
});

describe('strangers', () => {
  /** A bare WebSocket to it. */
  function dial(
    replica: RunningReplica,
    path = CHANNEL_PATH,
    headers: Record<string, string> = {},
  ): WebSocket {
    const { endpoint } = replica.ready;
    const isPath = endpoint.startsWith('unix:');
    const { hostname, port } = isPath ? { hostname: '', port: 0 } : new URL(endpoint);
    return new WebSocket(`ws://replica${path}`, {
      headers,
      createConnection: () =>
        isPath ? connect({ path: pathOf(replica) }) : connect({ host: hostname, port: Number(port) }),
    });
  }

  async function refusal(socket: WebSocket): Promise<number> {
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }];
    socket.on('error', () => undefined).terminate();
    return response.statusCode;
  }

  test('on TCP need the token, and nothing but the channel is there', async () => {
    const launch = { listen: { host: '127.0.0.1', port: 0 } };
    const replica = await started('breast-cancer', 'v2', { launch, token: TOKEN });
    expect(await refusal(dial(replica))).toBe(401);
    expect(await refusal(dial(replica, CHANNEL_PATH, { authorization: 'Bearer another' }))).toBe(401);
    const authorization = `Bearer ${TOKEN}`;
    expect(await refusal(dial(replica, '/nothing', { authorization }))).toBe(404);
    // A request that would rather have HTTP/2 is answered all the same.
    expect(await refusal(dial(replica, '/v2', { authorization }))).toBe(200);
    const socket = dial(replica, CHANNEL_PATH, { authorization });
    await once(socket, 'open');
    const { body, headerLength } = encodeRequest(rows(1), { binary: true });
    socket.send(requestFrame(9, headerLength!, body));
    const [message] = (await once(socket, 'message')) as [Buffer];
    expect(readAnswerFrame(message)).toMatchObject({ id: 9, answer: { status: 200 } });
    socket.terminate();
    // Its own client takes the token along.
    await untilOnChannel(replica.client);
  });

  test('nonsense closes the connection that it came on, and no other', async () => {
    const replica = await started('breast-cancer', 'v2');
    const channel = await open(replica);
    const { body } = encodeRequest(rows(1), { binary: true });
    const cases: [Buffer | string, number][] = [
      [Buffer.alloc(0), 1002],
      [Buffer.alloc(5), 1002],
      ['abc', 1002],
      [Buffer.alloc(200_000), 1009],
    ];
    for (const [message, code] of cases) {
      const socket = dial(replica);
      await once(socket, 'open');
      socket.send(message);
      const [closed] = (await once(socket, 'close')) as [number];
      expect(closed).toBe(code);
    }
    // A lying length is answered as over HTTP.
    const socket = dial(replica);
    await once(socket, 'open');
    socket.send(requestFrame(1, body.length + 1, body));
    const [message] = (await once(socket, 'message')) as [Buffer];
    expect(readAnswerFrame(message)).toMatchObject({ id: 1, answer: { status: 400 } });
    socket.terminate();
    expect(read(await ask(channel, rows(1)).answer)).toHaveLength(2);
    expect(await replica.client.renewLease()).toMatchObject({ inFlight: 0 });
  });

  test('who asks and does not read is not read from either', async () => {
    const replica = await started('breast-cancer', 'v2');
    const socket = dial(replica);
    await once(socket, 'open');
    const { body, headerLength } = encodeRequest(rows(500), { binary: true });
    socket.pause();
    const before = (await replica.client.renewLease()).memoryBytes;
    const ASKED = 2_000;
    for (let asked = 0; asked < ASKED; asked++) socket.send(requestFrame(asked, headerLength!, body));
    // What is not read from it stays on this side: it comes to rest with most of it unread.
    let requests = -1;
    for (let status = await replica.client.renewLease(); status.requests !== requests;) {
      requests = status.requests;
      for (let other = 0; other < 50; other++) status = await replica.client.renewLease();
    }
    expect(requests).toBeLessThan(0.75 * ASKED);
    expect((await replica.client.renewLease()).memoryBytes - before).toBeLessThan(100e6);
    let answers = 0;
    const all = new Promise<void>((resolve) => {
      socket.on('message', () => {
        if (++answers === ASKED) resolve();
      });
    });
    socket.resume();
    await all;
    socket.terminate();
    expect(await replica.client.renewLease()).toMatchObject({ requests: ASKED, inFlight: 0 });
  });

  test('who goes away with requests under way leaves none behind', async () => {
    const replica = await started('breast-cancer', 'v5-slow');
    const gone = await open(replica);
    const asked = [['label'], ['probabilities'], null].map((outputs) => ask(gone, rows(8), outputs).answer);
    // The others are with the replica by then: all three went out in one turn.
    await Promise.race(asked);
    gone.close();
    const ended = (await Promise.allSettled(asked)).map((one) => one.status);
    expect(ended).toContain('rejected');
    while ((await replica.client.renewLease()).inFlight > 0);
    const { status } = await http(replica.ready.endpoint, 'GET', '/v2/health/ready');
    expect(status).toBe(200);
  });
});
