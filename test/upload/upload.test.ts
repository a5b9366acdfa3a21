/** Files over lines that break: sent by tus, whole in the end, and used by a version. */
import { createHash, randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { filesIn, filesOnce } from '#test/helpers/folder.ts';
import { breakingLine } from '#test/helpers/line.ts';
import { fixtureFile } from '#test/helpers/models.ts';
import { done, issueOf, refused } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { sendByTus, type Sent } from '#test/helpers/tus.ts';
import { createProject, createToken, versionNow, workDone } from '#test/helpers/work.ts';

const MiB = 1024 ** 2;
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

interface Shown {
  readonly id: string;
  readonly url: string;
  readonly receivedBytes: number | string;
  readonly digest: string | null;
}
const fields = 'id url receivedBytes digest expiresAt';

let stack: Stack;
let author: string;
let other: string;
let stranger: string;

beforeAll(async () => {
  stack = await startStack({ apis: 2, env: { UPLOAD_EXPIRY_SECONDS: '3600' } });
  await stack.project();
  await createProject(stack, 'elsewhere');
  const tokenOf = async (project: string, name: string, role: string) =>
    (await createToken(stack, { project, name, role })).secret;
  author = await tokenOf(PROJECT, 'author', 'AUTHOR');
  other = await tokenOf(PROJECT, 'other', 'AUTHOR');
  stranger = await tokenOf('elsewhere', 'stranger', 'ADMIN');
});

const idOf = ({ url }: Sent): string =>
  Buffer.from(`ResumableUpload:${url?.split('/').at(-1)}`).toString('base64');

async function shown(id: string, token?: string): Promise<Shown | null> {
  const query = `query ($id: ID!) { node(id: $id) { ... on ResumableUpload { ${fields} } } }`;
  return (await stack.data<{ node: Shown | null }>(query, { id }, { token })).node;
}

const create = (input: object, token?: string) =>
  done<Shown>(stack, 'createUpload', { project: PROJECT, ...input }, fields, { token });

/** One request of the protocol. */
function patch(url: string, offset: number, body: Buffer, token?: string): Promise<Response> {
  return fetch(new URL(url, stack.api.url), {
    method: 'PATCH',
    headers: {
      'tus-resumable': '1.0.0',
      'upload-offset': String(offset),
      'content-type': 'application/offset+octet-stream',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: new Uint8Array(body),
  });
}

/** A version of whole uploads, once it has been read. */
async function versionOf(model: string, uploads: readonly string[]) {
  const input = { model: await stack.model(model), uploads };
  const { id, operation } = await done<{ id: string; operation: { id: string } | null }>(
    stack,
    'createVersion',
    input,
    'id operation { id }',
  );
  if (operation) await workDone(stack, operation.id);
  return versionNow(stack, id);
}

describe('a file', () => {
  test('sent in one go becomes a version', async () => {
    const { content } = fixtureFile('breast-cancer/v1.onnx');
    const bytes = content as Buffer;
    const sent = await sendByTus(stack.api.url, {
      content: bytes,
      metadata: { project: PROJECT, filename: 'model.onnx' },
    });
    expect(sent.state).toBe('whole');
    expect(await shown(idOf(sent))).toMatchObject({ receivedBytes: bytes.length, digest: sha256(bytes) });
    expect(await versionOf('whole', [idOf(sent)])).toMatchObject({ status: 'READY' });
    // It is used up.
    expect(await shown(idOf(sent))).toBeNull();
    expect(
      await refused(stack, 'createVersion', { model: await stack.model('whole'), uploads: [idOf(sent)] }),
    ).toMatchObject({
      __typename: 'NotFoundError',
    });
  });

  test('made by createUpload, interrupted three times and taken up by two apis, is what was sent', async () => {
    const content = randomBytes(24 * MiB);
    const { id, url } = await create({ path: 'weights.bin', bytes: content.length });
    const [first, second] = stack.apis.map((api) => api.url);
    for (const target of [first!, second!, first!]) {
      const line = await breakingLine(target, 5 * MiB);
      expect(await sendByTus(line.origin, { content, url })).toMatchObject({ state: 'broken' });
      line.close();
    }
    const middle = Number((await shown(id))?.receivedBytes);
    expect(middle).toBeGreaterThan(10 * MiB);
    expect(middle).toBeLessThan(content.length);
    expect((await sendByTus(second!, { content, url })).state).toBe('whole');
    expect(await shown(id)).toMatchObject({ receivedBytes: content.length, digest: sha256(content) });
  });

  test('in small pieces, whatever their size', async () => {
    const content = randomBytes(100_000);
    const { id, url } = await create({ path: 'pieces.bin', bytes: content.length });
    await sendByTus(stack.api.url, { content, url, chunkSize: 7_777 });
    expect(await shown(id)).toMatchObject({ digest: sha256(content) });
  });

  test('of no bytes is whole at once', async () => {
    expect(await create({ path: 'empty.txt', bytes: 0 })).toMatchObject({ digest: sha256(Buffer.alloc(0)) });
  });

  test('whose digest the project holds needs no bytes; that of another project does', async () => {
    const { content } = fixtureFile('iris/v1.onnx');
    const bytes = content as Buffer;
    await stack.createModelVersion('held', [{ name: 'iris.onnx', content: bytes }]);
    const input = { path: 'iris.onnx', bytes: bytes.length, digest: sha256(bytes) };
    const upload = await create(input);
    expect(upload).toMatchObject({ receivedBytes: bytes.length, digest: sha256(bytes) });
    expect(await versionOf('held-again', [upload.id])).toMatchObject({ status: 'READY' });
    const elsewhere = await done<Shown>(stack, 'createUpload', { ...input, project: 'elsewhere' }, fields);
    expect(elsewhere).toMatchObject({ receivedBytes: 0, digest: null });
    const wrong = await refused(stack, 'createUpload', { project: PROJECT, ...input, bytes: 1 });
    expect(issueOf(wrong)).toMatchObject({ path: ['bytes'], found: '1' });
  });

  test('cancelled is gone, with its bytes', async () => {
    const content = randomBytes(MiB);
    const { id, url } = await create({ path: 'unwanted.bin', bytes: content.length + 1 });
    await sendByTus(stack.api.url, {
      content: Buffer.concat([content, Buffer.of(1)]),
      url,
      chunkSize: 600_000,
      onProgress: (sent, stop) => sent > 600_000 && stop(),
    });
    await done(stack, 'cancelUpload', { upload: id }, 'id');
    expect(await shown(id)).toBeNull();
    const name = url.split('/').at(-1)!;
    expect(filesIn(stack.artifactStore).filter((file) => file.includes(name))).toEqual([]);
    expect(await patch(url, 0, content)).toMatchObject({ status: 404 });
  });
});

describe('refused', () => {
  const bytes = 1_000;

  test.each([
    ['a name that leaves the folder', { path: '../x', bytes }, 'path'],
    ['an absolute name', { path: '/etc/passwd', bytes }, 'path'],
    ['a name of 5,000 characters', { path: 'x'.repeat(5000), bytes }, 'path'],
    ['a NUL in the name', { path: 'a\0b', bytes }, 'path'],
    ['an empty name', { path: '', bytes }, 'path'],
    ['a name that is a folder', { path: 'a/', bytes }, 'path'],
    ['a name with an empty folder', { path: 'a//b', bytes }, 'path'],
    ['a name that goes nowhere', { path: 'a/./b', bytes }, 'path'],
    ['a backslash', { path: 'a\\b', bytes }, 'path'],
    ['a line break', { path: 'a\r\nb: c', bytes }, 'path'],
    ['a drive', { path: 'C:/a', bytes }, 'path'],
    ['less than nothing', { path: 'x', bytes: -1 }, 'bytes'],
    ['more than a file may have', { path: 'x', bytes: 20 * 1024 ** 3 + 1 }, 'bytes'],
  ])('%s', async (_what, input, path) => {
    const refusal = await refused(stack, 'createUpload', { project: PROJECT, ...input });
    expect(issueOf(refusal)).toMatchObject({
      path: [path],
      expected: expect.any(String),
      found: expect.any(String),
    });
  });

  test('a star, which the runtime would take for an address, in words that tell of it', async () => {
    const refusal = await refused(stack, 'createUpload', { project: PROJECT, path: 'a*.bin', bytes });
    expect(issueOf(refusal).expected).toContain('"*"');
  });

  test("somebody else's: it does not exist for them, not even for an ADMIN", async () => {
    const { id, url } = await create({ path: 'mine.bin', bytes }, author);
    expect(await shown(id, author)).toMatchObject({ id });
    const admin = (await createToken(stack, { project: PROJECT, name: 'admin', role: 'ADMIN' })).secret;
    for (const token of [other, stranger, admin]) {
      expect(await shown(id, token)).toBeNull();
      expect((await patch(url, 0, randomBytes(bytes), token)).status).toBe(404);
      expect(await refused(stack, 'cancelUpload', { upload: id }, { token })).toMatchObject({
        __typename: 'NotFoundError',
      });
    }
    expect(await shown(id, author)).toMatchObject({ receivedBytes: 0 });
  });

  test('by tus itself as by createUpload: without a project, in a strange one, by a reader', async () => {
    const file = { content: randomBytes(10), token: author };
    const refusal = async (metadata: Record<string, string>, token = author) => {
      const sent = await sendByTus(stack.api.url, { ...file, token, metadata });
      if (sent.state !== 'refused') throw new Error(`It is ${sent.state}.`);
      return { status: sent.status, ...JSON.parse(sent.body).errors[0] };
    };
    expect(await refusal({ path: 'x' })).toMatchObject({
      status: 422,
      message: expect.stringContaining('project'),
    });
    expect(await refusal({ project: PROJECT })).toMatchObject({
      status: 422,
      message: expect.stringContaining('path'),
    });
    expect(await refusal({ project: 'elsewhere', path: 'x' })).toMatchObject({ status: 404 });
    const reader = (await createToken(stack, { project: PROJECT, name: 'reader', role: 'READER' })).secret;
    expect(await refusal({ project: PROJECT, path: 'x' }, reader)).toMatchObject({ status: 403 });
  });

  test('without a token that works, and by a page of another origin', async () => {
    const { url } = await create({ path: 'closed.bin', bytes });
    expect((await patch(url, 0, randomBytes(bytes), 'nonsense')).status).toBe(401);
    const answer = await fetch(new URL(url, stack.api.url), {
      method: 'HEAD',
      headers: { 'tus-resumable': '1.0.0', origin: 'https://evil.example' },
    });
    expect(answer.status).toBe(403);
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });

  test('bytes that are not those of the digest: the upload is gone then', async () => {
    const { id, url } = await create({ path: 'x.bin', bytes, digest: 'a'.repeat(64) });
    const answer = await patch(url, 0, randomBytes(bytes));
    expect(answer.status).toBe(460);
    expect(await answer.json()).toMatchObject({
      errors: [
        { extensions: { code: 'VALIDATION', issues: [{ path: ['digest'], expected: 'a'.repeat(64) }] } },
      ],
    });
    expect(await shown(id)).toBeNull();
  });

  test('at another offset than the present one, and too much', async () => {
    const { id, url } = await create({ path: 'x.bin', bytes });
    expect((await patch(url, 10, randomBytes(10))).status).toBe(409);
    expect((await patch(url, 0, randomBytes(bytes + 1))).status).toBe(413);
    expect((await patch(url, 0, randomBytes(400))).status).toBe(204);
    expect((await patch(url, 0, randomBytes(400))).status).toBe(409);
    expect(await shown(id)).toMatchObject({ receivedBytes: 400, digest: null });
  });

  test('a version of an upload that is not whole, or of two with one name', async () => {
    const { id, url } = await create({ path: 'half.bin', bytes });
    await patch(url, 0, randomBytes(400));
    const model = await stack.model('half');
    expect(await refused(stack, 'createVersion', { model, uploads: [id] })).toMatchObject({
      __typename: 'ConflictError',
      current: '400',
    });
    const twice = [await create({ path: 'e', bytes: 0 }), await create({ path: 'e', bytes: 0 })];
    const refusal = await refused(stack, 'createVersion', {
      model,
      uploads: twice.map((upload) => upload.id),
    });
    expect(issueOf(refusal)).toMatchObject({ path: ['uploads', '1'], expected: 'each file name once' });
  });
});

test('two clients on one upload never mix: one at a time sends, and what comes out is the file', async () => {
  const content = randomBytes(48 * MiB);
  const { id, url } = await create({ path: 'race.bin', bytes: content.length });
  const [first, second] = stack.apis.map((api) => api.url);
  // Each asks the other to let go, and goes on from where that one was.
  const retryDelays = Array.from({ length: 20 }, () => 50);
  const chunkSize = 4 * MiB;
  const results = await Promise.all(
    [first!, second!, first!].map((origin) => sendByTus(origin, { content, url, retryDelays, chunkSize })),
  );
  expect(results.map(({ state }) => state)).toContain('whole');
  expect(await shown(id)).toMatchObject({ receivedBytes: content.length, digest: sha256(content) });
});

test('two versions of one upload at once: exactly one is made', async () => {
  const content = randomBytes(1_000);
  const { id, url } = await create({ path: 'once.bin', bytes: content.length });
  await patch(url, 0, content);
  const input = { model: await stack.model('once'), uploads: [id] };
  const attempts = await Promise.all(
    [0, 1, 2].map(async (index) => {
      try {
        return await done(stack, 'createVersion', input, 'id', { api: stack.apis[index % 2]! });
      } catch (error) {
        return String(error);
      }
    }),
  );
  expect(attempts.filter((answer) => typeof answer === 'object')).toHaveLength(1);
  expect(
    attempts.filter((answer) => typeof answer === 'string' && answer.includes('NotFoundError')),
  ).toHaveLength(2);
});

test('kill -9 of the api in the middle: what has arrived is there, and it goes on', async () => {
  const content = randomBytes(48 * MiB);
  const { id, url } = await create({ path: 'killed.bin', bytes: content.length });
  const line = await breakingLine(stack.api.url, 16 * MiB, () => process.kill(stack.api.pid, 'SIGKILL'));
  expect(await sendByTus(line.origin, { content, url })).toMatchObject({ state: 'broken' });
  line.close();
  await stack.api.restart();
  const received = Number((await shown(id))?.receivedBytes);
  expect(received).toBeGreaterThan(0);
  expect(received).toBeLessThan(content.length);
  expect((await sendByTus(stack.api.url, { content, url })).state).toBe('whole');
  expect(await shown(id)).toMatchObject({ digest: sha256(content) });
  expect(
    await filesOnce(
      stack.artifactStore,
      () => !filesIn(stack.artifactStore).some((file) => file.includes(url.split('/').at(-1)!)),
    ),
  ).toBeDefined();
});
