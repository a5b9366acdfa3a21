/** The tus protocol at its edges: what clients, and what stands between, say in their own ways. */
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Database } from '#src/platform/database.ts';
import { done } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { sendByTus } from '#test/helpers/tus.ts';

const MiB = 1024 ** 2;
let stack: Stack;
let database: Database;

beforeAll(async () => {
  stack = await startStack({ env: { UPLOAD_EXPIRY_SECONDS: '3600' } });
  database = stack.openDatabase();
  await stack.project();
});
afterAll(() => database.close());

interface Made {
  readonly id: string;
  readonly url: string;
}
const create = (bytes: number): Promise<Made> =>
  done<Made>(stack, 'createUpload', { project: PROJECT, path: 'a.bin', bytes }, 'id url');
const inner = ({ url }: Made): string => url.split('/').at(-1) as string;
const uploads = async (): Promise<number> =>
  (await sql<{ n: number }>`select count(*)::integer as n from upload`.execute(database.db)).rows[0]?.n ?? 0;

interface Sent {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** One request, as raw as it goes. */
function send(
  method: string,
  path: string,
  headers: Record<string, string | number>,
  body?: Buffer | string,
): Promise<Sent> {
  const { promise, resolve, reject } = Promise.withResolvers<Sent>();
  let isAnswered = false;
  const outgoing = request(new URL(path, stack.api.url), { method, agent: false, headers }, (answer) => {
    isAnswered = true;
    text(answer).then(() => resolve({ status: answer.statusCode ?? 0, headers: answer.headers }), reject);
  });
  // What is still on its way when the answer is there may meet a connection that is closed.
  outgoing.on('error', (error) => {
    if (!isAnswered) reject(error);
  });
  outgoing.end(body);
  return promise;
}
const tus = { 'tus-resumable': '1.0.0' };
const octets = { ...tus, 'content-type': 'application/offset+octet-stream' };
const base64 = (value: string): string => Buffer.from(value).toString('base64');
const project = `project ${base64(PROJECT)}`;
const post = (headers: Record<string, string | number>, body?: string) =>
  send(
    'POST',
    '/uploads',
    { ...tus, 'upload-metadata': `${project},path ${base64('a.bin')}`, ...headers },
    body,
  );
const patch = (url: string, offset: number, body: Buffer | string, more: Record<string, string> = {}) =>
  send('PATCH', url, { ...octets, 'upload-offset': offset, ...more }, body);

test('a length that is none is refused, and nothing is left', async () => {
  const before = await uploads();
  for (const length of ['-1', '+1', ' ', '0x10', '1e3', '1.5', '9223372036854775808', '007', 'NaN', '']) {
    const { status } = await post({ 'upload-length': length });
    expect([length, status >= 400 && status < 500]).toEqual([length, true]);
  }
  expect(await uploads()).toBe(before);
});

test.each([
  ['project %%%', 400],
  [`${project},${project}`, 400],
  [project, 422],
  [`${project},path`, 422],
  [`${project},path ${base64('../up')}`, 422],
  [`${project},path ${base64('a\0b')}`, 422],
  [`${project},path ${base64('x'.repeat(5000))}`, 422],
  [`${project},path ${Buffer.from([0xff, 0xfe]).toString('base64')}`, 201],
  [`${project},path ${base64('a')},digest ${base64('ABC')}`, 422],
  [`__proto__ ${base64('x')},${project},path ${base64('a')}`, 400],
])('metadata %#', async (given, status) => {
  expect((await post({ 'upload-length': 5, 'upload-metadata': given })).status).toBe(status);
});

test('lengths that are deferred, and uploads of parts, are refused', async () => {
  for (const headers of [{ 'upload-defer-length': 1 }, { 'upload-length': 5, 'upload-concat': 'partial' }])
    expect((await post(headers)).status).toBe(501);
});

test('a method that something between does not let through is named in a header', async () => {
  const { url } = await create(5);
  const headers = { ...octets, 'upload-offset': 0, 'x-http-method-override': 'PATCH' };
  expect(await send('POST', url, headers, 'hello')).toMatchObject({ status: 204 });
  expect(await send('POST', url, { ...tus, 'x-http-method-override': 'DELETE' })).toMatchObject({
    status: 204,
  });
  expect((await send('HEAD', url, tus)).status).toBe(404);
});

test('behind two proxies it works, too', async () => {
  expect((await post({ 'upload-length': 5, 'x-forwarded-proto': 'https, http' })).status).toBe(201);
});

test('a PATCH of no bytes changes nothing, at any offset', async () => {
  const { url } = await create(5);
  for (const [offset, body] of [
    [0, ''],
    [0, 'hello'],
    [5, ''],
  ] as const)
    // prettier-ignore
    expect([offset, (await patch(url, offset, body)).status]).toEqual([offset, 204]);
  expect((await patch(url, 5, 'more')).status).toBe(413);
});

test('a file whose digest is held goes through a client that does not know, and does not try again', async () => {
  const content = randomBytes(1000);
  const { id } = await stack.createModelVersion('held', [{ name: 'a.bin', content }]);
  const query = 'query ($ref: VersionRef!) { version(ref: $ref) { digest } }';
  const { version } = await stack.data<{ version: { digest: string } }>(query, { ref: id });
  const metadata = { project: PROJECT, path: 'a.bin', digest: version.digest };
  expect((await sendByTus(stack.api.url, { content, metadata })).state).toBe('whole');
});

test('a large body that is refused is answered, not cut off', async () => {
  const { url } = await create(8 * MiB);
  const body = randomBytes(8 * MiB);
  expect((await patch(url, 5, body)).status).toBe(409);
  expect((await patch(url, 0, Buffer.concat([body, body]))).status).toBe(413);
});

test('a POST that brings bytes makes an upload that its sender learns of, or none', async () => {
  const before = await uploads();
  const type = { 'content-type': octets['content-type'] };
  expect((await post({ ...type, 'upload-length': 5 }, 'ten bytes.')).status).toBe(413);
  expect(await uploads()).toBe(before);
  const { status, headers } = await post({ ...type, 'upload-length': 10 }, 'ten bytes.');
  expect([status, headers['upload-offset']]).toEqual([201, '10']);
});

test('one that was killed between its last two steps is still known to be whole', async () => {
  const made = await create(5);
  expect((await patch(made.url, 0, 'hello')).status).toBe(204);
  // Its bytes have their name in the store, its row does not say so yet: `finishUpload`, before its last commit.
  await sql`update upload set stored_at = null where id = ${inner(made)}::uuid`.execute(database.db);
  expect((await send('HEAD', made.url, tus)).headers).toMatchObject({ 'upload-offset': '5' });
  const query = 'query ($id: ID!) { node(id: $id) { ... on ResumableUpload { receivedBytes digest } } }';
  expect(await stack.data(query, { id: made.id })).toEqual({ node: { receivedBytes: 5, digest: null } });
  expect((await patch(made.url, 5, '')).status).toBe(204);
  expect(await stack.data(query, { id: made.id })).toMatchObject({ node: { digest: expect.any(String) } });
});

test('Upload-Expires tells when it is forgotten', async () => {
  const made = await create(10);
  await sql`update upload set expires_at = now() + interval '100 seconds' where id = ${inner(made)}::uuid`.execute(
    database.db,
  );
  const { headers } = await patch(made.url, 0, 'hello');
  const { rows } = await sql<{ at: Date }>`
    select expires_at as at from upload where id = ${inner(made)}::uuid`.execute(database.db);
  const told = new Date(String(headers['upload-expires'])).getTime();
  expect(Math.abs(told - (rows[0]?.at.getTime() ?? 0))).toBeLessThan(2000);
});

test('nothing of this is unexpected', () => {
  expect(stack.api.written()).not.toContain('"level":50');
});
