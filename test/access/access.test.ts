/** Tokens and roles, on a server where access is configured. */
import { beforeAll, describe, expect, test } from 'vitest';
import { roles } from '#src/platform/errors.ts';
import { webSocketClient, type Variables } from '#test/helpers/client.ts';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { sendPredict } from '#test/helpers/predict.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import {
  createModel,
  createProject,
  createToken,
  createVersion,
  deploymentIn,
  createDeployment,
  sendVersion,
  workDone,
} from '#test/helpers/work.ts';

const ADMIN = 'the-first-admin-has-a-token-of-sufficient-length';
const admin = { token: ADMIN };
/** No time or number that is logged holds it. */
const INPUT = 123_456.789;

type Role = (typeof roles)[number];
type Refused = { __typename: string; code?: string; message?: string; needs?: string; hint?: string };

let stack: Stack;
let model: string;
let deployment: string;
let ingest: string;
let provision: string;
const secrets = {} as Record<Role, string>;

beforeAll(async () => {
  stack = await startStack({ apis: 2, adminToken: ADMIN, env: { LOG_LEVEL: 'trace' } });
  await createProject(stack, 'mine', admin);
  model = await createModel(stack, 'mine', 'model', admin);
  const version = await createVersion(
    stack,
    model,
    [fixtureFile('breast-cancer/v1.onnx')],
    breastCancerSignature,
    admin,
  );
  ingest = version.operation.id;
  await workDone(stack, ingest, admin);
  deployment = await createDeployment(
    stack,
    { project: 'mine', name: 'served', version: 'mine/model:1' },
    admin,
  );
  await deploymentIn(stack, deployment, ['LIVE'], admin);
  const query = `query { project(name: "mine") { deployment(name: "served") { operation { id } } } }`;
  const { project } = await stack.data<{ project: { deployment: { operation: { id: string } } } }>(
    query,
    {},
    admin,
  );
  provision = project.deployment.operation.id;
  for (const role of roles) {
    secrets[role] = (await createToken(stack, { project: 'mine', name: role, role }, admin)).secret;
  }
});

const viewerOf = async (
  token?: string,
  api = stack.api,
): Promise<{ status: number; name: string | undefined }> => {
  const { status, body } = await stack.gql<{ viewer: { name: string } }>(
    '{ viewer { name } }',
    {},
    { token, api },
  );
  return { status, name: body.data?.viewer.name };
};

/** Asks until the answer is as wanted: what a server caches, it forgets by itself. */
async function untilStatus(status: number, token: string, api = stack.api): Promise<void> {
  while ((await viewerOf(token, api)).status !== status);
}

