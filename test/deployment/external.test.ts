/** Deployments on a server of somebody else's, which speaks the Open Inference Protocol v2. */
import { once } from 'node:events';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { predict, refusal } from '#test/helpers/predict.ts';
import { attempt, issueOf, refused } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn, stopped } from '#test/helpers/work.ts';
import { patient } from '#test/prediction/served.ts';
import { startReplica, type RunningReplica } from '#test/replica/process.harness.ts';

/** A server on loopback in front of a replica: what it knows of the protocol is the replica's, less what is hidden. */
class Elsewhere {
  readonly replica: RunningReplica;
  readonly contentTypes: string[] = [];
  readonly #extensions: readonly string[];
  #server: Server | undefined;
  #port = 0;

  constructor(replica: RunningReplica, extensions: readonly string[]) {
    this.replica = replica;
    this.#extensions = extensions;
  }

  get url(): string {
    const { modelName, versionNumber } = this.replica.launch;
    return `http://127.0.0.1:${this.#port}/v2/models/${modelName}/versions/${versionNumber}`;
  }

  async start(): Promise<void> {
    const socketPath = this.replica.ready.endpoint.slice('unix:'.length);
    this.#server = createServer((incoming, response) => {
      if (incoming.url === '/v2') {
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ name: 'elsewhere', version: '1', extensions: this.#extensions }));
        return;
      }
      if (incoming.method === 'POST') this.contentTypes.push(incoming.headers['content-type'] ?? '');
      const { url: path, method, headers } = incoming;
      const onward = httpRequest({ socketPath, path, method, headers }, (answer) => {
        // Nothing that only a replica of ours would say.
        delete answer.headers['modelarium-timing'];
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.destroy());
      incoming.pipe(onward);
    });
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    if (!this.#server) return;
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
    this.#server = undefined;
  }
}

let stack: Stack;
let version: string;
let replica: RunningReplica;
let flowers: RunningReplica;

beforeAll(async () => {
  stack = await startStack();
  const file = fixtureFile('breast-cancer/v2.onnx');
  version = (await stack.createModelVersion('fraud', [file], breastCancerSignature)).id;
  [replica, flowers] = await Promise.all([startReplica('breast-cancer', 'v2'), startReplica('iris', 'v2')]);
  await Promise.all([replica.settled(), flowers.settled()]);
});
afterAll(() => Promise.all([replica?.stop(), flowers?.stop()]));

const external = (name: string, externalUrl: string) =>
  createDeployment(stack, { project: PROJECT, name, version, target: 'EXTERNAL', externalUrl });

test.each([
  ['binary tensors', ['binary_tensor_data'], 'application/octet-stream'],
  ['JSON', [], 'application/json'],
])('by %s it answers as a replica of our own', async (_how, extensions, type) => {
  const elsewhere = new Elsewhere(replica, extensions);
  await elsewhere.start();
  const name = `by-${extensions.length}`;
  const local = await stack.deploy(version, { name: 'local' });
  const id = await external(name, elsewhere.url);
  await deploymentIn(stack, id, 'LIVE');
  const [theirs] = (await predict(stack, { deployment: id, rows: [patient] })).rows;
  const [ours] = (await predict(stack, { deployment: local.id, rows: [patient] })).rows;
  expect(theirs?.label).toBe(ours?.label);
  expect(theirs?.probability).toBeCloseTo(ours?.probability as number, 6);
  expect(elsewhere.contentTypes).toEqual([type]);
  const query = `query ($id: ID!) { node(id: $id) { ... on Deployment { target externalUrl arms { replicas { host state } } } } }`;
  expect((await stack.data<{ node: unknown }>(query, { id })).node).toEqual({
    target: 'EXTERNAL',
    externalUrl: elsewhere.url,
    arms: [{ replicas: [{ host: 'external', state: 'READY' }] }],
  });
  await stopped(stack, id);
  await stopped(stack, local.id);
  await elsewhere.stop();
});

