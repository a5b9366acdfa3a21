/** The registry against what PostgreSQL gives to bare pg: new versions, versions by reference, search, deep pages. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compare, type Duration } from './compare.ts';
import { post } from './graphql.ts';
import { cpuSeconds, familyCpuSeconds } from './process-usage.ts';
import { ratioFigure } from './ratio.ts';
import { recordCreation } from './recorded-creation.ts';
import { BEST_SEARCH, SEARCH, seedRegistry, VERSIONS_OF_ONE } from './registry-seed.ts';
import { root, type Stack } from './stack.ts';
import { cpuText, median, spreadOf, type Figure } from './table.ts';

const IN_FLIGHT = 8;

const cpuOf = (stack: Stack) => ({
  ours: () => ({ api: cpuSeconds([stack.pid('api')]), PostgreSQL: familyCpuSeconds(stack.pid('postgres')) }),
  limit: () => ({ PostgreSQL: familyCpuSeconds(stack.pid('postgres')) }),
});

const portOf = (stack: Stack): number => Number(new URL(stack.url).port);

const errors = '... on Error { code message }';

/** A project with one model of one READY version, through the public door. Answers the model and the file's digest. */
async function prepareProject(stack: Stack, name: string): Promise<{ model: string; digest: string }> {
  await post(stack.url, {
    query: `mutation { createProject(input: {name: "${name}"}) { ${errors} } }`,
  });
  const { createModel } = await post<{ createModel: { id: string } }>(stack.url, {
    query: `mutation { createModel(input: {project: "${name}", name: "iris"}) { ... on Model { id } ${errors} } }`,
  });
  const form = new FormData();
  const query = `mutation ($input: CreateVersionInput!) { createVersion(input: $input) { ... on Version { id } ${errors} } }`;
  form.set(
    'operations',
    JSON.stringify({ query, variables: { input: { model: createModel.id, files: [null] } } }),
  );
  form.set('map', JSON.stringify({ 0: ['variables.input.files.0'] }));
  form.set('0', new Blob([readFileSync(join(root, 'test/fixtures/models/iris/v1.onnx'))]), 'v1.onnx');
  await fetch(`${stack.url}/graphql`, { method: 'POST', body: form });
  for (;;) {
    const { version } = await post<{ version: { status: string; digest: string } }>(stack.url, {
      query: `{ version(ref: "${name}/iris:1") { status digest } }`,
    });
    if (version.status === 'READY') return { model: createModel.id, digest: version.digest };
    if (version.status === 'REJECTED') throw new Error('The model was rejected.');
  }
}

const creation = `mutation Create($input: CreateVersionInput!) {
  createVersion(input: $input) { ... on Version { id number status } ... on Error { code message } }
}`;

async function creations(stack: Stack, duration: Duration): Promise<Figure> {
  const names = Array.from({ length: IN_FLIGHT }, (_, index) => `bench-${index}`);
  const prepared = [];
  for (const name of names) prepared.push(await prepareProject(stack, name));
  const inputs = prepared.map(({ model, digest }) => ({
    model,
    artifacts: [{ path: 'v1.onnx', digest }],
    message: 'Trained again.',
    metadata: { run: 'nightly', rows: 150 },
    tags: [{ key: 'stage', value: 'dev' }],
    metrics: [
      { name: 'accuracy', value: 0.96 },
      { name: 'f1', value: 0.95 },
    ],
  }));
  const transactions = await recordCreation(stack, inputs);
  const bodies = inputs.map((input) => JSON.stringify({ query: creation, variables: { input } }));
  const { ours, limit } = cpuOf(stack);
  return ratioFigure(
    'createVersion on stored bytes, 8 at a time over 8 projects',
    [
      { target: { port: portOf(stack), bodies, mark: '"status":"READY"' }, cpu: ours },
      { target: { kind: 'transaction', databaseUrl: stack.databaseUrl, transactions }, cpu: limit },
    ],
    'the same statements by bare pg, 8 connections',
    0.4,
    duration,
    IN_FLIGHT,
  );
}

const byRef = `query Version($ref: VersionRef!) {
  version(ref: $ref) { id number status message digest bytes createdAt author { name kind } }
}`;
const byRefStatement = `
  select v.id, v.number, v.status, v.message, v.digest, v.bytes, v.created_at, v.author_name, v.author_kind, v.project_id
  from project p join model m on m.project_id = p.id and m.name = $2 and m.deleted_at is null
  join version v on v.model_id = m.id and v.number = $3 and v.deleted_at is null
  where p.name = $1`;

