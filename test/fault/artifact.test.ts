/**
 * Processes that are killed while files come, are looked into, are deleted and freed: in the end the store holds exactly
 * what versions hold, and every version that was told of has its bytes.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { openDatabase } from '#src/platform/database.ts';
import { filesIn } from '#test/helpers/folder.ts';
import { attempt, done } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { sendByTus } from '#test/helpers/tus.ts';
import { createVersion, versionNow, workDone, workIn } from '#test/helpers/work.ts';
import { assemble } from '#test/safety/assemble.ts';

let stack: Stack;

beforeAll(async () => {
  const env = { OPERATION_LEASE_SECONDS: '2', ARTIFACT_GRACE_SECONDS: '0' };
  stack = await startStack({ apis: 2, workers: 2, env });
});

async function rowsOf<T>(query: ReturnType<typeof sql<T>>): Promise<readonly T[]> {
  const { db, close } = openDatabase({ url: stack.databaseUrl, pool: 1 });
  try {
    return (await query.execute(db)).rows;
  } finally {
    await close();
  }
}

/** Digests that are stored, that have a row, and that somebody holds. */
async function facts() {
  const stored = filesIn(join(stack.artifactStore, 'sha256')).map((path) => path.split('/').at(-1) as string);
  const rows = await rowsOf(sql<{ digest: string }>`select digest from blob order by digest`);
  const held = await rowsOf(
    sql<{
      digest: string;
    }>`select distinct blob_digest as digest from version_artifact where blob_digest is not null order by 1`,
  );
  const staged = filesIn(join(stack.artifactStore, 'staging'));
  const digests = (list: readonly { digest: string }[]) => list.map(({ digest }) => digest).toSorted();
  return { stored: stored.toSorted(), rows: digests(rows), held: digests(held), staged };
}

/** Waits until the sweep has nothing left to do; what was not sent to its end is forgotten at once. */
async function settled() {
  await rowsOf(sql`update upload set expires_at = now() - interval '1 second'`);
  for (;;) {
    const found = await facts();
    const [unfinished] = await rowsOf(
      sql<{ count: bigint }>`select count(*) as count from operation where finished_at is null`,
    );
    const isClean =
      found.staged.length === 0 &&
      unfinished?.count === 0n &&
      [found.stored, found.rows].every((list) => list.join() === found.held.join());
    if (isClean) return found;
    await delay(200);
  }
}

test('a worker that is killed while it looks into a file: another one does, and its verdict is the only one', async () => {
  // Three million values keep it busy for a while.
  const appended = Buffer.concat([assemble('MARK'), Buffer.alloc(100_000, 0x4e), assemble('APPENDS')]);
  const content = Buffer.concat([
    assemble('PROTO', Buffer.of(4)),
    assemble('EMPTY_LIST'),
    ...Array.from({ length: 30 }, () => appended),
    assemble('STOP'),
  ]);
  const { id, operation } = await createVersion(stack, await stack.model('busy'), [
    { name: 'list.pkl', content },
  ]);
  await workIn(stack, operation.id, 'RUNNING');
  await Promise.all(stack.workers.map((worker) => worker.restart()));
  expect(await workDone(stack, operation.id)).toMatchObject({ status: 'SUCCEEDED' });
  expect(await versionNow(stack, id)).toMatchObject({ status: 'READY' });
  const rows = await rowsOf(sql<{ verdict: string }>`select verdict from version_inspection`);
  expect(rows).toEqual([{ verdict: 'SAFE' }]);
});

