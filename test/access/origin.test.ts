/** Who may come from where: this machine without a token, pages of other origins, other addresses. */
import { once } from 'node:events';
import { beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { Stack, startStack } from '#test/helpers/stack.ts';
import { createProject, createToken } from '#test/helpers/work.ts';
import { http, type HttpAnswer } from '#test/replica/process.harness.ts';

const ALLOWED = 'https://app.example';

let stack: Stack;
let own: string;

beforeAll(async () => {
  stack = await startStack({ workers: 0, env: { ALLOWED_ORIGINS: `${ALLOWED}, https://other.example` } });
  own = new URL(stack.api.url).host;
});

/** Asks who we are, with headers that a browser sets by itself. */
async function ask(
  headers: Record<string, string>,
  method = 'POST',
): Promise<HttpAnswer & { json: { data?: unknown; errors?: { extensions: { code: string } }[] } }> {
  const body = method === 'POST' ? JSON.stringify({ query: '{ viewer { name kind } }' }) : '';
  const all = { 'content-type': 'application/json', ...headers };
  const answer = await http(stack.api.url, method, '/graphql', { headers: all, body });
  const text = answer.body.toString();
  return { ...answer, json: text === '' ? {} : (JSON.parse(text) as object) };
}

describe('on this machine', () => {
  test('whoever asks without a token is `local`, an ADMIN', async () => {
    const answer = await ask({});
    expect(answer.json).toEqual({ data: { viewer: { name: 'local', kind: 'USER' } } });
    await createProject(stack, 'made');
    const query = '{ viewer { memberships { role project { name } } } }';
    expect(await stack.data(query)).toEqual({
      viewer: { memberships: [{ role: 'ADMIN', project: { name: 'made' } }] },
    });
  });

  test('a token counts here, too, and a wrong one is no better than `local`', async () => {
    const { secret } = await createToken(stack, { project: 'made', name: 'reader', role: 'READER' });
    const { json } = await ask({ authorization: `Bearer ${secret}` });
    expect(json).toEqual({ data: { viewer: { name: 'reader', kind: 'TOKEN' } } });
    expect(await ask({ authorization: 'Bearer mdl_of-nobody-at-all' })).toMatchObject({ status: 401 });
  });

  test.each([
    'evil.example',
    'evil.example:4000',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '169.254.1.1',
  ])('a name of another host (%j), as after a rebound DNS name: 403', async (host) => {
    const answer = await ask({ host });
    expect(answer.status).toBe(403);
    expect(answer.json.errors![0]!.extensions.code).toBe('FOREIGN_HOST');
  });

  test.each(['localhost', 'localhost:1234', '127.0.0.1', '127.1.2.3:80', '[::1]:4000'])(
    'a name of this machine (%s)',
    async (host) => {
      expect((await ask({ host })).status).toBe(200);
    },
  );

  test('with a token every name of the server will do', async () => {
    const { secret } = await createToken(stack, { project: 'made', name: 'proxied', role: 'READER' });
    const answer = await ask({ host: 'models.example', authorization: `Bearer ${secret}` });
    expect(answer.json).toMatchObject({ data: { viewer: { name: 'proxied' } } });
  });
});

describe('pages', () => {
  test('of the server itself', async () => {
    const answer = await ask({ origin: stack.api.url });
    expect(answer.status).toBe(200);
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
  });

  test.each([
    ['another origin', { origin: 'https://evil.example' }],
    ['another port of this machine', { origin: 'http://127.0.0.1:1' }],
    ['no origin at all', { origin: 'null' }],
    ['a file of the same site', { 'sec-fetch-site': 'cross-site' }],
    ['what is nearly allowed', { origin: `${ALLOWED}.evil.example` }],
  ])('of %s: 403', async (_what, headers) => {
    for (const method of ['POST', 'OPTIONS', 'GET']) {
      const answer = await ask(headers, method);
      expect(answer.status, method).toBe(403);
      expect(answer.json.errors![0]!.extensions.code).toBe('FOREIGN_ORIGIN');
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    }
  });

  test('of an origin that is allowed', async () => {
    for (const origin of [ALLOWED, 'https://other.example']) {
      const answer = await ask({ origin });
      expect(answer).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': origin } });
      expect(answer.headers['vary']).toMatch(/origin/i);
    }
  });

  test('of an origin that is allowed, asking first', async () => {
    const answer = await ask({ origin: ALLOWED, 'access-control-request-method': 'POST' }, 'OPTIONS');
    expect(answer).toMatchObject({ status: 204, headers: { 'access-control-allow-origin': ALLOWED } });
    expect(answer.headers['access-control-allow-methods']).toContain('POST');
    expect(answer.headers['access-control-allow-headers']).toMatch(/authorization.*content-type/);
  });
});

describe('WebSockets', () => {
  /** The status of the answer to the upgrade; 101 is a socket. */
  async function upgrade(headers: Record<string, string>): Promise<number | undefined> {
    const socket = new WebSocket(`${stack.api.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', {
      headers,
    });
    const refused = once(socket, 'unexpected-response').then(
      ([, response]) => (response as { statusCode: number }).statusCode,
    );
    socket.on('error', () => undefined);
    const status = await Promise.race([refused, once(socket, 'open').then(() => 101)]);
    socket.terminate();
    return status;
  }

  test('of another origin are refused, of an allowed one are not', async () => {
    expect(await upgrade({ origin: 'https://evil.example' })).toBe(403);
    expect(await upgrade({ origin: ALLOWED })).toBe(101);
    expect(await upgrade({ origin: stack.api.url })).toBe(101);
    expect(await upgrade({})).toBe(101);
  });

  test('under another name are closed', async () => {
    const socket = new WebSocket(`ws://${own}/graphql`, 'graphql-transport-ws', {
      headers: { host: 'evil.example' },
    });
    await once(socket, 'open');
    socket.send('{"type":"connection_init"}');
    const [code] = (await once(socket, 'close')) as [number];
    expect(code).toBe(4403);
  });
});

