/**
 * A backup that is taken of S3 while versions are made, deleted and freed; an installation in a folder that is restored
 * from it; what happens to either when bytes are damaged or processes are killed.
 */
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase } from '#src/platform/database.ts';
import type { Platform } from '#src/platform/platform.ts';
import { sweepBlobs } from '#src/version/blob.ts';
import { Stack, startStack } from '#test/helpers/stack.ts';
import { filesIn } from '#test/helpers/folder.ts';
import { fixtureFile } from '#test/helpers/models.ts';
import { predict } from '#test/helpers/predict.ts';
import { loggedBy } from '#test/prediction/logged.ts';
import { attempt, done } from '#test/helpers/registry.ts';
import { S3Server } from '#test/helpers/s3-server.ts';
import { openFrom, sha256 } from '#test/helpers/stores.ts';
import { sendByTus } from '#test/helpers/tus.ts';
import { createToken, deploymentIn, ingested, workDone } from '#test/helpers/work.ts';
import type { Session } from '#test/local/terminal-session.ts';
import { begin, ended, run } from './commands.ts';
import { download, ledgerOf, worldOf } from './world.ts';

const server = new S3Server();
const folder = mkdtempSync(join(tmpdir(), 'modelarium-backup-test-'));
const backup = join(folder, 'a backup');
const weights = randomBytes(3 * 1024 ** 2 + 17);
const doomed = fixtureFile('iris/v2.onnx');
const rows = { deployment: 'test/iris', tensors: [{ name: 'input', data: [[6.1, 2.8, 4.7, 1.2]] }] };

let source: Stack;
let restored: Stack;
let deployment: string;
let token: string;
let before: Awaited<ReturnType<typeof worldOf>>;
let predicted: unknown;
/** A prediction that is in the log, and what the log says of it. */
let prediction: string;
let logged: unknown;
/** Ids of an upload that has arrived, and of one that has not. */
let uploads: { readonly whole: string; readonly begun: string };

const numbers = async (stack: Stack): Promise<unknown> => (await predict(stack, rows)).tensors;

/** Requests for a key wait until they are let go. */
function gate(isMeant: (method: string, key: string) => boolean) {
  const entered = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<undefined>();
  server.fault = ({ method, key }) => {
    if (!isMeant(method, key)) return undefined;
    entered.resolve();
    return opened.promise;
  };
  const open = (): void => {
    server.fault = () => undefined;
    opened.resolve(undefined);
  };
  return { entered: entered.promise, open };
}

/** @throws Error when a command ends before it comes to a gate. */
async function reached(session: Session, entered: Promise<void>): Promise<void> {
  const isOver = session.ended.then(() => {
    throw new Error(session.printed);
  });
  await Promise.race([entered, isOver]);
}

/** A stack of which nothing is there yet but an empty database and, maybe, a place on S3. */
async function newStack(env: Readonly<Record<string, string>> = {}): Promise<Stack> {
  const stack = new Stack({ env });
  await stack.createDatabase();
  return stack;
}

async function tablesOf(stack: Stack): Promise<string[]> {
  const { db, close } = openDatabase({ url: stack.databaseUrl, pool: 1 });
  try {
    const { rows: found } = await sql<{ name: string }>`
      select tablename as name from pg_tables where schemaname = 'public'`.execute(db);
    return found.map(({ name }) => name);
  } finally {
    await close();
  }
}

beforeAll(async () => {
  await server.start();
  source = await startStack({ env: { ...server.environment('models'), ARTIFACT_GRACE_SECONDS: '0' } });
  const version = await source.createModelVersion('iris', [fixtureFile('iris/v1.onnx')]);
  await source.createModelVersion('doomed', [doomed]);
  const files = [
    { name: 'weights.bin', content: weights },
    { name: 'empty.txt', content: '' },
  ];
  await ingested(source, await source.model('files'), files);
  await done(source, 'setAlias', { model: await source.model('iris'), name: 'champion', version: 'iris:1' });
  deployment = (await source.deploy(version.id, { name: 'iris' })).id;
  const announce = (path: string) =>
    done<{ id: string; url: string }>(source, 'createUpload', { project: 'test', path, bytes: 5 }, 'id url');
  const [whole, begun] = [await announce('whole.bin'), await announce('begun.bin')];
  await sendByTus(source.api.url, { content: Buffer.from('whole'), url: whole.url });
  uploads = { whole: whole.id, begun: begun.id };
  token = (await createToken(source, { project: 'test', name: 'reader', role: 'OPERATOR' })).secret;
  predicted = await numbers(source);
  prediction = (await predict(source, rows)).rows[0]!.predictionId;
  logged = await loggedBy(source, prediction);
  before = await worldOf(source);
});