async function references(stack: Stack, duration: Duration): Promise<Figure> {
  const wanted = Array.from({ length: 5000 }, (_, index) => ({
    model: `fraud-${String((index * 7919) % 500).padStart(5, '0')}`,
    number: 1 + (index % 10),
  }));
  const bodies = wanted.map(({ model, number }) =>
    JSON.stringify({ query: byRef, variables: { ref: `registry/${model}:${number}` } }),
  );
  const values = wanted.map(({ model, number }) => ['registry', model, number]);
  const { ours, limit } = cpuOf(stack);
  return ratioFigure(
    'Version by reference, 8 at a time',
    [
      { target: { port: portOf(stack), bodies, mark: '"digest":"' }, cpu: ours },
      {
        target: { kind: 'prepared', databaseUrl: stack.databaseUrl, text: byRefStatement, values },
        cpu: limit,
      },
    ],
    'one prepared statement by bare pg, 8 connections',
    0.25,
    duration,
    IN_FLIGHT,
  );
}

const search = `query Search($query: String!, $after: String) {
  project(name: "registry") {
    search(query: $query, first: 20, after: $after) {
      edges { cursor node { id number status createdAt author { name } tags { key value } metrics { name value } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}`;

async function searches(stack: Stack, duration: Duration): Promise<Figure[]> {
  const bodies = SEARCH.map(({ query }) => JSON.stringify({ query: search, variables: { query } }));
  const values = SEARCH.map(({ values: own }) => own);
  const { ours, limit } = cpuOf(stack);
  const contenders = [
    { target: { port: portOf(stack), bodies, mark: '"endCursor":"' }, cpu: ours },
    { target: { kind: 'prepared', databaseUrl: stack.databaseUrl, text: BEST_SEARCH, values }, cpu: limit },
  ] as const;
  const what = 'Search with three predicates, 100,000 versions of 10,000 models, first page';
  const byHand = 'the best SQL by hand, by bare pg';
  const many = await ratioFigure(
    `${what}, 8 at a time`,
    contenders,
    `${byHand}, 8 connections`,
    0.4,
    duration,
    IN_FLIGHT,
  );
  const [alone, hand] = await compare(contenders, duration, 1);
  const p99 = median(alone.p99);
  const latency: Figure = {
    what: `${what}, one at a time: p99`,
    measured: `${p99.toFixed(1)} ms (${Math.round(median(alone.rates))}/s)`,
    spread: spreadOf(alone.p99, 1),
    cpu: cpuText(alone.cpuMicros),
    limit: `${byHand}: ${median(hand.p99).toFixed(1)} ms (${Math.round(median(hand.rates))}/s)`,
    target: '≤ 40 ms',
    met: p99 <= 40,
  };
  return [many, latency];
}

const page = `query Page($after: String) {
  project(name: "deep") {
    model(name: "long") {
      versions(first: 50, after: $after) {
        edges {
          cursor
          node {
            id number status message createdAt author { name kind } tags { key value } metrics { name value }
            aliases { name }
          }
        }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}`;

const cursorOf = (number: number): string =>
  Buffer.from(JSON.stringify([String(number)])).toString('base64url');

/** Page 1,000 of 50 against the first, both through the public door. */
async function deepPages(stack: Stack, duration: Duration): Promise<Figure> {
  const body = (after: string | null): string => JSON.stringify({ query: page, variables: { after } });
  const { ours } = cpuOf(stack);
  const at = (after: string | null) => ({
    target: { port: portOf(stack), bodies: [body(after)], mark: '"endCursor":"' },
    cpu: ours,
  });
  const deep = at(cursorOf(VERSIONS_OF_ONE - 999 * 50 + 1));
  // One at a time: equal questions in one turn would share their answer.
  const [late, first] = await compare([deep, at(null)], duration, 1);
  const ratios = late.rates.map((rate, round) => (first.rates[round] ?? Number.NaN) / rate);
  return {
    what: 'Page 1,000 of 50 versions with author, aliases, tags and metrics: its time against the first page’s',
    measured: `${median(ratios).toFixed(2)} × (${(1000 / median(late.rates)).toFixed(1)} ms against ${(1000 / median(first.rates)).toFixed(1)} ms)`,
    spread: `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)} (${ratios.length} rounds)`,
    cpu: `api ${late.cpuMicros['api']?.toFixed(0)} µs, PostgreSQL ${late.cpuMicros['PostgreSQL']?.toFixed(0)} µs`,
    limit: 'the first page',
    target: '≤ 2 ×',
    met: median(ratios) <= 2,
  };
}

export async function registry(stack: Stack, duration: Duration): Promise<Figure[]> {
  await seedRegistry(stack.databaseUrl);
  return [
    await creations(stack, duration),
    await references(stack, duration),
    ...(await searches(stack, duration)),
    await deepPages(stack, duration),
  ];
}