test('uploads, deletions and frees under kill -9 of everything, again and again', async () => {
  const pool = Array.from({ length: 12 }, () => randomBytes(200_000));
  const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  const models = await Promise.all(['a', 'b', 'c', 'd'].map((name) => stack.model(`chaos-${name}`)));
  const over = new AbortController();
  /** What was promised: versions by the digests that they were made of. */
  const promised = new Map<string, string>();

  async function client(index: number): Promise<void> {
    const call = { api: stack.apis[index % 2]! };
    const model = models[index % models.length] as string;
    for (let turn = 0; turn < 20 && !over.signal.aborted; turn++) {
      const bytes = pool[(index * 7 + turn * 5) % pool.length] as Buffer;
      try {
        const files = [{ name: `${index}-${turn}.bin`, content: bytes }];
        if (turn % 2 === 0)
          promised.set((await createVersion(stack, model, files, undefined, call)).id, sha256(bytes));
        else {
          const sent = await sendByTus(call.api.url, {
            content: bytes,
            chunkSize: 64 * 1024,
            metadata: { project: PROJECT, path: `${index}-${turn}.bin` },
          });
          const upload = Buffer.from(`ResumableUpload:${sent.url?.split('/').at(-1)}`).toString('base64');
          const made = await attempt<{ id: string }>(
            stack,
            'createVersion',
            { model, uploads: [upload] },
            'id',
            call,
          );
          if ('made' in made) promised.set(made.made.id, sha256(bytes));
        }
        const [first] = promised.keys();
        if (turn % 3 === 2 && first !== undefined) {
          const answer = await attempt(stack, 'deleteVersion', { version: first }, 'id', call);
          if ('made' in answer) promised.delete(first);
        }
      } catch {
        // Whoever was asked is dead; whether it had done it is not known.
        await delay(50);
      }
    }
  }

  const clients = Array.from({ length: 6 }, (_, index) => client(index));
  const programs = [...stack.apis, ...stack.workers];
  for (let round = 0; round < 9; round++) {
    await delay(400);
    await programs[round % programs.length]?.restart();
  }
  over.abort();
  await Promise.all(clients);
  const { stored } = await settled();
  expect(stored.length).toBeGreaterThan(0);
  // A name never stands for other bytes, or for half of them.
  for (const digest of stored) {
    expect(sha256(readFileSync(join(stack.artifactStore, 'sha256', digest.slice(0, 2), digest)))).toBe(
      digest,
    );
  }
  expect(promised.size).toBeGreaterThan(0);
  for (const [id, digest] of promised) {
    const version = await versionNow(stack, id).catch(() => undefined);
    // One whose deletion was not answered may be gone.
    if (version) expect([version.status, stored.includes(digest)]).toEqual(['READY', true]);
  }
  // What the counters say is what is there.
  const counted = await rowsOf(sql<{ same: boolean }>`
    select s.bytes = (select coalesce(sum(bytes), 0) from (
      select distinct blob_digest, bytes from version_artifact
      where project_id = s.project_id and role = 'UPLOADED' and blob_digest is not null) held) as same
    from project_storage s`);
  expect(counted).toEqual([{ same: true }]);
});

test('workers that are killed while they free thousands of bytes: all of them go, and nothing else', async () => {
  const model = await stack.model('many');
  const kept = await createVersion(stack, await stack.model('kept'), [
    { name: 'kept.bin', content: randomBytes(100) },
  ]);
  await workDone(stack, kept.operation.id);
  for (const worker of stack.workers) await worker.kill();
  const files = Array.from({ length: 60 }, (_, index) => ({
    name: `${index}.bin`,
    content: randomBytes(50),
  }));
  for (let i = 0; i < 10; i++) {
    await createVersion(
      stack,
      model,
      files.map((file) => ({ ...file, content: randomBytes(50) })),
    );
  }
  await rowsOf(
    sql`update version set status = 'READY' where model_id in (select id from model where name = 'many')`,
  );
  await rowsOf(sql`update operation set status = 'SUCCEEDED', finished_at = now() where finished_at is null`);
  await done(stack, 'deleteModel', { model }, 'id');
  for (let round = 0; round < 4; round++) {
    await Promise.all(stack.workers.map((worker) => worker.restart()));
    await delay(150 * round);
  }
  const { stored } = await settled();
  const digest = (
    await rowsOf(
      sql<{
        digest: string;
      }>`select digest from version where model_id in (select id from model where name = 'kept')`,
    )
  )[0]?.digest;
  expect(stored).toContain(digest);
});
