/** What is kept of predictions: through the public door, and where it must not be anywhere, in the table itself. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { breastCancerColumns, breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { pagesOf, pageFields } from '#test/helpers/pages.ts';
import { predict, refusal } from '#test/helpers/predict.ts';
import { issueOf, refused } from '#test/helpers/registry.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn } from '#test/helpers/work.ts';
import { rowsOf } from '#test/fault/stack-facts.ts';
import { fixturePredictions } from '#test/replica/process.harness.ts';
import { loggedBy, loggingOf, predictionsOf, untilLogged, type Logged } from './logged.ts';
import { patient, penguin, serve, type Row } from './served.ts';

let stack: Stack;
let version: string;

beforeAll(async () => {
  stack = await startStack();
  const made = await stack.createModelVersion(
    'cancer',
    [fixtureFile('breast-cancer/v1.onnx')],
    breastCancerSignature,
  );
  version = made.id;
});

/** Another deployment of the same version: its log is its own. */
async function deployed(name: string, logging?: Row): Promise<string> {
  const id = await createDeployment(stack, {
    project: 'test',
    version,
    name,
    ...(logging ? { logging } : {}),
  });
  await deploymentIn(stack, id, 'LIVE');
  return id;
}

describe('node(id)', () => {
  test('tells what went in and came out, and why', async () => {
    const deployment = await deployed('told');
    const rows = [patient, { ...patient, 'mean radius': 1.5 }];
    const labels = [
      { key: 'team', value: 'a' },
      { key: 'campaign', value: 'spring' },
    ];
    const answer = await predict(stack, { deployment, rows, labels });
    const second = await loggedBy(stack, answer.rows[1]!.predictionId);
    expect(second).toMatchObject({
      requestId: answer.requestId,
      row: 1,
      arm: 'stable',
      error: null,
      label: answer.rows[1]!.label,
      probability: answer.rows[1]!.probability,
      value: null,
      labels: [labels[1], labels[0]],
      payload: 'LOGGED',
      outputs: answer.rows[1]!.outputs,
    });
    expect(Object.keys(second.inputs!)).toEqual(breastCancerColumns);
    expect(second.inputs).toMatchObject({ 'mean radius': 1.5 });
    expect(Math.abs(second.latencyMs - answer.latency.totalMs)).toBeLessThan(5);
    expect(parseInt(answer.requestId.replaceAll('-', '').slice(0, 12), 16)).toBe(Date.parse(second.at));

    const fields = `id deployment { id } version { id number }
      why { weightAtTheTime deployedAt actorWhoDeployed { name kind } versionAuthor { name kind } origin { __typename ... on UploadOrigin { by { name } } } }`;
    const why = await loggedBy<Row>(stack, second.id, fields);
    const { node } = await stack.data<{ node: { createdAt: string } }>(
      'query ($id: ID!) { node(id: $id) { ... on Deployment { createdAt } } }',
      { id: deployment },
    );
    expect(why).toEqual({
      id: second.id,
      deployment: { id: deployment },
      version: { id: version, number: 1 },
      why: {
        weightAtTheTime: 1,
        deployedAt: node.createdAt,
        actorWhoDeployed: { name: 'local', kind: 'USER' },
        versionAuthor: { name: 'local', kind: 'USER' },
        origin: { __typename: 'UploadOrigin', by: { name: 'local' } },
      },
    });
  });

  test('is null for a row or a request that was not there, and for no id at all', async () => {
    const [{ requestId }] = (await untilLogged(stack, await idOf('told'), 2)) as [Logged, Logged];
    const ids = [
      `${requestId}:2`,
      `${requestId}:01`,
      requestId,
      `${requestId}:-1`,
      '00000000-0000-0000-0000-000000000000:0',
      'ffffffff-ffff-ffff-ffff-ffffffffffff:0',
    ];
    const query = 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }';
    expect(await stack.data(query, { ids })).toEqual({ nodes: ids.map(() => null) });
  });

  test('a regression has a value, and texts and missing values come back', async () => {
    await Promise.all([
      serve(stack, 'penguins', 'penguins/v1.onnx'),
      serve(stack, 'diamonds', 'diamonds/v1.onnx'),
    ]);
    const answer = await predict(stack, {
      deployment: 'test/penguins',
      rows: [{ ...penguin, body_mass_g: null }],
    });
    const logged = await loggedBy(stack, answer.rows[0]!.predictionId);
    expect(logged).toMatchObject({
      label: answer.rows[0]!.label,
      inputs: { island: 'Biscoe', body_mass_g: 'NaN' },
    });
    const request = fixturePredictions('diamonds', 'v1').requests[0]!;
    const price = await predict(stack, { deployment: 'test/diamonds', tensors: request.request.inputs });
    expect(await loggedBy(stack, price.rows[0]!.predictionId)).toMatchObject({
      label: null,
      probability: null,
      value: price.rows[0]!.value,
      outputs: price.rows[0]!.outputs,
    });
  });

  test('a prediction that failed is there, with its error; a mistake of the caller is not', async () => {
    await serve(stack, 'nan', 'breast-cancer/v6-nan.onnx');
    const nan = await idOf('nan');
    const { requests } = fixturePredictions('breast-cancer', 'v6-nan');
    const { request } = requests.find(({ outputs }) => outputs[1]!.data.includes('NaN'))!;
    await refusal(stack, { deployment: nan, tensors: [] });
    expect((await refusal(stack, { deployment: nan, tensors: request.inputs })).code).toBe('MODEL_FAILED');
    const late = await refusal(stack, { deployment: nan, tensors: request.inputs, timeoutMs: 1 });
    const failed = await untilLogged(stack, nan, 2 * request.inputs[0]!.shape[0]!, {
      filter: { failed: true },
    });
    expect(new Set(failed.map(({ error }) => error))).toEqual(new Set([late.code, 'MODEL_FAILED']));
    expect(failed[0]).toMatchObject({ outputs: null, label: null, payload: 'LOGGED' });
    expect(failed[0]!.inputs).not.toBeNull();
    expect((await predictionsOf(stack, nan, { filter: { failed: false } })).edges).toEqual([]);
  });
});

