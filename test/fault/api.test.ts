/** An api that is killed or told to stop, with people attached to it. */
import { once } from 'node:events';
import { readdirSync, watch } from 'node:fs';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { json } from 'node:stream/consumers';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { breastCancerColumns, breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { countsAfter, Dashboard } from './frames.ts';
import { Load } from './load.ts';

let stack: Stack;
let deployment: string;
let dashboards: Dashboard[] = [];

beforeAll(async () => {
  stack = await startStack();
  // Takes long enough for a request to be in flight.
  const model = fixtureFile('breast-cancer/v5-slow.onnx');
  const { id } = await stack.createModelVersion('fraud', [model], breastCancerSignature);
  deployment = (await stack.deploy(id, { name: 'fraud' })).id;
});

afterEach(async () => {
  for (const dashboard of dashboards) await dashboard.close();
  dashboards = [];
});

test('kill -9 with subscribers attached: they reconnect and carry on', async () => {
  dashboards = Array.from({ length: 20 }, () => new Dashboard(stack.api.url, deployment));
  const load = new Load(stack, deployment, 2);
  await Promise.all(dashboards.map((dashboard) => dashboard.next(countsAfter(0))));
  await stack.api.restart();
  const back = Date.now();
  await Promise.all(dashboards.map((dashboard) => dashboard.next(countsAfter(back))));
  expect(dashboards.map(({ connections }) => connections)).toEqual(dashboards.map(() => 2));
  await load.stop();
});

/** Begins a request; resolves once the api has its head and waits for the body. */
async function begun(headers: Record<string, string>): Promise<ClientRequest> {
  const req = request(`${stack.api.url}/graphql`, {
    method: 'POST',
    agent: false,
    headers: { expect: '100-continue', ...headers },
  });
  req.flushHeaders();
  await once(req, 'continue');
  return req;
}

test('SIGTERM with requests in flight: all are answered, subscribers come back to the next one', async () => {
  dashboards = [new Dashboard(stack.api.url, deployment)];
  await dashboards[0]?.next();
  const query = 'mutation ($input: PredictInput!) { result: predict(input: $input) { __typename } }';
  const rows = Array.from({ length: 10 }, () =>
    Object.fromEntries(breastCancerColumns.map((name) => [name, 1])),
  );
  const body = JSON.stringify({ query, variables: { input: { deployment, rows } } });
  const requests = await Promise.all(
    Array.from({ length: 8 }, () => begun({ 'content-type': 'application/json' })),
  );
  const answers = requests.map(async (req) => {
    const [response] = (await once(req.end(body), 'response')) as [IncomingMessage];
    return json(response);
  });
  const stopped = stack.api.stop();
  expect(await Promise.all(answers)).toEqual(
    requests.map(() => ({ data: { result: { __typename: 'PredictPayload' } } })),
  );
  await stopped;
  const from = Date.now();
  await stack.api.start();
  await dashboards[0]?.next(({ at }) => Date.parse(at) > from);
});

test('kill -9 in the middle of an upload: no version, and no bytes once the sweep has come by', async () => {
  const staging = `${stack.artifactStore}/staging`;
  const stored = (): string[] =>
    readdirSync(`${stack.artifactStore}/sha256`, { recursive: true }) as string[];
  const before = stored();
  const model = await stack.model('cut');
  const watcher = watch(staging);
  const boundary = 'a-boundary';
  const part = (name: string, more = ''): string =>
    `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${more}\r\n\r\n`;
  const query =
    'mutation ($input: CreateVersionInput!) { createVersion(input: $input) { ... on Version { id } } }';
  const operations = JSON.stringify({ query, variables: { input: { model, files: [null] } } });
  const req = await begun({ 'content-type': `multipart/form-data; boundary=${boundary}` });
  req.on('error', () => undefined);
  req.write(`${part('operations')}${operations}\r\n`);
  req.write(`${part('map')}${JSON.stringify({ 0: ['variables.input.files.0'] })}\r\n`);
  req.write(part('0', '; filename="model.onnx"'));
  const arrived = once(watcher, 'change');
  req.write(Buffer.alloc(4 * 1024 * 1024));
  await arrived;
  await stack.api.kill();
  expect(readdirSync(staging)).toHaveLength(1);

  const swept = new Promise<void>((resolve) => {
    watcher.on('change', () => {
      if (readdirSync(staging).length === 0) resolve();
    });
  });
  await stack.api.start();
  // A worker that starts looks at once, later ones every minute.
  await stack.worker.restart('SIGTERM');
  await swept;
  watcher.close();
  expect(readdirSync(staging)).toEqual([]);
  expect(stored()).toEqual(before);
  const { node } = await stack.data<{ node: { versions: { edges: unknown[] } } }>(
    'query ($id: ID!) { node(id: $id) { ... on Model { versions { edges { node { id } } } } } }',
    { id: model },
  );
  expect(node.versions.edges).toEqual([]);
});