describe('credentials', () => {
  test('the first admin', async () => {
    expect(await viewerOf(ADMIN)).toEqual({ status: 200, name: 'admin' });
  });

  test.each([
    ['none', {}],
    ['an empty header', { authorization: '' }],
    ['another scheme', { authorization: `Basic ${ADMIN}` }],
    ['no secret', { authorization: 'Bearer' }],
    ['a wrong secret', { authorization: `Bearer ${ADMIN}x` }],
    ['a secret of nobody', { authorization: 'Bearer mdl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }],
  ])('%s: 401, and how to do it', async (_what, headers) => {
    const answer = await stack.gql('{ viewer { name } }', {}, { headers });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    expect(answer.body).toEqual({
      errors: [
        {
          message: expect.stringContaining('Authorization: Bearer'),
          extensions: { code: 'UNAUTHENTICATED' },
        },
      ],
    });
  });

  test('a WebSocket without a token that works', async () => {
    const closed = Promise.withResolvers<unknown>();
    const client = webSocketClient(
      stack.api.url,
      {},
      { lazy: false, onNonLazyError: () => undefined, on: { closed: closed.resolve } },
    );
    expect(await closed.promise).toMatchObject({ code: 4403 });
    await client.dispose();
  });

  test('a token tells who it is and what it may', async () => {
    const query = `{ viewer { name kind memberships { role project { name } } } projects { name } }`;
    expect(await stack.data(query, {}, { token: secrets.AUTHOR })).toEqual({
      viewer: { name: 'AUTHOR', kind: 'TOKEN', memberships: [{ role: 'AUTHOR', project: { name: 'mine' } }] },
      projects: [{ name: 'mine' }],
    });
  });
});

describe('roles', () => {
  const create = { project: 'mine', name: 'not a name!' };
  /** What fails, once it is allowed, without having done anything; and the role that it needs. */
  const mutations: [string, Role, () => Variables][] = [
    ['createModel(input: $input: CreateModelInput!)', 'AUTHOR', () => create],
    [
      'createDeployment(input: $input: CreateDeploymentInput!)',
      'OPERATOR',
      () => ({ ...create, version: 'mine/model:1' }),
    ],
    [
      'updateDeployment(input: $input: UpdateDeploymentInput!)',
      'OPERATOR',
      () => ({ deployment, logging: { sampleRate: 2 } }),
    ],
    ['createToken(input: $input: CreateTokenInput!)', 'ADMIN', () => ({ ...create, role: 'READER' })],
    ['cancelOperation(input: $input: CancelOperationInput!)', 'AUTHOR', () => ({ operation: ingest })],
    ['cancelOperation(input: $input: CancelOperationInput!)', 'OPERATOR', () => ({ operation: provision })],
  ];

  const run = async (signature: string, input: Variables, token: string): Promise<Refused> => {
    const [, field, type] = /^(\w+)\(input: \$input: (\w+!)\)$/.exec(signature) ?? [];
    const query = `mutation ($input: ${type}) { result: ${field}(input: $input) { __typename ... on Error { code message hint } ... on ForbiddenError { needs } } }`;
    return (await stack.data<{ result: Refused }>(query, { input }, { token })).result;
  };

  const forbidden = (role: Role, needs: Role): object => ({
    __typename: 'ForbiddenError',
    code: 'FORBIDDEN',
    needs,
    message: `This needs the role ${needs}; ${role} is ${role}.`,
    hint: expect.stringContaining(needs),
  });

  test.each(mutations)('%s needs %s', async (signature, needs, input) => {
    for (const role of roles) {
      const result = await run(signature, input(), secrets[role]);
      const isAllowed = roles.indexOf(role) >= roles.indexOf(needs);
      expect(result, role).toEqual(
        isAllowed
          ? expect.objectContaining({ __typename: expect.stringMatching(/^(ValidationError|Operation)$/) })
          : forbidden(role, needs),
      );
    }
  });

  test('createVersion needs AUTHOR', async () => {
    for (const role of roles) {
      const files = [{ name: '../refused.onnx', content: 'x' }];
      const { body } = await sendVersion(stack, model, files, undefined, { token: secrets[role] });
      expect(body.data?.result, role).toMatchObject(
        role === 'READER' ? forbidden(role, 'AUTHOR') : { __typename: 'ValidationError' },
      );
    }
  });

  test('createProject needs an admin of all projects', async () => {
    const result = await run(
      'createProject(input: $input: CreateProjectInput!)',
      { name: 'more' },
      secrets.ADMIN,
    );
    expect(result).toMatchObject({ __typename: 'ForbiddenError', needs: 'ADMIN' });
  });

  test('predict needs READER', async () => {
    const rows = [Object.fromEntries(breastCancerSignature.columns.map(({ name }) => [name, INPUT]))];
    const { body } = await sendPredict(stack, { deployment: 'mine/served', rows }, { token: secrets.READER });
    expect(body.data?.result).toMatchObject({ __typename: 'PredictPayload' });
  });

  test('the list of tokens needs ADMIN; no secret is in it', async () => {
    const query = `{ project(name: "mine") { name tokens { name role } } }`;
    for (const role of roles) {
      const { body } = await stack.gql<{ project: { tokens: { name: string }[] } | null }>(
        query,
        {},
        { token: secrets[role] },
      );
      if (role === 'ADMIN') {
        expect(body.errors).toBeUndefined();
        expect(body.data?.project?.tokens.map(({ name }) => name)).toEqual([...roles].toSorted());
      } else {
        expect(body.data?.project ?? null).toBeNull();
        expect(body.errors).toMatchObject([
          { path: ['project', 'tokens'], extensions: { code: 'FORBIDDEN', needs: 'ADMIN' } },
        ]);
      }
    }
  });

  test('rollouts need OPERATOR, to begin and to steer', async () => {
    const begin = { deployment, version: 'mine/model:1' };
    const start = 'startRollout(input: $input: StartRolloutInput!)';
    for (const role of ['READER', 'AUTHOR'] as const)
      expect(await run(start, begin, secrets[role])).toEqual(forbidden(role, 'OPERATOR'));
    expect((await run(start, begin, secrets.OPERATOR)).__typename).toBe('Rollout');
    const steer = ['pause', 'resume', 'promote', 'abort'].map((verb): [string, Variables] => [
      `${verb}Rollout(input: $input: ${verb[0]!.toUpperCase()}${verb.slice(1)}RolloutInput!)`,
      { rollout: 'mine/served' },
    ]);
    const back: [string, Variables] = ['rollBack(input: $input: RollBackInput!)', { deployment }];
    for (const [signature, input] of [...steer, back]) {
      for (const role of ['READER', 'AUTHOR'] as const)
        expect(await run(signature, input, secrets[role]), signature).toEqual(forbidden(role, 'OPERATOR'));
    }
    const [signature, input] = steer.at(-1)!;
    expect((await run(signature, input, secrets.OPERATOR)).__typename).toBe('Rollout');
  });

  test('undeploy needs OPERATOR', async () => {
    const input = { deployment };
    for (const role of ['READER', 'AUTHOR'] as const) {
      const result = await run('undeploy(input: $input: UndeployInput!)', input, secrets[role]);
      expect(result).toEqual(forbidden(role, 'OPERATOR'));
    }
  });
});

describe('tokens', () => {
  const revoke = `mutation ($token: ID!) { result: revokeToken(input: { token: $token }) { __typename ... on ApiToken { id } ... on Error { code } } }`;

  test('a name in use, an expiry in the past', async () => {
    const mutation = `mutation ($input: CreateTokenInput!) { result: createToken(input: $input) { __typename ... on Error { code } ... on ValidationError { issues { path expected } } } }`;
    const input = { project: 'mine', name: 'READER', role: 'READER' };
    const { result } = await stack.data<{ result: Refused }>(mutation, { input }, admin);
    expect(result).toEqual({ __typename: 'ConflictError', code: 'CONFLICT' });
    const past = { ...input, name: 'past', expiresAt: '2020-01-01T00:00:00Z' };
    const refused = await stack.data<{ result: Refused }>(mutation, { input: past }, admin);
    expect(refused.result).toMatchObject({
      code: 'VALIDATION',
      issues: [{ path: ['expiresAt'], expected: 'a time in the future' }],
    });
  });

  test('an expired token stops working', async () => {
    const expiresAt = new Date(Date.now() + 1_500).toISOString();
    const { secret } = await createToken(
      stack,
      { project: 'mine', name: 'short', role: 'READER', expiresAt },
      admin,
    );
    expect(await viewerOf(secret)).toEqual({ status: 200, name: 'short' });
    await untilStatus(401, secret);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expiresAt));
  });

  test('a revoked token stops working on every api, and its WebSockets are closed', async () => {
    const { secret, token } = await createToken(
      stack,
      { project: 'mine', name: 'doomed', role: 'READER' },
      admin,
    );
    const sockets = stack.apis.map(async (api) => {
      const closed = Promise.withResolvers<unknown>();
      const client = webSocketClient(api.url, { token: secret }, { on: { closed: closed.resolve } });
      const frames = client.iterate({
        query: `subscription { deploymentMetrics(deployment: "mine/served") { at } }`,
      });
      expect((await frames.next()).value).toMatchObject({
        data: { deploymentMetrics: { at: expect.any(String) } },
      });
      return closed;
    });
    const watching = await Promise.all(sockets);
    for (const api of stack.apis)
      expect(await viewerOf(secret, api)).toEqual({ status: 200, name: 'doomed' });
    const { result } = await stack.data<{ result: Refused }>(revoke, { token: token.id }, admin);
    expect(result.__typename).toBe('ApiToken');
    for (const closed of watching) expect(await closed.promise).toMatchObject({ code: 4403 });
    for (const api of stack.apis) await untilStatus(401, secret, api);
    expect(await stack.data(revoke, { token: token.id }, admin)).toEqual({
      result: { __typename: 'ApiToken', id: token.id },
    });
  });

  test('an admin of a project revokes its tokens, an operator does not', async () => {
    const { token } = await createToken(
      stack,
      { project: 'mine', name: 'other', role: 'READER' },
      { token: secrets.ADMIN },
    );
    const refused = await stack.data<{ result: Refused }>(
      revoke,
      { token: token.id },
      { token: secrets.OPERATOR },
    );
    expect(refused.result.code).toBe('FORBIDDEN');
    const done = await stack.data<{ result: Refused }>(revoke, { token: token.id }, { token: secrets.ADMIN });
    expect(done.result.__typename).toBe('ApiToken');
  });
});

test('what was logged meanwhile holds no secret and no input', () => {
  const logs = [stack.api, stack.worker].map((program) => program.written()).join('');
  expect(logs.length).toBeGreaterThan(1000);
  for (const secret of [ADMIN, ...Object.values(secrets), 'mdl_', String(INPUT)])
    expect(logs).not.toContain(secret);
});