async function idOf(name: string): Promise<string> {
  const query = 'query ($name: String!) { project(name: "test") { deployment(name: $name) { id } } }';
  const { project } = await stack.data<{ project: { deployment: { id: string } } }>(query, { name });
  return project.deployment.id;
}

describe('predictions', () => {
  test('page by page, the newest request first, each once, while more are made', async () => {
    const deployment = await deployed('paged');
    const made: string[] = [];
    for (const size of [1, 3, 7, 1, 2]) {
      const { requestId } = await predict(stack, { deployment, rows: Array<Row>(size).fill(patient) });
      made.unshift(...Array.from({ length: size }, (_, row) => `${requestId}:${row}`));
    }
    await untilLogged(stack, deployment, made.length);
    const query = `query ($id: ID!, $after: String) { node(id: $id) { ... on Deployment { predictions(first: 4, after: $after) { ${pageFields} edges { node { requestId row inputs } } } } } }`;
    const pages = await pagesOf<{ node: Logged }>(
      stack,
      query,
      { id: deployment },
      'node.predictions',
      async () => {
        const { rows } = await predict(stack, { deployment, rows: [patient, patient] });
        await loggedBy(stack, rows[1]!.predictionId);
      },
    );
    const seen = pages.flatMap(({ edges }) => edges.map(({ node }) => `${node.requestId}:${node.row}`));
    expect(seen).toEqual(made);
    expect(pages.map(({ edges }) => edges.length)).toEqual([4, 4, 4, 2]);
    expect(pages.flatMap(({ edges }) => edges).every(({ node }) => node.inputs !== null)).toBe(true);
  });

  test('filters', async () => {
    const deployment = await idOf('paged');
    const labels = [
      { key: 'test', value: 'filters' },
      { key: 'campaign', value: 'spring' },
    ];
    const input = { deployment, rows: [patient] };
    const { requestId: spring } = await predict(stack, { ...input, labels });
    const { requestId: plain } = await predict(stack, { ...input, labels: [labels[0]] });
    const [label] = labels;
    await untilLogged(stack, deployment, 2, { filter: { label } });
    const found = async (filter: Row): Promise<string[]> =>
      (await predictionsOf(stack, deployment, { filter })).edges.map(({ node }) => node.requestId);
    expect(await found({ label: labels[1] })).toEqual([spring]);
    expect(await found({ label: { key: 'campaign', value: 'autumn' } })).toEqual([]);
    expect(await found({ label, arm: 'stable', version, failed: false })).toEqual([plain, spring]);
    expect(await found({ label, arm: 'candidate' })).toEqual([]);
    expect(await found({ label, failed: true })).toEqual([]);
    expect(await found({ label, slowerThanMs: 0 })).toHaveLength(2);
    expect(await found({ label, slowerThanMs: 1e9 })).toEqual([]);
    // What no latency and no label can be is found nowhere.
    expect(await found({ label, slowerThanMs: 1e300 })).toEqual([]);
    expect(await found({ label, slowerThanMs: 1e-300 })).toHaveLength(2);
    for (const value of ['\0', '\ud800']) expect(await found({ label: { key: 'test', value } })).toEqual([]);
    const query = `query ($id: ID!) { node(id: $id) { ... on Deployment { predictions(after: "WyJhIiwiMSJd") { pageInfo { endCursor } } } } }`;
    const { body } = await stack.gql(query, { id: deployment });
    expect(body.errors?.[0]?.extensions?.['code']).toBe('VALIDATION');
  });

  test('behind a filter that lets nothing pass a page ends all the same, and the next one goes on from there', async () => {
    const deployment = await idOf('paged');
    const { rows } = await predict(stack, {
      deployment,
      rows: [patient],
      labels: [{ key: 'k', value: 'rare' }],
    });
    const rare = await loggedBy(stack, rows[0]!.predictionId);
    const [deploymentId, versionId] = [deployment, version].map((id) => atob(id).split(':')[1]!);
    // Newer ones, as an api would have written them.
    await rowsOf(
      stack,
      sql`insert into prediction (request_id, at, retention_days, deployment_id, version_id, weight, latency_ms, rows, arm, payload)
        select (lpad(to_hex(ms), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid, to_timestamp(ms / 1000.0),
               30, ${deploymentId}, ${versionId}, 1, 1, 1, 'stable', 'NOT_SAMPLED'
        from generate_series(1, 30000) n, lateral (select ${Date.parse(rare.at)}::bigint + 1 + n / 1000 as ms) m`,
    );
    const filter = { label: { key: 'k', value: 'rare' } };
    const first = await predictionsOf(stack, deployment, { filter }, 'id');
    expect(first).toMatchObject({ edges: [], pageInfo: { hasNextPage: true } });
    const next = await predictionsOf(stack, deployment, { filter, after: first.pageInfo.endCursor }, 'id');
    expect(next.edges.map(({ node }) => node.id)).toEqual([rare.id]);
    expect(next.pageInfo.hasNextPage).toBe(false);
  });
});

