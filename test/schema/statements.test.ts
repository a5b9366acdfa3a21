/** How many statements a page costs, whatever its length: counted where they leave for PostgreSQL. */
import { graphql } from 'graphql';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { local } from '#src/access/access.ts';
import { openPlatform, type OpenPlatform } from '#src/app.ts';
import { loadConfig } from '#src/platform/config.ts';
import { createLogger } from '#src/platform/logger.ts';
import { createContext, type Services } from '#schema/context.ts';
import { schema } from '#schema/schema.ts';
import { fixtureFile } from '#test/helpers/models.ts';
import { predict } from '#test/helpers/predict.ts';
import { startStack } from '#test/helpers/stack.ts';
import {
  createDeployment,
  createModel,
  createProject,
  createVersion,
  deploymentIn,
  workDone,
} from '#test/helpers/work.ts';
import { loggedBy } from '#test/prediction/logged.ts';

const VERSIONS = 50;
let opened: OpenPlatform;

beforeAll(async () => {
  const stack = await startStack();
  await createProject(stack, 'p');
  const model = await createModel(stack, 'p', 'm');
  const first = await createVersion(stack, model, [fixtureFile('iris/v1.onnx')]);
  await workDone(stack, first.operation.id);
  const { version } = await stack.data<{ version: { digest: string } }>(
    '{ version(ref: "p/m:1") { digest } }',
  );
  const create = `mutation ($input: CreateVersionInput!) { createVersion(input: $input) { ... on Version { number } ... on Error { message } } }`;
  const input = {
    model,
    artifacts: [{ path: 'v1.onnx', digest: version.digest }],
    tags: [{ key: 'stage', value: 'dev' }],
    metrics: [{ name: 'accuracy', value: 0.9 }],
  };
  for (let number = 2; number <= VERSIONS; number++) {
    const { createVersion: made } = await stack.data<{ createVersion: unknown }>(create, { input });
    expect(made).toEqual({ number });
  }
  const alias = `mutation ($model: ID!) { setAlias(input: { model: $model, name: "champion", version: "p/m:7" }) { ... on Alias { name } ... on Error { message } } }`;
  expect(await stack.data(alias, { model })).toEqual({ setAlias: { name: 'champion' } });
  const deployment = await createDeployment(stack, { project: 'p', name: 'd', version: 'p/m:1' });
  await deploymentIn(stack, deployment, 'LIVE');
  const tensors = [{ name: 'input', data: Array.from({ length: 10 }, () => [5.1, 3.5, 1.4, 0.2]) }];
  let last = '';
  for (let request = 0; request < 5; request++)
    last = (await predict(stack, { deployment, tensors })).rows[0]!.predictionId;
  await loggedBy(stack, last);
  const { databaseUrl, redisUrl, redisPrefix, dataDir } = stack;
  const config = loadConfig({
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    REDIS_PREFIX: redisPrefix,
    DATA_DIR: dataDir,
  });
  opened = await openPlatform(config, createLogger('api', 'silent'));
});
afterAll(() => opened.close());

/** The data of a query, and the texts of the statements that it took. */
async function counted(source: string): Promise<{ data: unknown; statements: string[] }> {
  const statements: string[] = [];
  const prototype = pg.Client.prototype as unknown as { query: (...parameters: unknown[]) => unknown };
  const { query } = prototype;
  prototype.query = function count(this: unknown, ...parameters: unknown[]) {
    const [first] = parameters as [string | { text: string }];
    statements.push(typeof first === 'string' ? first : first.text);
    return query.apply(this, parameters);
  };
  try {
    const services = { platform: opened.platform } as Services;
    const contextValue = createContext(services, local, 'test');
    const { data, errors } = await graphql({ schema, source, contextValue });
    expect(errors).toBeUndefined();
    return { data, statements };
  } finally {
    prototype.query = query;
  }
}

const shown =
  'number author { name } aliases { name movedAt } tags { key value } metrics { name value } createdAt';

test.each([
  ['of a model', `model(name: "m") { versions(first: 50) { edges { node { ${shown} } } } }`, 3],
  ['of a search', `search(query: "name:m", first: 50) { edges { node { ${shown} } } }`, 3],
  [
    'of a lineage',
    `model(name: "m") { graph(first: 50) { edges { lane node { ${shown} parents { number } } } } }`,
    6,
  ],
])('a page %s', async (_name, fields, most) => {
  const { data, statements } = await counted(`{ project(name: "p") { ${fields} } }`);
  expect(JSON.stringify(data)).toContain('"number":50,"author"');
  expect(JSON.stringify(data)).toContain('"aliases":[{"name":"champion"');
  expect(statements.length, statements.join('\n')).toBeLessThanOrEqual(most);
});

test('a page of predictions with what is behind each', async () => {
  const why =
    'weightAtTheTime deployedAt actorWhoDeployed { name } versionAuthor { name } origin { __typename }';
  const fields = `row label probability inputs outputs version { number } deployment { name logging { dropped } } why { ${why} }`;
  const { data, statements } = await counted(
    `{ project(name: "p") { deployment(name: "d") { predictions(first: 50) { edges { node { ${fields} } } } } } }`,
  );
  expect(JSON.stringify(data).match(/"row":9/g)).toHaveLength(5);
  // Project, deployment, the requests of two days and of all, versions and deployments, payloads with their versions, drops, arms.
  expect(statements.length, statements.join('\n')).toBeLessThanOrEqual(10);
});
