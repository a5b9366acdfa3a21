/** An upload while PostgreSQL goes away: whoever sends is told, nothing that has arrived is lost, and it goes on. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Installation } from '#test/helpers/installation.ts';
import { done } from '#test/helpers/registry.ts';
import { sendByTus } from '#test/helpers/tus.ts';
import { createProject } from '#test/helpers/work.ts';
import { filesIn, filesOnce } from '#test/helpers/folder.ts';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { OwnService } from './own-services.ts';

const MiB = 1024 ** 2;
const postgres = new OwnService('postgres');
let installation: Installation;

beforeAll(async () => {
  await postgres.start();
  installation = new Installation({ workers: 0, env: { DATABASE_URL: postgres.url } });
  await installation.start();
  await createProject(installation, 'p');
});

afterAll(async () => {
  await installation?.stop();
  await postgres.remove();
});

function patch(url: string, offset: number, length: number): ClientRequest {
  return request(new URL(url, installation.api.url), {
    method: 'PATCH',
    headers: {
      'tus-resumable': '1.0.0',
      'upload-offset': String(offset),
      'content-type': 'application/offset+octet-stream',
      'content-length': length,
    },
  });
}

/** Resolves once so many bytes of an upload lie in the store. */
async function staged(id: string, bytes: number): Promise<void> {
  const { artifactStore: store } = installation;
  await filesOnce(store, () =>
    filesIn(store).some((name) => name.includes(id) && statSync(join(store, name)).size >= bytes),
  );
}

test('in the middle: the request ends, and the next one goes on', async () => {
  const content = randomBytes(16 * MiB);
  const made = await done<{ id: string; url: string }>(
    installation,
    'createUpload',
    { project: 'p', path: 'x', bytes: content.length },
    'id url',
  );
  const id = made.url.split('/').at(-1) as string;
  const sending = patch(made.url, 0, content.length);
  const answered = once(sending, 'response') as Promise<[IncomingMessage]>;
  answered.catch(() => undefined);
  sending.on('error', () => undefined);
  sending.write(content.subarray(0, 8 * MiB));
  await staged(id, 7 * MiB);
  await postgres.end('SIGQUIT');
  // Without its lock nobody writes: whatever of it still comes is left.
  const [{ statusCode }] = await answered;
  expect(statusCode).toBeGreaterThanOrEqual(400);
  sending.destroy();
  const away = patch(made.url, 0, 1);
  away.end('x');
  const [refusal] = (await once(away, 'response')) as [IncomingMessage];
  expect(refusal.statusCode).toBe(503);
  const tus = { 'tus-resumable': '1.0.0' };
  const base64 = (value: string): string => Buffer.from(value).toString('base64');
  const metadata = { 'upload-length': '5', 'upload-metadata': `project ${base64('p')},path ${base64('y')}` };
  for (const [method, path, headers] of [
    ['HEAD', made.url, tus],
    ['POST', '/uploads', { ...tus, ...metadata }],
    ['GET', '/versions/p/m:1/files/x', {}],
  ] as const) {
    const answer = await fetch(new URL(path, installation.api.url), { method, headers });
    expect([method, answer.status]).toEqual([method, 503]);
  }
  await postgres.start();
  const retryDelays = Array.from({ length: 50 }, () => 100);
  const sent = await sendByTus(installation.api.url, { content, url: made.url, retryDelays });
  expect(sent.state).toBe('whole');
  const query = 'query ($id: ID!) { node(id: $id) { ... on ResumableUpload { digest } } }';
  expect(await installation.data(query, { id: made.id })).toEqual({
    node: { digest: createHash('sha256').update(content).digest('hex') },
  });
});