describe('logging', () => {
  test('has defaults', async () => {
    expect(await loggingOf(stack, await idOf('told'))).toEqual({
      sampleRate: 1,
      redact: [],
      retentionDays: 30,
      dropped: 0,
    });
  });

  test('a redacted column is nowhere in the table, the others are there', async () => {
    const deployment = await deployed('redacted', { redact: ['mean radius'] });
    const secret = 12345.678;
    const rows = [patient, { ...patient, 'mean radius': secret }];
    const { rows: answers } = await predict(stack, { deployment, rows });
    const { inputs, payload } = await loggedBy(stack, answers[1]!.predictionId);
    expect(payload).toBe('LOGGED');
    expect(Object.keys(inputs!)).toEqual(breastCancerColumns.filter((name) => name !== 'mean radius'));
    const bits = Buffer.from(new Float32Array([secret, patient['mean texture'] as number]).buffer);
    const id = atob(deployment).split(':')[1]!;
    const [found] = await rowsOf(
      stack,
      sql<{ secret: boolean; other: boolean }>`
        select bool_or(position(${bits.subarray(0, 4)}::bytea in inputs) > 0 or p::text like '%12345.6%') as secret,
               bool_and(position(${bits.subarray(4)}::bytea in inputs) > 0) as other
        from prediction p where deployment_id = ${id}`,
    );
    expect(found).toEqual({ secret: false, other: true });
  });

  test('updateDeployment changes it from then on, and the ledger tells', async () => {
    const deployment = await idOf('redacted');
    const [before] = await untilLogged(stack, deployment, 2);
    const logging = { sampleRate: 0, retentionDays: 7 };
    const update = `mutation ($input: UpdateDeploymentInput!) { updateDeployment(input: $input) { ... on Deployment { id logging { sampleRate redact retentionDays } } } }`;
    const from = { sampleRate: 1, redact: ['mean radius'], retentionDays: 30 };
    expect(await stack.data(update, { input: { deployment: 'test/redacted', logging } })).toEqual({
      updateDeployment: { id: deployment, logging: { ...from, ...logging } },
    });
    const { requestId, rows } = await predict(stack, { deployment, rows: [patient] });
    // What a later outcome needs is kept, and no payload.
    expect(await loggedBy(stack, rows[0]!.predictionId)).toMatchObject({
      payload: 'NOT_SAMPLED',
      inputs: null,
      outputs: null,
      label: rows[0]!.label,
      probability: rows[0]!.probability,
    });
    // Of both retentions, in one list.
    const all = await untilLogged(stack, deployment, 3);
    expect(all.map((each) => each.requestId)).toEqual([requestId, before!.requestId, before!.requestId]);
    const { project } = await stack.data<{ project: { ledger: { edges: { node: Row }[] } } }>(
      'query ($id: ID!) { project(name: "test") { ledger(first: 1, subject: $id) { edges { node { type summary data } } } } }',
      { id: deployment },
    );
    expect(project.ledger.edges[0]!.node).toMatchObject({
      type: 'DEPLOYMENT_UPDATED',
      summary: 'local changed deployment redacted.',
      data: { state: 'LIVE', logging: { from, to: { ...from, ...logging } } },
    });
  });

  test.each([
    [{ redact: ['mean radios'] }, ['logging', 'redact', '0'], 'a column of the signature', '"mean radios"'],
    [{ sampleRate: 1.5 }, ['logging', 'sampleRate'], '0 to 1', '1.5'],
    [{ retentionDays: 31 }, ['logging', 'retentionDays'], '1, 7, 30, 90 or 365 days', '31'],
  ])('%j is refused', async (logging, path, expected, found) => {
    const input = { project: 'test', name: 'refused', version, logging };
    for (const [field, place] of [
      ['createDeployment', input],
      ['updateDeployment', { deployment: 'test/told', logging }],
    ] as const) {
      expect(issueOf(await refused(stack, field, place))).toMatchObject({ path, expected, found });
    }
  });
});