afterAll(async () => {
  await restored?.stop();
  await source.stop();
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** Makes versions of bytes that are there, one after the other, until it is told to stop. */
async function write(stopped: AbortSignal): Promise<number> {
  const artifacts = [{ path: 'v1.onnx', digest: sha256(fixtureFile('iris/v1.onnx').content as Buffer) }];
  const model = await source.model('growing');
  let count = 0;
  while (!stopped.aborted) {
    await done(source, 'createVersion', { model, artifacts });
    count += 1;
  }
  return count;
}

test('a backup is of one moment: what is deleted and swept meanwhile is in it, with its bytes', async () => {
  const digest = sha256(doomed.content as Buffer);
  const { entered, open } = gate((method, key) => method === 'GET' && key.endsWith(digest));
  const stop = new AbortController();
  const writing = write(stop.signal);
  const running = begin('backup', source.environment, backup);
  await reached(running, entered);
  await done(source, 'deleteVersion', { version: 'test/doomed:1' });
  const database = source.openDatabase();
  const { rows: found } = await sql<{ id: string }>`select id from installation`.execute(database.db);
  const store = await openFrom(source.environment as Record<string, string>, found[0]?.id);
  const config = { ARTIFACT_GRACE_SECONDS: 0 };
  const sweep = () => sweepBlobs({ database, store, config } as unknown as Platform);
  // The worker's own sweeps come by as well.
  expect(await sweep()).toBe(0);
  expect(await store.sizeOf(digest)).toBe(doomed.content.length);
  stop.abort();
  expect(await writing).toBeGreaterThan(0);
  open();
  expect(await ended(running)).toMatch(/Backed up to .* files \(.* confidential/);
  // Nothing is kept for the backup's sake once it is over.
  await expect.poll(async () => (await sweep(), store.sizeOf(digest))).toBe(undefined);
  await database.close();
});

test('a restored installation answers as the first one did, and its deployments come up by themselves', async () => {
  restored = await newStack();
  expect(await run('restore', restored, [backup])).toMatch(/Restored what was there at/);
  await restored.startPrograms();
  await deploymentIn(restored, deployment, 'LIVE');
  expect(await numbers(restored)).toEqual(predicted);
  expect(await loggedBy(restored, prediction)).toEqual(logged);

  // What was there before, as it was; what was being written is there up to one moment.
  const world = await worldOf(restored);
  const grown = world.models.edges.find(({ node }) => node.name === 'growing')?.node.latest?.number ?? 0;
  const isOld = ({ node }: { node: { name: string } }): boolean => node.name !== 'growing';
  expect({ ...world, models: { edges: world.models.edges.filter(isOld) } }).toEqual({
    ...before,
    models: { edges: before.models.edges.filter(isOld) },
  });
  const ledger = await ledgerOf(restored);
  expect(ledger.map(({ sequence }) => sequence)).toEqual(ledger.map((_, index) => index + 1));
  // That its replicas had to be started is the first that happened to it.
  const since = ledger.findIndex(({ type }) => type === 'DEPLOYMENT_DEGRADED');
  expect(ledger.slice(since).map(({ type }) => type)).toEqual(['DEPLOYMENT_DEGRADED', 'DEPLOYMENT_LIVE']);
  expect(ledger.slice(0, since)).toEqual((await ledgerOf(source)).slice(0, since));
  const made = ledger.filter(({ type }) => type === 'VERSION_CREATED');
  expect(made).toHaveLength(3 + grown);

  // Bytes and tokens, and what is written from now on.
  expect(sha256(await download(restored, 'test/doomed:1', doomed.name, token))).toBe(
    sha256(doomed.content as Buffer),
  );
  expect(await download(restored, 'test/files:1', 'weights.bin', token)).toEqual(weights);
  expect((await download(restored, 'test/files:1', 'empty.txt', token)).length).toBe(0);
  const model = await source.model('files');
  expect(await attempt(restored, 'createVersion', { model, uploads: [uploads.begun] })).toMatchObject({
    refusal: { __typename: 'NotFoundError' },
  });
  const { operation } = await done<{ operation: { id: string } }>(
    restored,
    'createVersion',
    { model, uploads: [uploads.whole] },
    'operation { id }',
  );
  await workDone(restored, operation.id);
  expect((await download(restored, 'test/files:2', 'whole.bin')).toString()).toBe('whole');
  await done(restored, 'deleteVersion', { version: 'test/doomed:1' });
  expect((await ledgerOf(restored)).at(-1)).toMatchObject({ type: 'VERSION_DELETED' });
  // The source goes on beside it, and so do its replicas.
  expect(await numbers(source)).toEqual(predicted);
  expect(await run('verify', restored)).toMatch(/^\d+ files \(.* are as they should be/);
  expect(await run('verify', source)).toMatch(/^\d+ files \(.* are as they should be/);
});

test('verify names what is damaged, missing or unknown', async () => {
  const digest = sha256(weights);
  const path = join(restored.artifactStore, 'sha256', digest.slice(0, 2), digest);
  const damaged = Buffer.from(weights);
  damaged.writeUInt8(damaged.readUInt8(1_000_000) ^ 1, 1_000_000);
  writeFileSync(path, damaged);
  expect(await run('verify', restored, [], 1)).toMatch(/DAMAGED {2}test\/files:1 weights\.bin: .*SHA-256/);
  // Such bytes are not carried into a backup.
  const refused = await run('backup', restored, [join(folder, 'never')], 1);
  expect(refused).toMatch(/test\/files:1 weights\.bin .* is damaged in the artifact store/);
  expect(await run('restore', restored, [join(folder, 'never')], 1)).toMatch(/broken off before its end/);
  rmSync(path);
  expect(await run('verify', restored, [], 1)).toMatch(/MISSING {2}test\/files:1 weights\.bin/);
  writeFileSync(path, weights);
  const stranger = join(restored.artifactStore, 'sha256', digest.slice(0, 2), digest.slice(0, 2).repeat(32));
  writeFileSync(stranger, 'left over');
  expect(await run('verify', restored)).toMatch(/UNKNOWN .*\n.*1 that no row refers to/);
});

test('restore refuses what is not empty', async () => {
  expect(await run('restore', source, [backup], 1)).toMatch(/An api or a worker is connected/);
  for (const program of [...restored.apis, ...restored.workers]) await program.stop();
  const world = filesIn(restored.artifactStore);
  expect(await run('restore', restored, [backup], 1)).toMatch(/database is not empty: there are rows in \w+/);
  expect(filesIn(restored.artifactStore)).toEqual(world);
  expect(await run('verify', restored)).toMatch(/are as they should be/);

  const stack = await newStack({ ARTIFACT_STORE: restored.artifactStore });
  expect(await run('restore', stack, [backup], 1)).toMatch(/belongs to another database.*npm run reset/);
  expect(await tablesOf(stack)).toEqual([]);
  await stack.stop();
});

test('a backup with a damaged byte is refused, and leaves nothing', async () => {
  const stack = await newStack();
  const { backup: manifest } = JSON.parse(readFileSync(join(backup, 'manifest.json'), 'utf8'));
  const digest = sha256(weights);
  for (const [path, words] of [
    [
      `blobs/${digest.slice(0, 2)}/${digest}`,
      /DAMAGED {2}test\/files:1 weights\.bin \(.*\n.*Nothing was restored/,
    ],
    [`tables-${manifest.id}/ledger_event.copy.gz`, /DAMAGED .*ledger_event.copy.gz is damaged/],
    ['manifest.json', /manifest\.json is damaged/],
  ] as const) {
    const whole = readFileSync(join(backup, path));
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(whole.length >> 1) ^ 1, whole.length >> 1);
    writeFileSync(join(backup, path), damaged);
    expect(await run('restore', stack, [backup], 1)).toMatch(words);
    if (path.startsWith('blobs')) expect(await run('verify', stack, [backup], 1)).toMatch(/DAMAGED/);
    writeFileSync(join(backup, path), whole);
  }
  expect(await tablesOf(stack)).toEqual([]);
  expect(existsSync(stack.artifactStore)).toBe(false);
  expect(await run('verify', stack, [backup])).toMatch(/are as they should be/);
  await stack.stop();
});

test('a backup that is killed leaves the one before as it was, or nothing to restore', async () => {
  const place = join(folder, 'killed');
  const kill = async (): Promise<void> => {
    const { entered, open } = gate((method, key) => method === 'GET' && key.endsWith(sha256(weights)));
    const session = begin('backup', source.environment, place);
    await reached(session, entered);
    session.signal('SIGKILL');
    await session.ended;
    open();
  };
  await kill();
  const stack = await newStack();
  expect(await run('restore', stack, [place], 1)).toMatch(/broken off before its end/);
  await source.createModelVersion('short', [fixtureFile('penguins/v1.onnx')]);
  await run('backup', source, [place]);
  const manifest = readFileSync(join(place, 'manifest.json'), 'utf8');
  const blobs = filesIn(join(place, 'blobs'));

  // The next one lacks a file.
  rmSync(join(place, 'blobs', sha256(weights).slice(0, 2)), { recursive: true });
  await kill();
  expect(readFileSync(join(place, 'manifest.json'), 'utf8')).toBe(manifest);
  // It copies what is not there, and lets go of what is not needed any more.
  await done(source, 'deleteVersion', { version: 'test/short:1' });
  expect(await run('backup', source, [place])).toMatch(/, 1 of them .* copied now/);
  expect(filesIn(join(place, 'blobs')).length).toBeLessThan(blobs.length);
  const { backup: second } = JSON.parse(readFileSync(join(place, 'manifest.json'), 'utf8'));
  expect(filesIn(join(place, 'blobs'))).toHaveLength(second.files.rows);
  expect(readdirSync(place).toSorted()).toEqual(
    ['.modelarium-backup', 'blobs', 'manifest.json', `tables-${second.id}`].toSorted(),
  );
  expect(await run('verify', stack, [place])).toMatch(/are as they should be/);
  await stack.stop();
});

test('a backup that is stopped by Ctrl-C leaves nothing that looks whole', async () => {
  const place = join(folder, 'stopped');
  const { entered, open } = gate((method, key) => method === 'GET' && key.endsWith(sha256(weights)));
  const session = begin('backup', source.environment, place);
  await reached(session, entered);
  session.signal('SIGINT');
  await session.shows(/Stopping/);
  open();
  expect(await session.ended).toBe(130);
  expect(readdirSync(place).toSorted()).toEqual(['.modelarium-backup', 'blobs']);
});

/** A database of a user who owns it and may do nothing else; its URL. */
async function owned(stack: Stack, owner: string): Promise<string> {
  const { db, close } = stack.openDatabase();
  const name = new URL(stack.databaseUrl).pathname.slice(1);
  await sql`create role ${sql.id(owner)} login password 'of-a-test'`.execute(db);
  await sql`alter database ${sql.id(name)} owner to ${sql.id(owner)}`.execute(db);
  await close();
  return Object.assign(new URL(stack.databaseUrl), { username: owner, password: 'of-a-test' }).href;
}

test('a restore that is killed goes on when it is run again, and nothing starts on it before', async () => {
  const place = `place-${randomBytes(6).toString('hex')}`;
  const stack = await newStack(server.environment(place));
  const environment = { ...stack.environment, DATABASE_URL: await owned(stack, place) };
  const { entered, open } = gate((method, key) => method === 'PUT' && key.startsWith(`${place}/sha256/`));
  const killed = begin('restore', environment, backup);
  await reached(killed, entered);
  killed.signal('SIGKILL');
  await killed.ended;
  open();
  await expect(stack.api.start()).rejects.toThrow(/Run `npm run restore -- <folder>` again/);
  const half = await run('backup', { environment }, [join(folder, 'half')], 1);
  expect(half).toMatch(/has not come to its end/);
  expect(await run('restore', { environment }, [backup])).toMatch(/going on with it/);
  expect(await run('verify', { environment })).toMatch(/are as they should be/);
  // Triggers and references are there as before.
  const database = stack.openDatabase();
  const { rows: found } = await sql<{ off: number; keys: number }>`
    select count(*) filter (where not tgisinternal and tgenabled <> 'O')::integer as off,
      (select count(*) from pg_constraint where contype = 'f' and convalidated)::integer as keys
    from pg_trigger`.execute(database.db);
  expect(found[0]).toMatchObject({ off: 0 });
  expect(found[0]?.keys).toBeGreaterThan(25);
  await database.close();
  await stack.stop();
});