test('while it is away predictions say so; when it is back they go on', async () => {
  const elsewhere = new Elsewhere(replica, ['binary_tensor_data']);
  await elsewhere.start();
  const id = await external('away', elsewhere.url);
  await deploymentIn(stack, id, 'LIVE');
  await elsewhere.stop();
  expect((await refusal(stack, { deployment: id, rows: [patient] })).__typename).toBe('NotReadyError');
  const { arms } = (
    await stack.until<{
      deployment: { state: string; arms: { replicas: { exitReason: string | null }[] }[] };
    }>(
      'subscription ($id: ID!) { deployment(id: $id) { state arms { replicas { exitReason } } } }',
      { id },
      // A look that is under way as it goes may see its line reset first.
      ({
        deployment: {
          state,
          arms: [arm],
        },
      }) => state === 'DEGRADED' && !/ECONNRESET/.test(arm?.replicas[0]?.exitReason ?? ''),
    )
  ).deployment;
  expect(arms[0]?.replicas[0]?.exitReason).toMatch(/cannot be reached \(ECONNREFUSED\)/);
  await elsewhere.start();
  await deploymentIn(stack, id, 'LIVE');
  // Whoever has read that it is LIVE is answered, also ahead of the notification that tells the api's routes.
  expect((await predict(stack, { deployment: id, rows: [patient] })).rows).toHaveLength(1);
  await stopped(stack, id);
  await elsewhere.stop();
});

test('one that serves something else: FAILED, with every difference', async () => {
  const elsewhere = new Elsewhere(flowers, []);
  await elsewhere.start();
  const id = await external('else', elsewhere.url);
  const { stateReason } = await deploymentIn(stack, id, ['FAILED', 'LIVE']);
  expect(stateReason).toMatch(/serves something else: its input \S+ has shape \[-1, 4\], not \[-1, 30\]\./);
  await elsewhere.stop();
});

test('one that is not there: FAILED, with the reason', async () => {
  const id = await external('nowhere', 'http://127.0.0.1:1/v2/models/fraud');
  const { stateReason } = await deploymentIn(stack, id, ['FAILED', 'LIVE']);
  expect(stateReason).toMatch(/cannot be reached \(\w+\)\.$/);
});

describe('refused', () => {
  const url = 'http://127.0.0.1:1/v2/models/fraud';
  const cases: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ target: 'EXTERNAL' }, 'externalUrl'],
    [{ target: 'LOCAL', externalUrl: url }, 'externalUrl'],
    [{ target: 'EXTERNAL', externalUrl: url, replicas: 2 }, 'replicas'],
    [{ target: 'EXTERNAL', externalUrl: url, resources: { memoryLimitBytes: 2 ** 30 } }, 'resources'],
    [{ target: 'EXTERNAL', externalUrl: url, resources: { threads: 2 } }, 'resources'],
    [{ target: 'EXTERNAL', externalUrl: url, batching: { maxRows: 1 } }, 'batching'],
    ...[
      'fraud',
      'ftp://host/v2/models/fraud',
      'http://host/models/fraud',
      'http://user:secret@host/v2/models/fraud',
      'http://host/v2/models/fraud?x=1',
      'http://host/v2/models/fraud/infer',
    ].map((wrong) => [{ target: 'EXTERNAL', externalUrl: wrong }, 'externalUrl'] as const),
  ];
  test.each(cases)('%j', async (given, path) => {
    const refusedOne = await refused(stack, 'createDeployment', {
      project: PROJECT,
      name: 'no',
      version,
      ...given,
    });
    expect(issueOf(refusedOne).path).toEqual([path]);
  });
  test('scaling what is not ours', async () => {
    const id = await external('theirs', url);
    const outcome = await attempt(stack, 'scale', { deployment: id, replicas: 2 });
    if ('made' in outcome) throw new Error('It was scaled.');
    expect(['ValidationError', 'ConflictError']).toContain(outcome.refusal.__typename);
  });
});