test('a partition goes when its time is over, with all that is in it; the next days are there ahead', async () => {
  const names = async (): Promise<string[]> =>
    (
      await rowsOf(
        stack,
        sql<{
          name: string;
        }>`select relname as name from pg_class where relname ~ '^prediction_\\d+_\\d{8}$' order by 1`,
      )
    ).map(({ name }) => name);
  const day = (days: number): string =>
    new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10).replaceAll('-', '');
  const bounds = (days: number) => `from ('${day(days)} 00:00+00') to ('${day(days + 1)} 00:00+00')`;
  for (const [retention, days] of [
    [7, -8],
    [7, -7],
    [30, -31],
    [365, -31],
  ] as const) {
    await rowsOf(
      stack,
      sql.raw<object>(
        `create table prediction_${retention}_${day(days)} partition of prediction_${retention} for values ${bounds(days)}`,
      ),
    );
  }
  // A worker that starts looks at once.
  await stack.worker.restart('SIGTERM');
  while ((await names()).includes(`prediction_7_${day(-8)}`));
  while ((await names()).includes(`prediction_30_${day(-31)}`));
  const left = await names();
  expect(left).toEqual(expect.arrayContaining([`prediction_7_${day(-7)}`, `prediction_365_${day(-31)}`]));
  expect(left).toEqual(expect.arrayContaining([0, 1, 2].map((days) => `prediction_30_${day(days)}`)));
});

test('SIGTERM writes what is left', async () => {
  const { rows } = await predict(stack, { deployment: 'test/told', rows: [patient] });
  await stack.api.stop();
  await stack.api.start();
  const query = 'query ($id: ID!) { node(id: $id) { id } }';
  expect(await stack.data(query, { id: rows[0]!.predictionId })).toEqual({
    node: { id: expect.any(String) },
  });
});
