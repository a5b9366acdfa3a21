/** Requests that arrive together: equal queries of one viewer share an execution, nothing else does. */
import { beforeAll, expect, test } from 'vitest';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { createProject, createToken } from '#test/helpers/work.ts';

const admin = { token: 'the-first-admin-has-a-token-of-sufficient-length' };
let stack: Stack;
const tokens: Record<string, string> = {};

beforeAll(async () => {
  stack = await startStack({ adminToken: admin.token });
  for (const project of ['one', 'two']) {
    await createProject(stack, project, admin);
    const input = { project, name: 'reader', role: 'READER' };
    tokens[project] = (await createToken(stack, input, admin)).secret;
  }
});

test('the same query of others is answered for each of them', async () => {
  const ask = async (project: string): Promise<void> => {
    const { projects } = await stack.data<{ projects: unknown }>(
      '{ projects { name } }',
      {},
      { token: tokens[project] },
    );
    expect(projects).toEqual([{ name: project }]);
  };
  await Promise.all(Array.from({ length: 60 }, (_, index) => ask(index % 3 === 0 ? 'one' : 'two')));
});

test('an equal mutation is done as often as it is sent', async () => {
  const create = 'mutation { createProject(input: { name: "three" }) { __typename } }';
  const answers = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const { createProject: made } = await stack.data<{ createProject: { __typename: string } }>(
        create,
        {},
        admin,
      );
      return made.__typename;
    }),
  );
  expect(answers.toSorted()).toEqual([...Array<string>(5).fill('ConflictError'), 'Project']);
});

test('a refusal is told to each', async () => {
  const query = '{ version(ref: "one/none:1") { id } }';
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => stack.gql<{ version: null }>(query, {}, { token: tokens['one'] })),
  );
  for (const { body } of answers) expect(body.errors?.[0]?.extensions?.['code']).toBe('NOT_FOUND');
});