describe('other addresses', () => {
  const start = async (options: ConstructorParameters<typeof Stack>[0]): Promise<Stack> => {
    const other = new Stack({ workers: 0, ...options });
    try {
      await other.start();
      return other;
    } catch (error) {
      await other.stop();
      throw error;
    }
  };

  test('0.0.0.0 without a token: it does not start, and says what to do', async () => {
    const message = /HOST is 0\.0\.0\.0[^]*ADMIN_TOKEN_FILE[^]*openssl rand[^]*127\.0\.0\.1/;
    await expect(start({ env: { HOST: '0.0.0.0' } })).rejects.toThrow(message);
  });

  test('a token that is too short: it does not start, and says what to do', async () => {
    const started = start({ adminToken: 'short', env: { HOST: '0.0.0.0' } });
    await expect(started).rejects.toThrow(
      /ADMIN_TOKEN_FILE: expected a token of at least 32 characters[^]*openssl rand/,
    );
  });

  test('a file that is not there: it does not start, and names it', async () => {
    const started = start({ env: { ADMIN_TOKEN_FILE: '/nowhere/token' } });
    await expect(started).rejects.toThrow(/\/nowhere\/token/);
  });

  test('0.0.0.0 with a token', async () => {
    const adminToken = 'a-token-that-is-long-enough-to-be-safe';
    const other = await start({ adminToken, env: { HOST: '0.0.0.0' } });
    expect(await other.gql('{ viewer { name } }')).toMatchObject({ status: 401 });
    expect(await other.data('{ viewer { name } }', {}, { token: adminToken })).toEqual({
      viewer: { name: 'admin' },
    });
    const named = await http(other.api.url, 'POST', '/graphql', {
      headers: {
        host: 'models.example',
        'content-type': 'application/json',
        authorization: `Bearer ${adminToken}`,
      },
      body: '{"query":"{ viewer { name } }"}',
    });
    expect(named.status).toBe(200);
    await other.stop();
  });

  test('a variable that is wrong: it does not start, and names it with what was expected', async () => {
    await expect(start({ env: { MAX_ROWS: 'many' } })).rejects.toThrow(/MAX_ROWS: .*expected number/i);
  });
});
