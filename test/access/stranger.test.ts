/** Somebody of another project asks for everything there is: nothing of it exists for them. */
import { readFileSync } from 'node:fs';
import { buildSchema, type GraphQLInterfaceType, type GraphQLObjectType } from 'graphql';
import { beforeAll, describe, expect, test } from 'vitest';
import { webSocketClient, type Variables } from '#test/helpers/client.ts';
import { breastCancerColumns, breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { predict } from '#test/helpers/predict.ts';
import { done } from '#test/helpers/registry.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import {
  createDeployment,
  createModel,
  createProject,
  createToken,
  createVersion,
  deploymentIn,
  workDone,
} from '#test/helpers/work.ts';
import { loggedBy } from '#test/prediction/logged.ts';

const ADMIN = 'the-first-admin-has-a-token-of-sufficient-length';
const admin = { token: ADMIN };
const schema = buildSchema(readFileSync(new URL('../../schema/schema.graphql', import.meta.url), 'utf8'));

/** An id of the same type that nobody has. */
const nobodys = (id: string): string => {
  const [type] = Buffer.from(id, 'base64').toString().split(':');
  const row = type === 'Prediction' ? ':0' : '';
  return Buffer.from(`${type}:00000000-0000-7000-8000-000000000000${row}`).toString('base64');
};

let stack: Stack;
/** An ADMIN of project `theirs`. */
let stranger: string;
/** Global ids of what is in project `mine`, by type. */
let ids: Record<
  | 'Project'
  | 'Model'
  | 'Version'
  | 'Operation'
  | 'Deployment'
  | 'ApiToken'
  | 'LedgerEvent'
  | 'ResumableUpload'
  | 'Prediction'
  | 'Rollout',
  string
>;

beforeAll(async () => {
  stack = await startStack({ adminToken: ADMIN });
  const project = await createProject(stack, 'mine', admin);
  await createProject(stack, 'theirs', admin);
  const model = await createModel(stack, 'mine', 'model', admin);
  const version = await createVersion(
    stack,
    model,
    [fixtureFile('breast-cancer/v1.onnx')],
    breastCancerSignature,
    admin,
  );
  await workDone(stack, version.operation.id, admin);
  const deployment = await createDeployment(
    stack,
    { project: 'mine', name: 'served', version: version.id },
    admin,
  );
  await deploymentIn(stack, deployment, 'LIVE', admin);
  const { token } = await createToken(stack, { project: 'mine', name: 'reader', role: 'READER' }, admin);
  stranger = (await createToken(stack, { project: 'theirs', name: 'stranger', role: 'ADMIN' }, admin)).secret;
  const { node } = await stack.data<{ node: { ledger: { edges: { node: { id: string } }[] } } }>(
    'query ($id: ID!) { node(id: $id) { ... on Project { ledger(first: 1) { edges { node { id } } } } } }',
    { id: project },
    admin,
  );
  const file = { project, path: 'mine.bin', bytes: 1 };
  const upload = await done<{ id: string }>(stack, 'createUpload', file, 'id', admin);
  const patient = Object.fromEntries(breastCancerColumns.map((column) => [column, 1]));
  const answer = await predict(stack, { deployment, rows: [patient] }, admin);
  const prediction = await loggedBy(stack, answer.rows[0]!.predictionId, 'id', admin);
  const moving = { deployment, version: version.id };
  const rollout = await done<{ id: string }>(stack, 'startRollout', moving, 'id', admin);
  ids = {
    Project: project,
    Model: model,
    Version: version.id,
    Operation: version.operation.id,
    Deployment: deployment,
    ApiToken: token.id,
    LedgerEvent: node.ledger.edges[0]!.node.id,
    ResumableUpload: upload.id,
    Prediction: prediction.id,
    Rollout: rollout.id,
  };
});

type Pick = (mine: string, nobodys: string) => string;

