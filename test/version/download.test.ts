/** Downloads: files and whole versions, in parts, by reference and by link. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cut } from '#src/version/checkout.ts';
import { tarEnd, tarHeader, tarPadding } from '#src/version/tar.ts';
import { fixtureFile } from '#test/helpers/models.ts';
import { done } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createProject, createToken, ingested } from '#test/helpers/work.ts';
import { hostile } from '#test/safety/inspect-bytes.ts';

const weights = randomBytes(3 * 1024 ** 2 + 17);
const longName = `a/${'very-'.repeat(40)}long/größe 100%.bin`;
const folder = mkdtempSync(join(tmpdir(), 'download-'));
afterAll(() => rmSync(folder, { recursive: true }));

let stack: Stack;
let version: string;
let reader: string;
let operator: string;
let stranger: string;

beforeAll(async () => {
  stack = await startStack({
    env: {
      LINK_SECONDS: '3600',
      PUBLIC_URL: 'https://models.example/',
      ALLOWED_ORIGINS: 'https://app.example',
    },
  });
  const model = await stack.model('files');
  version = (
    await ingested(stack, model, [
      { name: 'weights.bin', content: weights },
      { name: longName, content: 'small' },
      { name: 'empty.txt', content: '' },
    ])
  ).id;
  await createProject(stack, 'elsewhere');
  const tokenOf = async (project: string, role: string) =>
    (await createToken(stack, { project, name: role.toLowerCase(), role })).secret;
  reader = await tokenOf(PROJECT, 'READER');
  operator = await tokenOf(PROJECT, 'OPERATOR');
  stranger = await tokenOf('elsewhere', 'ADMIN');
});

const get = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Response> =>
  fetch(new URL(path, stack.api.url), { headers, method });
const bytesOf = async (answer: Response): Promise<Buffer> => Buffer.from(await answer.arrayBuffer());
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const file = '/versions/test/files:1/files/weights.bin';
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('a file', () => {
  test('by reference, with its digest as tag, as an attachment that no page opens', async () => {
    const answer = await get(file, bearer(reader));
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      etag: `"${sha256(weights)}"`,
      'accept-ranges': 'bytes',
      'content-length': String(weights.length),
      'content-type': 'application/octet-stream',
      'content-disposition': 'attachment; filename=weights.bin',
      'x-content-type-options': 'nosniff',
      'repr-digest': `sha-256=:${createHash('sha256').update(weights).digest('base64')}:`,
    });
    expect((await bytesOf(answer)).equals(weights)).toBe(true);
  });

  test('by an id, and by a name that needs escaping', async () => {
    const path = longName.split('/').map(encodeURIComponent).join('/');
    const answer = await get(`/versions/${encodeURIComponent(version)}/files/${path}`);
    expect(answer.headers.get('content-disposition')).toContain(
      "filename*=UTF-8''gr%C3%B6%C3%9Fe%20100%25.bin",
    );
    expect(await answer.text()).toBe('small');
  });

  test('of no bytes', async () => {
    const answer = await get('/versions/test/files@latest/files/empty.txt');
    expect([answer.status, await answer.text()]).toEqual([200, '']);
  });

  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=100-199', 100, 200],
    ['bytes=3145700-', 3145700, weights.length],
    ['bytes=-7', weights.length - 7, weights.length],
    ['bytes=5-99999999999', 5, weights.length],
  ])('in part: %s', async (range, start, end) => {
    const answer = await get(file, { range });
    expect(answer.status).toBe(206);
    expect(answer.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/${weights.length}`);
    expect((await bytesOf(answer)).equals(weights.subarray(start, end))).toBe(true);
  });

  test('a part that is not there; parts that are none, or several: all of it', async () => {
    const beyond = await get(file, { range: `bytes=${weights.length}-` });
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${weights.length}`]);
    expect((await get(file, { range: 'bytes=-0' })).status).toBe(416);
    for (const range of ['bytes=x-y', 'lines=1-2', 'bytes=0-1,5-9']) {
      const answer = await get(file, { range });
      expect([answer.status, (await bytesOf(answer)).length]).toEqual([200, weights.length]);
    }
  });

  test('conditions: what one has is not sent again, and a part of something else is not mixed in', async () => {
    const etag = `"${sha256(weights)}"`;
    for (const tags of [`"other", ${etag}`, `W/${etag}`, `"x",W/${etag}`, '*'])
      expect((await get(file, { 'if-none-match': tags })).status).toBe(304);
    const range = 'bytes=5-9';
    // As of a tag that a proxy has weakened, or of a time, it is not known whether it is the same byte by byte.
    for (const condition of [`W/${etag}`, new Date().toUTCString()])
      expect((await get(file, { range, 'if-range': condition })).status).toBe(200);
    expect((await get(file, { range: 'bytes=5-9', 'if-range': etag })).status).toBe(206);
    expect((await get(file, { range: 'bytes=5-9', 'if-range': '"other"' })).status).toBe(200);
    // Parts are for GET alone.
    const head = await get(file, { range }, 'HEAD');
    expect(head.status).toBe(200);
    expect([head.headers.get('content-length'), await head.text()]).toEqual([String(weights.length), '']);
  });

  test('goes on after a break, and only where it is still the same', async () => {
    const first = await get(file);
    const tag = first.headers.get('etag') as string;
    const begun = (await first.body!.getReader().read()).value as Uint8Array;
    const rest = await get(file, { range: `bytes=${begun.length}-`, 'if-range': tag });
    expect(rest.status).toBe(206);
    expect(Buffer.concat([begun, await bytesOf(rest)]).equals(weights)).toBe(true);
  });
});

describe('a whole version', () => {
  const path = '/versions/test/files:1/archive.tar';

  test('is a tar archive that tar unpacks', async () => {
    const answer = await get(path);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/x-tar',
      'content-disposition': 'attachment; filename=files-1.tar',
    });
    const archive = await bytesOf(answer);
    expect(archive.length).toBe(Number(answer.headers.get('content-length')));
    writeFileSync(join(folder, 'all.tar'), archive);
    execFileSync('tar', ['-xf', 'all.tar'], { cwd: folder });
    expect(readFileSync(join(folder, 'files-1/weights.bin')).equals(weights)).toBe(true);
    expect(readFileSync(join(folder, 'files-1', longName), 'utf8')).toBe('small');
    expect(readFileSync(join(folder, 'files-1/empty.txt'), 'utf8')).toBe('');
  });

  test('in part is a part of the same archive', async () => {
    const archive = await bytesOf(await get(path));
    for (const [start, end] of [
      [0, 10],
      [500, 600],
      [archive.length - 1500, archive.length - 1],
      [511, 1_000_000],
    ] as const) {
      const answer = await get(path, { range: `bytes=${start}-${end}` });
      expect(answer.status).toBe(206);
      expect((await bytesOf(answer)).equals(archive.subarray(start, end + 1))).toBe(true);
    }
  });

  test('parts of any segments, put together again, are the whole', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { minLength: 1 }), fc.array(fc.nat(200)), (sizes, places) => {
        const segments = sizes.map((size, index) => ({ bytes: Buffer.alloc(size, index) }));
        const whole = Buffer.concat(segments.map(({ bytes }) => bytes));
        const borders = [0, ...places.filter((at) => at < whole.length), whole.length].toSorted(
          (a, b) => a - b,
        );
        const parts = borders.slice(1).flatMap((end, index) => {
          const start = borders[index] as number;
          return start < end ? cut(segments, { start, end: end - 1 }) : [];
        });
        expect(Buffer.concat(parts as Buffer[]).equals(whole)).toBe(true);
      }),
    );
  });

  test('tar reads names and sizes of any kind', () => {
    const names = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 150 });
    const name = names.filter(
      (text) => text.isWellFormed() && /^[\p{L}\p{N}.][\p{L}\p{N} ._-]*$/u.test(text) && !/^\.+$/.test(text),
    );
    fc.assert(
      fc.property(name, fc.nat(2000), (entryName, size) => {
        const content = Buffer.alloc(size, 7);
        const header = tarHeader({ name: entryName, size, mtime: new Date(1e12) });
        const archive = Buffer.concat([header, content, tarPadding(size), tarEnd]);
        const listed = execFileSync('tar', ['-tf', '-', '--quoting-style=literal'], {
          input: archive,
          env: { LC_ALL: 'C.UTF-8', PATH: process.env['PATH'] },
        });
        expect(listed.toString().trimEnd()).toBe(entryName.trimEnd());
      }),
      { numRuns: 30 },
    );
    const large = tarHeader({ name: 'large', size: 20 * 1024 ** 3, mtime: new Date(0) });
    // It ends in the middle of the content, which tar says; the entry it has read by then.
    const { stdout } = spawnSync('tar', ['-tvf', '-'], { input: large, encoding: 'utf8' });
    expect(stdout).toContain(String(20 * 1024 ** 3));
  });
});

describe('a link', () => {
  const linkOf = async (path: string | null, token?: string): Promise<string> => {
    const query = `query ($ref: VersionRef!, $path: String) { version(ref: $ref) { downloadUrl(path: $path) } }`;
    const answer = await stack.data<{ version: { downloadUrl: string } }>(
      query,
      { ref: version, path },
      { token },
    );
    return answer.version.downloadUrl;
  };

  test('works for whoever has it, for that file alone', async () => {
    const link = new URL(await linkOf('weights.bin', reader));
    expect(link.origin).toBe('https://models.example');
    const path = `${link.pathname}${link.search}`;
    // Not by a token that may do nothing here, and from a page of somebody else.
    const answer = await get(path, { ...bearer(stranger), 'sec-fetch-site': 'cross-site' });
    expect((await bytesOf(answer)).equals(weights)).toBe(true);
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
    const allowed = await get(path, { origin: 'https://app.example' });
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example');
    const archive = new URL(await linkOf(null, reader));
    expect((await get(`${archive.pathname}${archive.search}`, bearer(stranger))).status).toBe(200);
    for (const changed of [
      path.replace('weights.bin', 'empty.txt'),
      path.replace(/files\/weights\.bin/, 'archive.tar'),
      path.replace(/expires=\d+/, 'expires=99999999999'),
      path.replace(/signature=./, 'signature='),
      path.replace(/signature=.*/, `signature=${encodeURIComponent('é'.repeat(43))}`),
      ...['NaN', 'Infinity', '1e300', ''].map((time) => path.replace(/expires=\d+/, `expires=${time}`)),
      path.replace('expires', 'expires=9999999999&expires'),
    ]) {
      expect((await get(changed, bearer(stranger))).status).toBe(403);
    }
  });

  test('is not made of a file that is not there, or for strangers', async () => {
    const query = `query ($ref: VersionRef!) { version(ref: $ref) { downloadUrl(path: "nope") } }`;
    const { body } = await stack.gql(query, { ref: version });
    expect(body.errors?.[0]).toMatchObject({ extensions: { code: 'NOT_FOUND' } });
    const { body: strange } = await stack.gql(query, { ref: version }, { token: stranger });
    expect(strange.errors?.[0]).toMatchObject({ extensions: { code: 'NOT_FOUND' } });
  });
});

