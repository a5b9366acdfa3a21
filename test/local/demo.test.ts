import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { seedDemo } from '#src/local/demo.ts';

const folder = join(import.meta.dirname, '../../src/local/demo');
const fixtures = join(import.meta.dirname, '../fixtures/models/breast-cancer');
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const operation = z.object({
  query: z.string(),
  variables: z.object({ input: z.looseObject({ version: z.string().optional() }).optional() }),
});

/** What a stand-in for the api has; each look at it moves the newest version and the deployment on by one state. */
interface State {
  project: boolean;
  model: boolean;
  versions: { status: string; digest: string }[];
  /** What the champion stands for. */
  champion: string | null;
  deployment: { version: string; state: string } | null;
}

const next: Readonly<Record<string, string>> = {
  PENDING: 'INGESTING',
  INGESTING: 'READY',
  PROVISIONING: 'LIVE',
};

function look(state: State): unknown {
  for (const version of state.versions) version.status = next[version.status] ?? version.status;
  const { deployment } = state;
  if (deployment) deployment.state = next[deployment.state] ?? deployment.state;
  const edges = state.versions.map(({ status }, index) => ({
    node: {
      id: `v${index + 1}`,
      number: index + 1,
      status,
      statusReason: status === 'REJECTED' ? 'Not for us.' : null,
    },
  }));
  const alias = state.champion === null ? null : { name: 'champion' };
  const model = state.model ? { id: 'm', alias, versions: { edges } } : null;
  const deployed = deployment && {
    id: 'd',
    state: deployment.state,
    arms: [{ ready: deployment.state === 'LIVE' }],
  };
  return { project: state.project ? { model, deployment: deployed } : null };
}

async function change(state: State, request: Request): Promise<unknown> {
  const multipart = request.headers.get('content-type')?.startsWith('multipart/form-data');
  const form = multipart ? await request.formData() : undefined;
  const { query, variables } = operation.parse(
    form ? JSON.parse(z.string().parse(form.get('operations'))) : await request.json(),
  );
  const name = /result: (\w+)\(/.exec(query)?.[1];
  if (name === undefined) return look(state);
  if (name === 'createProject') state.project = true;
  else if (name === 'createModel') state.model = true;
  else if (name === 'setAlias') {
    expect(variables.input).toMatchObject({ model: 'm', name: 'champion' });
    state.champion = variables.input?.version ?? '';
  } else if (name === 'createDeployment') {
    state.deployment = { version: variables.input?.version ?? '', state: 'PROVISIONING' };
  } else if (name === 'createVersion') {
    expect(form?.get('map')).toBe('{"0":["variables.input.files.0"]}');
    expect(variables.input).toMatchObject({
      model: 'm',
      files: [null],
      signature: { positiveClass: 'malignant' },
      metrics: [{ name: 'accuracy' }],
    });
    const bytes = await z.instanceof(Blob).parse(form?.get('0')).bytes();
    state.versions.push({ status: 'PENDING', digest: digest(bytes) });
  } else return { result: { code: 'UNKNOWN', message: `${name}?` } };
  return { result: { __typename: 'Done' } };
}

async function standIn(state: State): Promise<string> {
  const server = createServer((incoming, outgoing) => {
    const headers = new Headers({ 'content-type': incoming.headers['content-type'] ?? '' });
    const body = Readable.toWeb(incoming) as ReadableStream<Uint8Array>;
    const init: RequestInit & { duplex: 'half' } = { method: 'POST', headers, body, duplex: 'half' };
    const request = new Request('http://stand-in', init);
    void change(state, request).then(
      (data) => outgoing.end(JSON.stringify({ data })),
      (error) => outgoing.end(JSON.stringify({ errors: [{ message: String(error) }] })),
    );
  });
  onTestFinished(() => void server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
}

const files = ['v1.onnx', 'v2.onnx'].map((name) => digest(readFileSync(join(fixtures, name))));
const version = (index: number, status = 'READY') => ({ status, digest: files[index] ?? '' });

const whole: State = {
  project: true,
  model: true,
  versions: [version(0), version(1)],
  champion: 'v2',
  deployment: { version: 'demo/breast-cancer@champion', state: 'LIVE' },
};

const partial: Record<string, State> = {
  nothing: { project: false, model: false, versions: [], champion: null, deployment: null },
  'a project': { project: true, model: false, versions: [], champion: null, deployment: null },
  'a model': { project: true, model: true, versions: [], champion: null, deployment: null },
  'one version': {
    project: true,
    model: true,
    versions: [version(0, 'PENDING')],
    champion: null,
    deployment: null,
  },
  'both versions': {
    project: true,
    model: true,
    versions: [version(0), version(1, 'PENDING')],
    champion: null,
    deployment: null,
  },
  'a champion': { ...whole, deployment: null },
  'a deployment under way': {
    ...whole,
    deployment: { version: 'demo/breast-cancer@champion', state: 'PROVISIONING' },
  },
  everything: whole,
};

test.for(Object.entries(partial))('from %s the demo becomes whole', async ([, from]) => {
  const state = structuredClone(from);
  await seedDemo({ url: await standIn(state), log: () => {} });
  expect(state).toEqual(whole);
});

test('a demo that somebody has stopped stays stopped', async () => {
  const state = structuredClone({
    ...whole,
    deployment: { version: 'demo/breast-cancer@champion', state: 'STOPPED' },
  });
  await seedDemo({ url: await standIn(state), log: () => {} });
  expect(state.deployment?.state).toBe('STOPPED');
});

test('what stands in the way is told', async () => {
  const rejected = {
    ...whole,
    versions: [version(0), version(1, 'REJECTED')],
    champion: null,
    deployment: null,
  };
  await expect(seedDemo({ url: await standIn(rejected), log: () => {} })).rejects.toThrow('Not for us.');
});

const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'));

test('the row of the curl line is one of the tour, and has every column of the signature', () => {
  const rows = z.array(z.record(z.string(), z.number())).parse(read('breast-cancer-rows.json'));
  const { variables } = z
    .object({ variables: z.object({ rows: z.array(z.record(z.string(), z.number())) }) })
    .parse(read('predict.json'));
  const { signature } = z
    .object({ signature: z.object({ columns: z.array(z.object({ name: z.string() })) }) })
    .parse(read('breast-cancer.json'));
  const columns = signature.columns.map(({ name }) => name);
  expect(columns).toHaveLength(30);
  for (const row of rows) expect(Object.keys(row)).toEqual(columns);
  expect(rows).toContainEqual(variables.rows[0]);
});
