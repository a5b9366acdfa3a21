/** Several want something of an upload at once; and locks that are lost while bytes come. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSession, type Database } from '#src/platform/database.ts';
import { newId } from '#src/platform/id.ts';
import type { Platform } from '#src/platform/platform.ts';
import { receive } from '#src/upload/upload.ts';
import { findUploads } from '#src/upload/upload.queries.ts';
import { holdLock } from '#test/helpers/lock.ts';
import { attempt, done, type Attempt } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { sendByTus } from '#test/helpers/tus.ts';
import { createProject, ingested } from '#test/helpers/work.ts';

const MiB = 1024 ** 2;
let stack: Stack;
let database: Database;

beforeAll(async () => {
  stack = await startStack({ apis: 2, env: { DATABASE_POOL: '10', UPLOAD_EXPIRY_SECONDS: '3600' } });
  database = stack.openDatabase();
  await stack.project();
});
afterAll(() => database.close());

interface Made {
  readonly id: string;
  readonly url: string;
}
const create = (bytes: number, path = 'a.bin', project = PROJECT): Promise<Made> =>
  done<Made>(stack, 'createUpload', { project, path, bytes }, 'id url');
const inner = ({ url }: Made): string => url.split('/').at(-1) as string;
const other = () => ({ api: stack.apis[1]! });

/** An upload of five bytes that is whole. */
async function whole(path?: string): Promise<Made> {
  const made = await create(5, path);
  await sendByTus(stack.api.url, { content: randomBytes(5), url: made.url });
  return made;
}

interface Facts {
  readonly receivedBytes: number;
  readonly digest: string | null;
}
/** What the second api knows of an upload. */
async function facts({ id }: Made): Promise<Facts | null> {
  const query = 'query ($id: ID!) { node(id: $id) { ... on ResumableUpload { receivedBytes digest } } }';
  return (await stack.data<{ node: Facts | null }>(query, { id }, other())).node;
}
async function received(made: Made, bytes: number): Promise<void> {
  while (Number((await facts(made))?.receivedBytes) < bytes);
}

const octets = { 'tus-resumable': '1.0.0', 'content-type': 'application/offset+octet-stream' };

/** Begins a request to the first api that brings this much of an upload, and no more. */
function begin({ url }: Made, announced: number, content: Buffer): Promise<unknown> {
  const outgoing = request(new URL(url, stack.api.url), {
    method: 'PATCH',
    agent: false,
    headers: { ...octets, 'upload-offset': 0, 'content-length': announced },
  });
  const over = new Promise((resolve) => outgoing.on('error', resolve).on('response', resolve));
  outgoing.write(content);
  return over;
}

/** Goes on with an upload through the second api. */
async function goOn({ url }: Made, rest: (offset: number) => Buffer): Promise<number> {
  const at = new URL(url, stack.apis[1]?.url);
  const head = await fetch(at, { method: 'HEAD', headers: octets });
  const offset = Number(head.headers.get('upload-offset'));
  const headers = { ...octets, 'upload-offset': String(offset) };
  const answer = await fetch(at, { method: 'PATCH', headers, body: new Uint8Array(rest(offset)) });
  expect(answer.status).toBe(204);
  return offset;
}

/** Ends the connections that have locks of uploads: whoever had one has lost it. */
const loseLocks = () =>
  sql`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'
    and database = (select oid from pg_database where datname = current_database())`.execute(database.db);

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('one that a version takes is not cancelled as well', async () => {
  const { id } = await whole();
  const model = await stack.model('taken');
  await ingested(stack, model, [{ name: 'first.bin', content: 'first' }]);
  const held = await holdLock(stack, sql`select from ledger_counter for update`);
  const made = attempt(stack, 'createVersion', { model, uploads: [id] });
  await held.waiters(1);
  const cancelled = attempt(stack, 'cancelUpload', { upload: id }, undefined, other());
  await held.waiters(2);
  await held.release();
  expect(await made).toHaveProperty('made');
  expect(await cancelled).toMatchObject({ refusal: { __typename: 'NotFoundError' } });
});

// Each waits for a while for who does not let go.
describe.concurrent('one that somebody is at', () => {
  test('is cancelled through another api', async () => {
    const made = await create(10 * MiB);
    const over = begin(made, 10 * MiB, randomBytes(2 * MiB));
    await received(made, 1);
    expect(await attempt(stack, 'cancelUpload', { upload: made.id }, undefined, other())).toHaveProperty(
      'made',
    );
    await over;
    expect(await facts(made)).toBeNull();
  });

  test('and does not let go of: whoever cancels or uses it is told so in words', async () => {
    const made = await whole();
    // As whoever received the last bytes leaves it when killed before it is whole.
    await sql`update upload set stored_at = null where id = ${inner(made)}::uuid`.execute(database.db);
    const ignored = (): undefined => undefined;
    const session = await openSession({ url: stack.databaseUrl, onNotification: ignored, onLost: ignored });
    await session.query('select pg_advisory_lock(hashtextextended($1, 0))', [`upload ${inner(made)}`]);
    const model = await stack.model('busy');
    const answers = await Promise.all([
      attempt(stack, 'createVersion', { model, uploads: [made.id] }),
      attempt(stack, 'cancelUpload', { upload: made.id }),
    ]);
    await session.close();
    for (const answer of answers)
      expect(answer).toMatchObject({ refusal: { __typename: 'NotReadyError', retryAfterMs: 1000 } });
  });
});