describe('names', () => {
  /** A tar archive where the name says so: what is none would be rejected. */
  const contentOf = (name: string): string => {
    const text = `of ${name}`;
    if (!name.endsWith('.tar')) return text;
    const header = tarHeader({ name: 'inside.txt', size: Buffer.byteLength(text), mtime: new Date(0) });
    return Buffer.concat([header, Buffer.from(text), tarPadding(Buffer.byteLength(text)), tarEnd]).toString();
  };
  const linkTo = async (ref: string, path: string): Promise<URL> => {
    const query =
      'query ($ref: VersionRef!, $path: String) { version(ref: $ref) { downloadUrl(path: $path) } }';
    const answer = await stack.data<{ version: { downloadUrl: string } }>(query, { ref, path });
    return new URL(answer.version.downloadUrl);
  };

  test.each([
    [
      'of any kind',
      [
        "it's.bin",
        'a%00b',
        '%2F',
        '%',
        'a?b#c&d=e',
        'ü\u202e.bin',
        '\u2028.bin',
        '日本/語.bin',
        `${'ß'.repeat(251)}.bin`,
        '\u{1f600}'.repeat(120),
        ' lead and trail ',
        'CON',
        'a;filename=evil',
        'e\u0301.bin',
        'a+b.bin',
        '...',
        '-rf',
        'x\u0085y.bin',
        'A',
        'a',
      ],
    ],
    [
      'that look like our own addresses',
      ['archive.tar', 'files/weights.bin', 'files/archive.tar', 'deep/archive.tar'],
    ],
  ])('%s come back as they were given, by link, reference and id', async (_what, names) => {
    // prettier-ignore
    const model = `names-${names.length}`;
    const files = names.map((name) => ({ name, content: contentOf(name) }));
    const { id } = await stack.createModelVersion(model, files);
    for (const name of names) {
      const escaped = name.split('/').map(encodeURIComponent).join('/');
      const link = await linkTo(id, name);
      for (const path of [
        link.pathname + link.search,
        `/versions/${PROJECT}/${model}:1/files/${escaped}`,
        `/versions/${id}/files/${escaped}`,
      ]) {
        const answer = await get(path);
        expect([path, answer.status]).toEqual([path, 200]);
        expect(await answer.text()).toBe(contentOf(name));
        expect(answer.headers.get('content-disposition')).toMatch(/^attachment/);
      }
    }
  });

  test('of as many files as there may be, in one archive', async () => {
    const names = Array.from({ length: 64 }, (_none, index) => `f/${index}.bin`);
    await stack.createModelVersion('many', names.map((name) => ({ name, content: name }))); // prettier-ignore
    const answer = await get('/versions/test/many:1/archive.tar');
    expect((await bytesOf(answer)).length).toBe(Number(answer.headers.get('content-length')));
    expect(stack.api.written()).not.toContain('MaxListeners');
  });
});