/** Every root field, with what a stranger would have to say to get at `mine`; `x` picks what is there or what is not. */
const reads: Record<string, (x: Pick) => [string, Variables]> = {
  'Query.viewer': () => [
    '{ viewer { name memberships { project { name models { edges { node { name } } } } } } }',
    {},
  ],
  'Query.projects': () => ['{ projects { id name deployments { edges { node { id } } } } }', {}],
  'Query.project': (x) => [
    'query ($name: String!) { project(name: $name) { id } }',
    { name: x('mine', 'nope') },
  ],
  'Query.node': (x) => [
    'query ($id: ID!) { node(id: $id) { id __typename } }',
    { id: x(ids.Model, nobodys(ids.Model)) },
  ],
  'Query.nodes': (x) => [
    'query ($ids: [ID!]!) { nodes(ids: $ids) { id __typename } }',
    { ids: Object.values(ids).map((id) => x(id, nobodys(id))) },
  ],
  'Query.version': (x) => [
    'query ($ref: VersionRef!) { version(ref: $ref) { id } }',
    { ref: x('mine/model:1', 'nope/model:1') },
  ],
  'Subscription.deployment': (x) => [
    'subscription ($id: ID!) { deployment(id: $id) { id } }',
    { id: x(ids.Deployment, nobodys(ids.Deployment)) },
  ],
  'Subscription.operation': (x) => [
    'subscription ($id: ID!) { operation(id: $id) { id } }',
    { id: x(ids.Operation, nobodys(ids.Operation)) },
  ],
  'Subscription.rollout': (x) => [
    'subscription ($id: ID!) { rollout(id: $id) { id } }',
    { id: x(ids.Rollout, nobodys(ids.Rollout)) },
  ],
  'Subscription.ledger': (x) => [
    'subscription ($id: ID!) { ledger(project: $id, after: 0) { id } }',
    { id: x(ids.Project, nobodys(ids.Project)) },
  ],
  'Subscription.deploymentMetrics': (x) => [
    'subscription ($id: ID!) { deploymentMetrics(deployment: $id) { at } }',
    { id: x(ids.Deployment, nobodys(ids.Deployment)) },
  ],
};

const changes: Record<string, (x: Pick) => Variables> = {
  createModel: (x) => ({ project: x('mine', 'nope'), name: 'new' }),
  createVersion: (x) => ({ model: x(ids.Model, nobodys(ids.Model)), files: [] }),
  updateModel: (x) => ({ model: x(ids.Model, nobodys(ids.Model)), description: 'theirs' }),
  deleteModel: (x) => ({ model: x(ids.Model, nobodys(ids.Model)) }),
  restoreVersion: (x) => ({ version: x('mine/model:1', 'nope/model:1') }),
  updateVersion: (x) => ({ version: x(ids.Version, nobodys(ids.Version)), removeTags: ['theirs'] }),
  archiveVersion: (x) => ({ version: x('mine/model@latest', 'nope/model@latest') }),
  unarchiveVersion: (x) => ({ version: x('mine/model:1~1', 'nope/model:1~1') }),
  deleteVersion: (x) => ({ version: x(ids.Version, nobodys(ids.Version)) }),
  setAlias: (x) => ({ model: x(ids.Model, nobodys(ids.Model)), name: 'theirs', version: 'mine/model:1' }),
  deleteAlias: (x) => ({
    model: x(ids.Model, nobodys(ids.Model)),
    name: 'champion',
    expected: 'mine/model:1',
  }),
  releaseFromQuarantine: (x) => ({ version: x('mine/model:1', 'nope/model:1'), reason: 'theirs' }),
  createUpload: (x) => ({ project: x('mine', 'nope'), path: 'theirs.bin', bytes: 1 }),
  cancelUpload: (x) => ({ upload: x(ids.ResumableUpload, nobodys(ids.ResumableUpload)) }),
  createDeployment: (x) => ({
    project: x('mine', 'nope'),
    name: 'new',
    version: x('mine/model:1', 'nope/model:1'),
  }),
  updateDeployment: (x) => ({
    deployment: x(ids.Deployment, nobodys(ids.Deployment)),
    logging: { sampleRate: 0 },
  }),
  scale: (x) => ({ deployment: x(ids.Deployment, nobodys(ids.Deployment)), replicas: 2 }),
  undeploy: (x) => ({ deployment: x(ids.Deployment, nobodys(ids.Deployment)) }),
  startRollout: (x) => ({
    deployment: x(ids.Deployment, nobodys(ids.Deployment)),
    version: x('mine/model:1', 'nope/model:1'),
  }),
  pauseRollout: (x) => ({ rollout: x(ids.Rollout, nobodys(ids.Rollout)) }),
  resumeRollout: (x) => ({ rollout: x(ids.Rollout, nobodys(ids.Rollout)) }),
  promoteRollout: (x) => ({ rollout: x(ids.Rollout, nobodys(ids.Rollout)) }),
  abortRollout: (x) => ({ rollout: x(ids.Rollout, nobodys(ids.Rollout)) }),
  rollBack: (x) => ({ deployment: x(ids.Deployment, nobodys(ids.Deployment)) }),
  predict: (x) => ({ deployment: x('mine/served', 'nope/served'), rows: [{}] }),
  cancelOperation: (x) => ({ operation: x(ids.Operation, nobodys(ids.Operation)) }),
  createToken: (x) => ({ project: x('mine', 'nope'), name: 'new', role: 'READER' }),
  revokeToken: (x) => ({ token: x(ids.ApiToken, nobodys(ids.ApiToken)) }),
};

