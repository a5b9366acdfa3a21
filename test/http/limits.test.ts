/** What a request may ask for, and how what is too much or wrong is refused. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { webSocketClient, type Answer, type Variables } from '#test/helpers/client.ts';
import { RawForm } from '#test/helpers/raw-form.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';

const MAX_BODY_BYTES = 32 * 1024;
const MAX_FILES = 3;
const strict = { accept: 'application/graphql-response+json' };

let stack: Stack;
beforeAll(async () => {
  const env = { MAX_BODY_BYTES: String(MAX_BODY_BYTES), MAX_FILES: String(MAX_FILES) };
  stack = await startStack({ workers: 0, env });
  await stack.model('fraud');
});

type Data = Readonly<Record<string, unknown>>;

/** By the media type that tells errors by the HTTP status. */
const ask = (query: string, variables?: Variables): Promise<Answer<Data>> =>
  stack.gql<Data>(query, variables, { headers: strict });

const codeOf = ({ body }: Answer<unknown>): unknown => body.errors?.[0]?.extensions?.['code'];

describe('too much', () => {
  const models = (depth: number): string =>
    depth === 0 ? 'name' : `project { model(name: "fraud") { ${models(depth - 1)} } }`;
  const deep = `{ project(name: "test") { model(name: "fraud") { ${models(8)} } } }`;
  const aliases = `{ ${Array.from({ length: 65 }, (_, index) => `a${index}: __typename`).join(' ')} }`;
  const costly = `{ project(name: "test") { models(first: 100) { edges { node { id versions(first: 100) { edges { node { id digest } } } } } } } }`;
  const cases = [
    ['a document that is too deep', deep, 'TOO_DEEP', 'MAX_QUERY_DEPTH'],
    ['too many aliases', aliases, 'TOO_MANY_ALIASES', 'MAX_QUERY_ALIASES'],
    ['a document that costs too much', costly, 'TOO_COSTLY', 'MAX_QUERY_COST'],
    [
      'depth in fragments',
      `{ project(name: "test") { ...A } } fragment A on Project { model(name: "fraud") { ${models(8)} } }`,
      'TOO_DEEP',
      'MAX_QUERY_DEPTH',
    ],
  ] as const;

  test.each(cases)('%s: 400, with the limit and its variable', async (_what, query, code, variable) => {
    // Again and again: what was found out about a document is remembered.
    for (let time = 0; time < 6; time++) {
      const answer = await ask(query);
      expect(answer.status).toBe(400);
      expect(answer.body.data).toBeUndefined();
      expect(answer.body.errors).toMatchObject([
        { message: expect.stringContaining(variable), extensions: { code, variable } },
      ]);
      expect(answer.body.errors![0]!.extensions).not.toHaveProperty('http');
    }
    const lenient = await stack.gql(query);
    expect([lenient.status, codeOf(lenient)]).toEqual([200, code]);
  });

  test.each(cases)('%s, by GET', async (_what, query, code) => {
    const url = `${stack.api.url}/graphql?query=${encodeURIComponent(query)}`;
    const response = await fetch(url, { headers: strict });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ extensions: { code } }] });
  });

  test.each(cases)('%s, over WebSocket', async (_what, query, code) => {
    const client = webSocketClient(stack.api.url);
    const result = client.iterate({ query }).next();
    const [error] = await result.then(
      () => [],
      (errors: { extensions: object }[]) => errors,
    );
    expect(error!.extensions).toMatchObject({ code });
    expect(error!.extensions).not.toHaveProperty('http');
    await client.dispose();
  });

  test('a page size in a variable counts', async () => {
    const query = `query ($first: Int) { project(name: "test") { models(first: $first) { edges { node { id versions(first: $first) { edges { node { id digest } } } } } } } }`;
    for (let time = 0; time < 6; time++) {
      expect((await ask(query, { first: 5 })).status).toBe(200);
      expect(await ask(query, { first: 100 })).toMatchObject({
        status: 400,
        body: { errors: [{ extensions: { code: 'TOO_COSTLY' } }] },
      });
    }
  });

  test('as many nodes as ids: they cost what they are', async () => {
    const id = await stack.model('fraud');
    const query = 'query ($ids: [ID!]!) { nodes(ids: $ids) { id __typename } }';
    const all = (await stack.data<{ nodes: unknown[] }>(query, { ids: Array<string>(20).fill(id) })).nodes;
    expect(all).toEqual(all.map(() => ({ id, __typename: 'Model' })));
    expect(all).toHaveLength(20);
    const little = Array<string>(400).fill('a');
    expect(
      codeOf(
        await ask(
          `query ($ids: [ID!]!) { ${Array.from({ length: 40 }, (_, index) => `n${index}: nodes(ids: $ids) { id __typename }`).join(' ')} }`,
          { ids: little },
        ),
      ),
    ).toBe('TOO_COSTLY');
  });

  test('a body that is too large: 413', async () => {
    const answer = await ask('query ($x: String!) { project(name: $x) { id } }', {
      x: 'x'.repeat(MAX_BODY_BYTES),
    });
    expect(answer).toMatchObject({
      status: 413,
      body: {
        errors: [
          { extensions: { code: 'BODY_TOO_LARGE' }, message: expect.stringContaining('MAX_BODY_BYTES') },
        ],
      },
    });
  });

  test('a body of megabytes is refused while it is sent, and the answer arrives', async () => {
    const answer = await ask('query ($x: String!) { project(name: $x) { id } }', {
      x: 'x'.repeat(8 * 1024 * 1024),
    });
    expect(answer.status).toBe(413);
  });

  test('a form whose operations are too large: 400', async () => {
    const form = new RawForm(stack.api.url)
      .field('operations', { query: 'x'.repeat(MAX_BODY_BYTES + 1) })
      .field('map', {});
    const { status, body } = await form.end().answer;
    expect({ status, body }).toMatchObject({
      status: 400,
      body: {
        errors: [{ extensions: { code: 'BAD_FORM' }, message: expect.stringContaining('MAX_BODY_BYTES') }],
      },
    });
  });

  test('more files than are allowed', async () => {
    const query =
      'mutation ($input: CreateVersionInput!) { result: createVersion(input: $input) { __typename ... on ValidationError { issues { path found } } } }';
    const input = { model: await stack.model('fraud'), files: Array<null>(MAX_FILES + 1).fill(null) };
    const files = Object.fromEntries(
      input.files.map((_, index) => [
        `variables.input.files.${index}`,
        { name: `${index}.bin`, content: 'x' },
      ]),
    );
    const { body } = await stack.upload({ query, variables: { input } }, files);
    expect(body.data).toEqual({
      result: { __typename: 'ValidationError', issues: [{ path: ['files'], found: '4' }] },
    });
  });
});

