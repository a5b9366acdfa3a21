/**
 * A backup: all rows of one moment, and the bytes that they refer to, in a folder. It is taken while everything runs;
 * bytes are not freed meanwhile.
 */
import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { ArtifactStore } from '../platform/artifact-store.ts';
import { openStore } from '../platform/artifact-store.open.ts';
import type { StoreConfig } from '../platform/config.ts';
import { openSession, type Session } from '../platform/database.ts';
import { NotFoundError } from '../platform/errors.ts';
import { UnfinishedRestoreError } from '../platform/migrate.ts';
import { BackupError } from './backup.errors.ts';
import * as queries from './backup.queries.ts';
import { KEPT_FILES, notInStore, type BackupFolder, type ListedFile } from './folder.ts';
import type { Manifest } from './manifest.ts';
import { sideBySide } from './side-by-side.ts';
import type { Watch } from './watch.ts';

/** Where an installation's data are. */
export interface Place {
  readonly databaseUrl: string;
  readonly config: StoreConfig;
}

const SIDE_BY_SIDE = 4;
/** A connection that is silent for long may be cut, and the lock with it. */
const PING_MS = 20_000;

export interface Holding {
  readonly session: Session;
  readonly store: ArtifactStore;
  /** What was asked for, or that PostgreSQL went away. */
  readonly signal: AbortSignal;
}

/**
 * Runs work during which no bytes are freed that rows refer to.
 * @throws BackupError when there is no installation, or PostgreSQL goes away.
 */
export async function holdingBytes<T>(
  { databaseUrl, config }: Place,
  { signal, say }: Watch,
  work: (holding: Holding) => Promise<T>,
): Promise<T> {
  const lost = new AbortController();
  const session = await openSession({
    url: databaseUrl,
    name: 'modelarium backup',
    onLost: () => lost.abort(new BackupError('PostgreSQL went away. Run this again once it is back.')),
  });
  const ping = setInterval(() => void session.query('select').catch(() => undefined), PING_MS);
  try {
    if (await queries.unfinishedRestore(session)) throw new UnfinishedRestoreError();
    if (!(await queries.has(session, 'installation'))) {
      throw new BackupError('There is no installation in this database. Look at DATABASE_URL and DATA_DIR.');
    }
    await queries.holdBytes(session);
    const onFault = (error: Error): void => say(`Artifact store: ${error.message}`);
    const store = await openStore(config, { databaseId: await queries.installationId(session), onFault });
    return await work({ session, store, signal: AbortSignal.any([signal, lost.signal]) });
  } catch (error) {
    signal.throwIfAborted();
    if (lost.signal.aborted) throw lost.signal.reason;
    throw error;
  } finally {
    clearInterval(ping);
    await session.close().catch(() => undefined);
  }
}

export interface BackedUp {
  readonly manifest: Manifest;
  /** Copied now; the other ones were there already. */
  readonly copiedFiles: number;
  readonly copiedBytes: number;
}

/**
 * Takes a backup into a folder. The one that was in it before counts until this one is whole.
 * @throws BackupError, OverloadedError (no room), NotReadyError (the store), the signal's reason.
 */
export function backUp(place: Place, folder: BackupFolder, watch: Watch): Promise<BackedUp> {
  return holdingBytes(place, watch, async ({ session, store, signal }) => {
    const installation = await queries.installationId(session);
    if (!(await queries.tryLock(session, `backup into ${folder.path}`))) {
      throw new BackupError(
        `Another backup into ${folder.path} is under way. Wait for its end, or name another folder.`,
      );
    }
    await folder.prepare(installation);
    const id = randomUUID();
    try {
      const manifest = await packRows(session, folder, { id, installation }, { ...watch, signal });
      const copied = await copyFiles(place, store, folder, manifest, { ...watch, signal });
      await folder.finish(manifest);
      await dropUnlisted(folder, manifest);
      return { manifest, ...copied };
    } catch (error) {
      await folder.forget(id).catch(() => undefined);
      throw error;
    }
  });
}

/** All tables as they are at one moment, and the list of files that they refer to. */
async function packRows(
  session: Session,
  folder: BackupFolder,
  { id, installation }: { readonly id: string; readonly installation: string },
  { signal }: Pick<Watch, 'signal'>,
): Promise<Manifest> {
  const pack = async (name: string, copy: string) => {
    let packed = { bytes: 0, sha256: '' };
    const rows = await session.copyOut(copy, async (source: Readable) => {
      packed = await folder.pack(id, name, source, signal);
    });
    return { rows, ...packed };
  };
  await queries.beginSnapshot(session);
  const migrations = await queries.appliedMigrations(session);
  const at = new Date().toISOString();
  const tables: Manifest['tables'] = [];
  for (const table of await queries.listTables(session)) {
    tables.push({
      name: table.name,
      columns: [...table.columns],
      ...(await pack(table.name, queries.copyTable(table))),
    });
  }
  const partitions = await queries.listPartitions(session);
  const files = await pack(KEPT_FILES, queries.copyFiles);
  await session.query('commit');
  // Numbers that were given since then are given, too: behind the snapshot a sequence may only be further.
  const sequences = await queries.listSequences(session);
  let totalBytes = 0;
  for await (const { bytes } of folder.files(id)) totalBytes += bytes;
  return {
    format: 1,
    id,
    at,
    installation,
    migrations,
    tables,
    partitions,
    sequences,
    files: { ...files, totalBytes },
  };
}

/** Files that are in the folder already are believed to be what they were when they were copied: `verify` looks. */
async function copyFiles(
  { config }: Place,
  store: ArtifactStore,
  folder: BackupFolder,
  { id }: Manifest,
  watch: Watch,
): Promise<{ copiedFiles: number; copiedBytes: number }> {
  let [copiedFiles, copiedBytes] = [0, 0];
  const missing = async function* (): AsyncGenerator<ListedFile> {
    for await (const file of folder.files(id))
      if ((await folder.sizeOf(file.digest)) !== file.bytes) yield file;
  };
  for await (const { bytes } of missing()) copiedBytes += bytes;
  await folder.requireRoom(copiedBytes, config.DISK_RESERVE_BYTES);
  watch.begin('Copying files', copiedBytes);
  await sideBySide(missing(), SIDE_BY_SIDE, async (file) => {
    watch.signal.throwIfAborted();
    const source = await store.read(file.digest).catch((error: unknown) => {
      throw error instanceof NotFoundError ? notInStore(file, 'missing') : error;
    });
    await folder.keep(file, source, watch);
    copiedFiles += 1;
  });
  return { copiedFiles, copiedBytes };
}

/** Both go by digest, so one pass beside each other finds what the list does not name. */
async function dropUnlisted(folder: BackupFolder, { id }: Manifest): Promise<void> {
  const listed = folder.files(id);
  let next = await listed.next();
  for await (const digest of folder.blobs()) {
    while (!next.done && next.value.digest < digest) next = await listed.next();
    if (next.done || next.value.digest !== digest) await folder.removeBlob(digest);
  }
  await listed.return(undefined);
}