test('bytes of a deleted version are gone, also by a reference to the past', async () => {
  await stack.createModelVersion('past', [{ name: 'a.bin', content: 'of the past' }]);
  const ref = encodeURIComponent(`past@latest{${new Date().toISOString()}}`);
  const path = `/versions/${PROJECT}/${ref}`;
  expect((await get(`${path}/files/a.bin`)).status).toBe(200);
  await done(stack, 'deleteVersion', { version: 'test/past:1' });
  for (const what of ['files/a.bin', 'archive.tar']) expect((await get(`${path}/${what}`)).status).toBe(404);
});

test('bytes that cannot be read are refused in words, not by a broken connection', async () => {
  const kept = join(stack.artifactStore, 'sha256');
  renameSync(kept, `${kept}-away`);
  try {
    for (const path of [file, '/versions/test/files:1/archive.tar']) {
      const answer = await get(path);
      expect([answer.status, await answer.json()]).toMatchObject([404, { errors: [{}] }]);
      expect(answer.headers.get('etag')).toBeNull();
    }
  } finally {
    renameSync(`${kept}-away`, kept);
  }
});

describe('refused', () => {
  test.each([
    ['a version that is not there', '/versions/test/files:9/files/weights.bin', 404],
    ['a file that is not there', '/versions/test/files:1/files/nope', 404],
    ['a way out of the version', '/versions/test/files:1/files/..%2F..%2Fstore-id', 404],
    ['a path that is none', '/versions/test/files:1', 404],
    ['no reference', '/versions/test/!!/files/x', 422],
    ['half an escape', '/versions/test/files:1/files/%E0%A4%A', 404],
  ])('%s', async (_what, path, status) => {
    const answer = await get(path);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ errors: [{ message: expect.any(String) }] });
  });

  test('strangers, and nobody', async () => {
    expect((await get(file, bearer(stranger))).status).toBe(404);
    expect((await get(file, bearer('nonsense'))).status).toBe(401);
    expect((await get(file, { origin: 'https://evil.example' })).status).toBe(403);
    expect((await get(file, {}, 'POST')).status).toBe(405);
  });

  test('bytes that were rejected; those in quarantine but for an OPERATOR', async () => {
    const model = await stack.model('doubtful');
    const evil = [{ name: 'evil.pkl', content: hostile('pickle/nt-system.pkl') }];
    const odd = [{ name: 'odd.pkl', content: hostile('pickle/unknown-global.pkl') }];
    expect((await ingested(stack, model, evil)).status).toBe('REJECTED');
    expect((await ingested(stack, model, odd)).status).toBe('QUARANTINED');
    expect((await get('/versions/test/doubtful:1/files/evil.pkl')).status).toBe(404);
    const path = '/versions/test/doubtful:2/files/odd.pkl';
    expect((await get(path, bearer(reader))).status).toBe(403);
    expect((await get(path, bearer(operator))).status).toBe(200);
    await done(stack, 'releaseFromQuarantine', { version: 'test/doubtful:2', reason: 'Ours.' }, 'id');
    expect((await get(path, bearer(reader))).status).toBe(200);
  });

  test('an ONNX model is what was uploaded, not what is served', async () => {
    const { content, name } = fixtureFile('iris/v1.onnx');
    await stack.createModelVersion('zipmap', [{ name, content }]);
    const answer = await get(`/versions/test/zipmap:1/files/${name}`);
    expect((await bytesOf(answer)).equals(content as Buffer)).toBe(true);
    expect(answer.headers.get('content-type')).toBe('application/onnx');
  });
});