describe('wrong', () => {
  const page = (connection: string): string =>
    `{ project(name: "test") { ${connection} { edges { cursor } pageInfo { endCursor } } } }`;

  test.each([
    'garbage',
    '',
    'eyJ',
    Buffer.from('[]').toString('base64url'),
    Buffer.from('{"a":1}').toString('base64url'),
  ])('the cursor %j', async (cursor) => {
    for (const connection of ['models', 'deployments']) {
      const { body, status } = await ask(page(`${connection}(after: ${JSON.stringify(cursor)})`));
      expect(status).toBe(200);
      expect(body.errors).toMatchObject([
        { path: ['project', connection], extensions: { code: 'VALIDATION', issues: [{ path: ['after'] }] } },
      ]);
    }
  });

  test.each([0, -1, 101])('a page of %d', async (first) => {
    const { body } = await ask(page(`models(first: ${first})`));
    expect(body.errors).toMatchObject([
      {
        extensions: {
          code: 'VALIDATION',
          issues: [{ path: ['first'], expected: expect.stringContaining('100') }],
        },
      },
    ]);
  });

  const nobodys = (type: string): string =>
    Buffer.from(`${type}:00000000-0000-7000-8000-000000000000`).toString('base64');

  test('ids of nothing: null, in their places', async () => {
    const known = await stack.model('fraud');
    const ids = [
      'garbage',
      '',
      nobodys('Model'),
      nobodys('Replica'),
      nobodys('ApiToken'),
      nobodys('Nope'),
      known,
      Buffer.from('Model:7').toString('base64'),
    ];
    const query = 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }';
    expect(await stack.data(query, { ids })).toEqual({
      nodes: ids.map((id) => (id === known ? { id } : null)),
    });
    for (const id of ids.filter((each) => each !== known)) {
      expect(await stack.data('query ($id: ID!) { node(id: $id) { id } }', { id })).toEqual({ node: null });
    }
  });

  test('an id of another type, and one of nothing, where a certain type is needed', async () => {
    const query =
      'mutation ($id: ID!) { result: cancelOperation(input: { operation: $id }) { __typename ... on ValidationError { issues { path expected found } } } }';
    expect(await stack.data(query, { id: nobodys('Operation') })).toEqual({
      result: { __typename: 'NotFoundError' },
    });
    const issue = { path: ['operation'], expected: 'the id of an Operation' };
    expect(await stack.data(query, { id: nobodys('Model') })).toEqual({
      result: { __typename: 'ValidationError', issues: [{ ...issue, found: 'the id of a Model' }] },
    });
    expect(await stack.data(query, { id: 'garbage' })).toEqual({
      result: { __typename: 'ValidationError', issues: [{ ...issue, found: '"garbage"' }] },
    });
  });

  test.each([
    ['no document', '', 400],
    ['a document that does not parse', '{ projects', 400],
    ['a field that is not there', '{ nope }', 400],
    ['an operation of several without a name', 'query A { __typename } query B { __typename }', 400],
    ['a variable that is missing', 'query ($name: String!) { project(name: $name) { id } }', 400],
  ])('%s: %#', async (_what, query, status) => {
    for (let time = 0; time < 6; time++) {
      const answer = await ask(query);
      expect(answer.status).toBe(status);
      expect(answer.body.data).toBeUndefined();
      expect(JSON.stringify(answer.body)).not.toMatch(/node_modules|\.[jt]s:\d|stacktrace/);
    }
  });

  test.each(['not json', '[]', '7', 'null', '{"query":7}', '[{"query":"{ __typename }"}]'])(
    'the body %s: 400',
    async (body) => {
      const headers = { 'content-type': 'application/json', ...strict };
      const response = await fetch(`${stack.api.url}/graphql`, { method: 'POST', headers, body });
      expect(response.status).toBe(400);
      expect(await response.text()).not.toMatch(/node_modules|\.[jt]s:\d/);
    },
  );

  test('another content type, another method, another path', async () => {
    const url = `${stack.api.url}/graphql`;
    const body = '{ __typename }';
    expect(
      (await fetch(url, { method: 'POST', headers: { 'content-type': 'text/plain' }, body })).status,
    ).toBe(415);
    expect((await fetch(url, { method: 'DELETE', headers: strict })).status).toBe(405);
    expect((await fetch(`${stack.api.url}/nope`)).status).toBe(404);
    const mutation = `${url}?query=${encodeURIComponent('mutation { createProject(input: {name: "x"}) { __typename } }')}`;
    expect((await fetch(mutation, { headers: strict })).status).toBe(405);
  });
});