test('two versions of the same uploads, in either order, do not stand in each other’s way', async () => {
  const models = [await stack.model('left'), await stack.model('right')];
  for (let round = 0; round < 3; round++) {
    const made = await Promise.all(['a', 'b', 'c', 'd'].map((path) => whole(path)));
    const uploads = made.map(({ id }) => id);
    const answers = await Promise.all([
      attempt(stack, 'createVersion', { model: models[0], uploads }),
      attempt(
        stack,
        'createVersion',
        { model: models[1], uploads: uploads.toReversed() },
        undefined,
        other(),
      ),
    ]);
    expect(answers.filter((answer) => 'made' in answer)).toHaveLength(1);
  }
});

test('a thousand unfinished uploads are the most, also when many begin at once', async () => {
  await createProject(stack, 'full');
  const ids = Array.from({ length: 995 }, () => newId());
  await sql`insert into upload (id, project_id, path, bytes, created_by_name, created_by_kind, expires_at)
    select u, p.id, 'x', 1, 'somebody', 'USER', now() + interval '1 hour'
    from project p, unnest(${ids}::uuid[]) u where p.name = 'full'`.execute(database.db);
  const outcomes: Attempt<unknown>[] = await Promise.all(
    Array.from({ length: 20 }, (_none, index) =>
      attempt(stack, 'createUpload', { project: 'full', path: `${index}`, bytes: 1 }, undefined, {
        api: stack.apis[index % 2]!,
      }),
    ),
  );
  expect(outcomes.filter((one) => 'made' in one)).toHaveLength(5);
});

test('an upload whose bytes keep coming in one request does not expire meanwhile', async () => {
  const made = await create(100);
  const { db } = database;
  const now = async () => (await findUploads(db, [inner(made)]))[0]!;
  // Touched each quarter of the time that it is kept.
  const append = async (
    _id: string,
    _offset: number,
    source: PassThrough,
    options: { onBytes: (chunk: Buffer) => void },
  ) => {
    for await (const chunk of source) options.onBytes(chunk as Buffer);
    return 0;
  };
  const platform = { db, config: { UPLOAD_EXPIRY_SECONDS: 0.2 }, store: { resumable: { append } } };
  const source = new PassThrough();
  const lock = { signal: new AbortController().signal, confirm: async () => undefined };
  const receiving = receive(platform as unknown as Platform, await now(), 0, source, lock);
  const begun = (await now()).expiresAt;
  while ((await now()).expiresAt.getTime() <= begun.getTime() + 100) source.write('x');
  source.end();
  await receiving;
});

describe('the lock is lost while bytes come', () => {
  test('the request ends, another goes on, the file is what was sent', async () => {
    const content = randomBytes(16 * MiB);
    const made = await create(content.length);
    const over = begin(made, content.length, content.subarray(0, 5 * MiB + 12_345));
    await received(made, 1);
    await loseLocks();
    await over;
    expect(await goOn(made, (offset) => content.subarray(offset))).toBeGreaterThan(0);
    expect(await facts(made)).toMatchObject({ digest: sha256(content) });
  });

  test('a client gets over it by itself', async () => {
    const content = randomBytes(40 * MiB);
    const { url } = await create(content.length);
    let lost: Promise<unknown> | undefined;
    const sent = await sendByTus(stack.api.url, {
      content,
      url,
      retryDelays: [10, 50, 200, 400, 800],
      onProgress: (bytes) => {
        if (bytes > MiB) lost ??= loseLocks();
      },
    });
    expect(lost).toBeDefined();
    expect(sent.state).toBe('whole');
  });

  test('by an api that stands still: what it does once it goes on changes no bytes that are stored by now', async () => {
    const bytes = 4 * MiB;
    const made = await create(bytes);
    const over = begin(made, bytes, Buffer.alloc(1.5 * MiB, 'A'));
    await received(made, MiB);
    // What has arrived beyond lies in its memory by now: both answers come over the same loop.
    await stack.data('{ projects { name } }');
    process.kill(stack.api.pid, 'SIGSTOP');
    try {
      await loseLocks();
      await goOn(made, (offset) => Buffer.alloc(bytes - offset, 'B'));
    } finally {
      process.kill(stack.api.pid, 'SIGCONT');
    }
    await over;
    const digest = (await facts(made))?.digest ?? '';
    const path = join(stack.artifactStore, 'sha256', digest.slice(0, 2), digest);
    expect(sha256(readFileSync(path))).toBe(digest);
  });
});
