/** What a file, a version and a project may hold, and for how long an upload is kept; each refusal names its limit. */
import { createHash, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { openDatabase } from '#src/platform/database.ts';
import type { UploadFile } from '#test/helpers/client.ts';
import { filesIn, filesOnce } from '#test/helpers/folder.ts';
import { holdLock } from '#test/helpers/lock.ts';
import { attempt, done, issueOf, refused, type Refusal } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { sendByTus } from '#test/helpers/tus.ts';
import { createProject, ingested, sendVersion } from '#test/helpers/work.ts';

const MiB = 1024 ** 2;
let stack: Stack;

beforeAll(async () => {
  stack = await startStack({
    env: {
      MAX_FILE_BYTES: String(2 * MiB),
      MAX_VERSION_BYTES: String(3 * MiB),
      PROJECT_QUOTA_BYTES: String(4 * MiB),
      ARTIFACT_GRACE_SECONDS: '0',
    },
  });
  await stack.project();
});

const bytes = (size: number): Buffer => randomBytes(size);
const file = (name: string, size: number): UploadFile => ({ name, content: bytes(size) });

/** How uploading files as a version of a model of its own is refused. */
async function refusal(model: string, files: readonly UploadFile[]): Promise<Refusal> {
  const { body } = await sendVersion(stack, model, files);
  return body.data?.result as unknown as Refusal;
}

async function modelIn(project: string, name: string): Promise<string> {
  return (await done<{ id: string }>(stack, 'createModel', { project, name }, 'id')).id;
}

test('a file', async () => {
  const model = await stack.model('file');
  const refused_ = await refusal(model, [file('large.bin', 2 * MiB + 1)]);
  expect(refused_).toMatchObject({
    __typename: 'ValidationError',
    hint: expect.stringContaining('MAX_FILE_BYTES'),
  });
  expect(
    issueOf(await refused(stack, 'createUpload', { project: PROJECT, path: 'x', bytes: 2 * MiB + 1 })),
  ).toMatchObject({
    path: ['bytes'],
    found: String(2 * MiB + 1),
  });
});

test('a version', async () => {
  const model = await stack.model('version');
  expect(await refusal(model, [file('a', 2 * MiB), file('b', 2 * MiB)])).toMatchObject({
    __typename: 'ValidationError',
    hint: expect.stringContaining('MAX_VERSION_BYTES'),
    issues: [{ expected: `at most ${3 * MiB} bytes together`, found: String(4 * MiB) }],
  });
  expect(await filesOnce(stack.artifactStore, (files) => files.length === 1)).toEqual(['store-id']);
});

test('a project: the same bytes count once, and what is deleted does not', async () => {
  await createProject(stack, 'full');
  const model = await modelIn('full', 'm');
  const files = [file('a', 2 * MiB), file('b', MiB)];
  await ingested(stack, model, files);
  // Nothing new but a name.
  await ingested(stack, model, [{ ...files[0]!, name: 'c' }, files[1]!]);
  await done(stack, 'restoreVersion', { version: 'full/m:1' }, 'id');
  const over = file('d', MiB + 1);
  const tooMuch = {
    __typename: 'ValidationError',
    hint: expect.stringContaining('PROJECT_QUOTA_BYTES'),
    issues: [{ path: ['files'], expected: expect.stringContaining(String(4 * MiB)) }],
  };
  expect(await refusal(model, [over])).toMatchObject(tooMuch);
  expect(await refused(stack, 'createUpload', { project: 'full', path: 'd', bytes: MiB + 1 })).toMatchObject(
    tooMuch,
  );
  // What is on its way counts, too.
  const { id } = await done<{ id: string }>(
    stack,
    'createUpload',
    { project: 'full', path: 'e', bytes: MiB },
    'id',
  );
  expect(await refused(stack, 'createUpload', { project: 'full', path: 'f', bytes: 1 })).toMatchObject(
    tooMuch,
  );
  await done(stack, 'cancelUpload', { upload: id }, 'id');
  // Each other version holds the same; then nobody does.
  for (const version of ['full/m:3', 'full/m:2']) await done(stack, 'deleteVersion', { version }, 'id');
  expect(await refusal(model, [over])).toMatchObject(tooMuch);
  await done(stack, 'deleteVersion', { version: 'full/m:1' }, 'id');
  expect((await ingested(stack, model, [over])).status).toBe('READY');
  const query = '{ project(name: "full") { storedBytes quotaBytes } }';
  expect(await stack.data(query)).toEqual({ project: { storedBytes: MiB + 1, quotaBytes: 4 * MiB } });
  // Another project has room of its own.
  expect((await ingested(stack, await stack.model('room'), [file('g', 2 * MiB)])).status).toBe('READY');
});

test('many versions at once do not get past the quota of a project', async () => {
  await createProject(stack, 'rush');
  const models = await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => modelIn('rush', name)));
  const answers = await Promise.all(models.map((model) => sendVersion(stack, model, [file('x', MiB)])));
  const types = answers.map(({ body }) => body.data?.result.__typename);
  expect(types.filter((type) => type === 'Version')).toHaveLength(4);
  expect(types.filter((type) => type === 'ValidationError')).toHaveLength(2);
});