const mine: Pick = (name) => name;
const nothing: Pick = (_name, other) => other;

/** The text of an answer, with names that were asked for made alike. */
const alike = (answer: unknown): string =>
  Object.values(ids)
    .flatMap((id) => [id, Buffer.from(id, 'base64').toString().split(':')[1]!])
    .reduce((text, id) => text.replaceAll(id, 'ID'), JSON.stringify(answer))
    .replaceAll(/00000000-0000-7000-8000-000000000000/g, 'ID')
    .replaceAll(/\b(mine|nope)\b/g, 'NAME');

test('the table has every root field', () => {
  const fieldsOf = (name: string): string[] =>
    Object.keys((schema.getType(name) as GraphQLObjectType).getFields());
  const expected = ['Query', 'Subscription'].flatMap((type) =>
    fieldsOf(type).map((field) => `${type}.${field}`),
  );
  expect(Object.keys(reads).toSorted()).toEqual(expected.toSorted());
  // createProject is nobody's but an admin's of all projects.
  expect([...Object.keys(changes), 'createProject'].toSorted()).toEqual(fieldsOf('Mutation').toSorted());
  const nodes = schema
    .getPossibleTypes(schema.getType('Node') as GraphQLInterfaceType)
    .map(({ name }) => name);
  expect(Object.keys(ids)).toEqual(expect.arrayContaining(nodes));
});

describe('queries', () => {
  const own = ['Query.viewer', 'Query.projects'];
  const asked = Object.keys(reads).filter((name) => name.startsWith('Query.'));

  test.each(asked.filter((name) => own.includes(name)))('%s shows the own project only', async (name) => {
    const [query, variables] = reads[name]!(mine);
    const { body } = await stack.gql(query, variables, { token: stranger });
    expect(body.errors).toBeUndefined();
    expect(JSON.stringify(body)).toContain('theirs');
    expect(JSON.stringify(body)).not.toMatch(/"(mine|model|served)"/);
  });

  test.each(asked.filter((name) => !own.includes(name)))('%s looks like nothing is there', async (name) => {
    const answers = [];
    for (const pick of [mine, nothing]) {
      const [query, variables] = reads[name]!(pick);
      // Members get data for this very question.
      const member = await stack.gql<Record<string, unknown>>(query, variables, admin);
      if (pick === mine) expect(JSON.stringify(member.body.data)).toMatch(/"id"/);
      answers.push(await stack.gql<Record<string, unknown>>(query, variables, { token: stranger }));
    }
    const [real, missing] = answers;
    expect(real!.status).toBe(missing!.status);
    expect(alike(real!.body)).toBe(alike(missing!.body));
    expect(JSON.stringify(real!.body.data ?? null)).not.toMatch(/"id"/);
  });

  test('every node type', async () => {
    for (const [type, id] of Object.entries(ids)) {
      const query = `query ($id: ID!) { node(id: $id) { id __typename } }`;
      const { body } = await stack.gql(query, { id }, { token: stranger });
      expect(body, type).toEqual({ data: { node: null } });
      const known = await stack.gql(query, { id }, admin);
      expect(known.body, type).toEqual({
        data: { node: type === 'ApiToken' ? null : { id, __typename: type } },
      });
    }
  });
});