describe('unexpected', () => {
  test('an error is masked under an id that is in the log', async () => {
    const database = stack.openDatabase();
    await sql`DROP TABLE api_token`.execute(database.db);
    await database.close();
    const queries = [
      '{ project(name: "test") { tokens { name } } }',
      'mutation { createToken(input: { project: "test", name: "x", role: READER }) { __typename } }',
    ];
    for (const query of queries) {
      const answer = await ask(query);
      expect(answer.status).toBe(200);
      const [error] = answer.body.errors!;
      const errorId = error!.extensions!['errorId'] as string;
      expect(error).toMatchObject({
        extensions: { code: 'INTERNAL' },
        message: `Unexpected error. It is in the server's log under ${errorId}.`,
      });
      expect(JSON.stringify(answer.body)).not.toMatch(/api_token|relation|select|insert/);
      const line = stack.api
        .written()
        .split('\n')
        .find((each) => each.includes(errorId))!;
      expect(JSON.parse(line)).toMatchObject({
        level: 50,
        err: { message: expect.stringContaining('api_token') },
      });
    }
  });

  test('a token cannot be checked then: the request fails, nobody is let in', async () => {
    const { status, body } = await stack.gql('{ viewer { name } }', {}, { token: 'mdl_of-nobody-at-all' });
    expect({ status, body }).toMatchObject({
      status: 500,
      body: { errors: [{ extensions: { code: 'INTERNAL' } }] },
    });
    expect(JSON.stringify(body)).not.toMatch(/api_token|relation/);
  });
});