/** What the counters of a project say is what its versions hold. */
async function expectCounted(project: string): Promise<void> {
  const { db, close } = stack.openDatabase();
  const { rows } = await sql<{ said: unknown; held: unknown; bytes: bigint; heldBytes: bigint }>`
    with p as (select id from project where name = ${project}),
    held as (
      select a.digest, count(*)::integer as uses, max(a.bytes) as bytes from version_artifact a join p on p.id = a.project_id
      where role = 'UPLOADED' and blob_digest is not null group by a.digest)
    select (select json_agg(json_build_array(digest, uses) order by digest)
            from project_blob b join p on p.id = b.project_id) as said,
           (select json_agg(json_build_array(digest, uses) order by digest) from held) as held,
           (select coalesce(sum(bytes), 0)::bigint from project_storage s join p on p.id = s.project_id) as bytes,
           (select coalesce(sum(bytes), 0)::bigint from held) as held_bytes`.execute(db);
  await close();
  const [found] = rows;
  expect([found?.said, found?.bytes]).toEqual([found?.held, found?.heldBytes]);
}

describe('what is counted is what is held', () => {
  const ledger = () => holdLock(stack, sql`select from ledger_counter for update`);
  const remove = (version: string) => attempt(stack, 'deleteVersion', { version });

  test('two versions of the same bytes are deleted at once', async () => {
    await createProject(stack, 'both');
    for (const name of ['one', 'two'])
      await ingested(stack, await modelIn('both', name), [{ name: 'a.bin', content: 'the same bytes' }]);
    await expectCounted('both');
    const held = await ledger();
    const both = Promise.all([remove('both/one:1'), remove('both/two:1')]);
    await held.waiters(2);
    await held.release();
    for (const one of await both) expect(one).toHaveProperty('made');
    await expectCounted('both');
  });

  test('a version is deleted while another is made of the same bytes', async () => {
    await createProject(stack, 'race');
    const content = 'bytes that stay';
    await ingested(stack, await modelIn('race', 'old'), [{ name: 'a.bin', content }]);
    const model = await modelIn('race', 'new');
    const artifacts = [{ path: 'b.bin', digest: createHash('sha256').update(content).digest('hex') }];
    const held = await ledger();
    const made = attempt(stack, 'createVersion', { model, artifacts });
    await held.waiters(1);
    const removed = remove('race/old:1');
    await held.waiters(2);
    await held.release();
    for (const one of [await made, await removed]) expect(one).toHaveProperty('made');
    await expectCounted('race');
  });

  test('whatever is changed at once', async () => {
    await createProject(stack, 'storm');
    const models = await Promise.all(['m0', 'm1', 'm2', 'm3'].map((name) => modelIn('storm', name)));
    const files = ['a', 'b', 'c'].map((name) => ({ name, content: `of ${name}` }));
    await Promise.all(
      models.map((model, index) =>
        ingested(stack, model, [files[index % 3]!, files[2]!].slice(0, index % 3 === 2 ? 1 : 2)),
      ),
    );
    const digests = files.map(({ content }) => createHash('sha256').update(content).digest('hex'));
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    const change = (round: number): Promise<unknown> => {
      const at = random(models.length);
      const version = `storm/m${at}:${1 + random(2 + round)}`;
      const artifacts = ['x', 'y', 'z'].map((path) => ({ path, digest: digests[random(digests.length)] }));
      const kind = random(6);
      if (kind < 2) return attempt(stack, 'createVersion', { model: models[at], artifacts, parents: [] });
      return kind === 2 ? attempt(stack, 'restoreVersion', { version }) : remove(version);
    };
    for (let round = 0; round < 10; round++)
      await Promise.all(Array.from({ length: 12 }, () => change(round)));
    expect(stack.api.written() + stack.worker.written()).not.toMatch(/deadlock|"level":50/);
    await expectCounted('storm');
  });
});

test('what a rejected version held does not count', async () => {
  await createProject(stack, 'refusals');
  const model = await modelIn('refusals', 'm');
  for (let i = 0; i < 4; i++) {
    const content = Buffer.concat([Buffer.from('cos\nsystem\n(S"true"\ntR.'), bytes(2 * MiB - 100)]);
    expect((await ingested(stack, model, [{ name: 'evil.pkl', content }])).status).toBe('REJECTED');
  }
});

test('an upload that nobody goes on with is forgotten, with its bytes; one that is being sent is not', async () => {
  await createProject(stack, 'old');
  const content = bytes(MiB);
  const make = () =>
    done<{ id: string; url: string }>(
      stack,
      'createUpload',
      { project: 'old', path: 'old', bytes: MiB },
      'id url',
    );
  const [old, whole, recent] = [await make(), await make(), await make()];
  const half = {
    content,
    chunkSize: MiB / 2,
    onProgress: (sent: number, stop: () => void) => sent > MiB / 2 && stop(),
  };
  await sendByTus(stack.api.url, { ...half, url: old.url });
  await sendByTus(stack.api.url, { ...half, url: recent.url });
  await sendByTus(stack.api.url, { content, url: whole.url });
  const inner = ({ url }: { url: string }): string => url.split('/').at(-1) as string;
  expect(filesIn(stack.artifactStore).some((name) => name.includes(inner(old)))).toBe(true);
  const { db, close } = openDatabase({ url: stack.databaseUrl, pool: 1 });
  await sql`update upload set expires_at = now() - interval '1 second' where id = any(${[inner(old), inner(whole)]}::uuid[])`.execute(
    db,
  );
  await close();
  const query = 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }';
  const ids = [old, whole, recent].map(({ id }) => id);
  expect((await stack.data<{ nodes: unknown[] }>(query, { ids })).nodes).toEqual([
    null,
    null,
    { id: recent.id },
  ]);
  const left = await filesOnce(
    stack.artifactStore,
    (files) => !files.some((name) => name.includes(inner(old))),
  );
  expect(left.some((name) => name.includes(inner(recent)))).toBe(true);
  expect(await sendByTus(stack.api.url, { content, url: recent.url })).toMatchObject({ state: 'whole' });
});