test("a prediction's id as predict answers it is no way in either", async () => {
  const id = Buffer.from(ids.Prediction, 'base64').toString().slice('Prediction:'.length);
  const query = 'query ($id: ID!) { node(id: $id) { ... on Prediction { inputs why { weightAtTheTime } } } }';
  const { body } = await stack.gql(query, { id }, { token: stranger });
  expect(body).toEqual({ data: { node: null } });
  expect(JSON.stringify((await stack.gql(query, { id }, admin)).body)).toContain('"mean radius":1');
});

describe('mutations', () => {
  test.each(Object.keys(changes))('%s looks like nothing is there', async (field) => {
    const type = `${field[0]!.toUpperCase()}${field.slice(1)}Input`;
    const query = `mutation ($input: ${type}!) { result: ${field}(input: $input) { __typename ... on Error { code message hint } ... on NotFoundError { what } } }`;
    const answers = await Promise.all(
      [mine, nothing].map((pick) =>
        stack.data<{ result: { __typename: string } }>(
          query,
          { input: changes[field]!(pick) },
          { token: stranger },
        ),
      ),
    );
    expect(answers[0]!.result.__typename).toBe('NotFoundError');
    expect(alike(answers[0])).toBe(alike(answers[1]));
  });

  test('createProject is not for them', async () => {
    const query = `mutation { result: createProject(input: { name: "more" }) { __typename ... on ForbiddenError { needs } } }`;
    expect(await stack.data(query, {}, { token: stranger })).toEqual({
      result: { __typename: 'ForbiddenError', needs: 'ADMIN' },
    });
  });

  test("another project's version cannot be deployed in the own one", async () => {
    const query = `mutation ($input: CreateDeploymentInput!) { result: createDeployment(input: $input) { __typename ... on Error { code } } }`;
    for (const version of ['mine/model:1', ids.Version]) {
      const input = { project: 'theirs', name: 'borrowed', version };
      expect(await stack.data(query, { input }, { token: stranger })).toEqual({
        result: { __typename: 'NotFoundError', code: 'NOT_FOUND' },
      });
    }
  });

  test('nothing was changed', async () => {
    const query = `{ project(name: "mine") { models { edges { node { name versions { edges { node { number } } } } } } deployments { edges { node { name state logging { sampleRate } } } } tokens { name } } }`;
    expect(await stack.data(query, {}, admin)).toEqual({
      project: {
        models: { edges: [{ node: { name: 'model', versions: { edges: [{ node: { number: 1 } }] } } }] },
        deployments: { edges: [{ node: { name: 'served', state: 'LIVE', logging: { sampleRate: 1 } } }] },
        tokens: [{ name: 'reader' }],
      },
    });
  });
});

describe('subscriptions', () => {
  const asked = Object.keys(reads).filter((name) => name.startsWith('Subscription.'));

  /** The first thing that comes over a WebSocket. */
  async function first(name: string, pick: Pick, token: string): Promise<unknown> {
    const [query, variables] = reads[name]!(pick);
    const client = webSocketClient(stack.api.url, { token });
    try {
      return (await client.iterate({ query, variables }).next()).value;
    } catch (error) {
      return { errors: error };
    } finally {
      await client.dispose();
    }
  }

  test.each(asked)('%s over WebSocket', async (name) => {
    expect(await first(name, mine, ADMIN)).toMatchObject({ data: expect.anything() });
    const [real, missing] = [await first(name, mine, stranger), await first(name, nothing, stranger)];
    expect(real).toMatchObject({ errors: [{ extensions: { code: 'NOT_FOUND' } }] });
    expect((real as { data?: unknown }).data ?? null).toBeNull();
    expect(alike(real)).toBe(alike(missing));
  });

  test.each(asked)('%s over server-sent events', async (name) => {
    const [query, variables] = reads[name]!(mine);
    const response = await fetch(`${stack.api.url}/graphql`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'text/event-stream',
        authorization: `Bearer ${stranger}`,
      },
      body: JSON.stringify({ query, variables }),
    });
    const text = await response.text();
    expect(text).toContain('NOT_FOUND');
    expect(text).not.toMatch(/"data":\{/);
  });
});
