/**
 * A restore: the rows of a backup into an empty database, its files into an empty store, as an installation of its own.
 *
 * Everything of the backup is checked first. Then a mark in the database keeps everybody else from beginning on it until
 * all rows are in it, which is one transaction; a restore that was killed finds the mark and goes on.
 */
import { randomUUID } from 'node:crypto';
import { addAbortSignal } from 'node:stream';
import { openStore } from '../platform/artifact-store.open.ts';
import type { ArtifactStore } from '../platform/artifact-store.ts';
import { openSession, type Session } from '../platform/database.ts';
import { knownMigrations, migrate, migrateTo } from '../platform/migrate.ts';
import type { Place } from './backup.ts';
import { BackupError, reasonOf } from './backup.errors.ts';
import * as queries from './backup.queries.ts';
import type { BackupFolder } from './folder.ts';
import type { Manifest } from './manifest.ts';
import { sideBySide } from './side-by-side.ts';
import { verifyBackup } from './verify.ts';
import type { Watch } from './watch.ts';

const SIDE_BY_SIDE = 4;

/**
 * The manifest of a backup that can be restored here: all of it was read and is as it was written.
 * @throws BackupError, the signal's reason.
 */
export async function checkBackup(folder: BackupFolder, watch: Watch): Promise<Manifest> {
  const manifest = await folder.wholeManifest();
  checkMigrations(manifest, await knownMigrations());
  const { damaged } = await verifyBackup(folder, watch, ({ kind, text }) => watch.say(`${kind}  ${text}`));
  if (damaged > 0) {
    throw new BackupError(
      `The backup in ${folder.path} is damaged. Nothing was restored. Use another backup.`,
    );
  }
  return manifest;
}

/** @throws BackupError */
export function checkMigrations({ migrations }: Manifest, known: readonly string[]): void {
  const unknown = migrations.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new BackupError(
      `The backup was taken by a newer Modelarium: its migration ${unknown} is not known here. Restore with that version or a newer one.`,
    );
  }
  const other = migrations.findIndex((name, index) => name !== known[index]);
  if (other < 0) return;
  throw new BackupError(
    `The backup lacks migration ${known[other]}, which comes before ${migrations[other]} here. Restore with the version of Modelarium that made it.`,
  );
}

/**
 * Restores a checked backup.
 * @throws BackupError when there is something already, OverloadedError (no room), NotReadyError (the store), the signal's
 * reason.
 */
export async function restore(
  place: Place,
  folder: BackupFolder,
  manifest: Manifest,
  watch: Watch,
): Promise<void> {
  const lost = new AbortController();
  const session = await openSession({
    url: place.databaseUrl,
    name: 'modelarium restore',
    onLost: () => lost.abort(new BackupError('PostgreSQL went away. Run the restore again: it goes on.')),
  });
  const signal = AbortSignal.any([watch.signal, lost.signal]);
  let isBegun = false;
  try {
    if (!(await queries.tryLock(session, 'restore'))) {
      throw new BackupError('Another restore into this database is under way. Wait for its end.');
    }
    const { store, installation } = await begin(place, session, manifest, watch);
    isBegun = true;
    await migrateTo(place.databaseUrl, manifest.migrations.at(-1) as string);
    await copyFiles(store, folder, manifest, { ...watch, signal });
    signal.throwIfAborted();
    watch.say('Loading rows.');
    await load(session, folder, manifest, installation, signal);
  } catch (error) {
    if (isBegun)
      watch.say('The restore is not complete, and nothing starts on it. The same command again goes on.');
    watch.signal.throwIfAborted();
    if (lost.signal.aborted) throw lost.signal.reason;
    throw error;
  } finally {
    await session.close().catch(() => undefined);
  }
  await migrate(place.databaseUrl);
}

/** Sees to it that nothing is there, or goes on with what was begun; the database bears the mark then. */
async function begin(
  place: Place,
  session: Session,
  manifest: Manifest,
  watch: Watch,
): Promise<{ store: ArtifactStore; installation: string }> {
  const connected = await queries.countConnected(session);
  if (connected > 0) {
    throw new BackupError(
      `An api or a worker is connected to this database (${connected} connections). Stop them, then restore.`,
    );
  }
  const begun = await queries.unfinishedRestore(session);
  const installation = begun ?? (await emptyDatabase(session, manifest)) ?? randomUUID();
  if (begun === undefined) await queries.beginRestore(session, installation);
  else watch.say('A restore was begun here before; going on with it.');
  try {
    const store = await emptyStore(place, installation, begun !== undefined, watch);
    return { store, installation };
  } catch (error) {
    if (begun === undefined) await queries.endRestore(session).catch(() => undefined);
    throw error;
  }
}

const ELSEWHERE =
  'Restore into an empty one: `npm run reset` empties DATA_DIR, and another DATA_DIR, DATABASE_URL or ARTIFACT_STORE may be set.';

/** The id of an empty installation, where there is one. @throws BackupError when there are rows, or a newer schema. */
async function emptyDatabase(session: Session, { migrations }: Manifest): Promise<string | undefined> {
  const tables = await queries.listTables(session);
  const filled = await queries.findFilled(
    session,
    tables.filter(({ name }) => name !== 'installation'),
  );
  if (filled !== undefined) {
    throw new BackupError(
      `The database is not empty: there are rows in ${filled}. Nothing was changed. ${ELSEWHERE}`,
    );
  }
  const applied = await queries.appliedMigrations(session);
  const newer = applied.find((name, index) => name !== migrations[index]);
  if (newer !== undefined) {
    throw new BackupError(
      `The database has migration ${newer}, which the backup has not. Nothing was changed. Restore into a database in which nothing was started so far.`,
    );
  }
  return (await queries.has(session, 'installation')) ? queries.installationId(session) : undefined;
}

/** @throws BackupError when the store holds files, or is another database's. */
async function emptyStore(
  { config }: Place,
  installation: string,
  isBegun: boolean,
  { say }: Watch,
): Promise<ArtifactStore> {
  const onFault = (error: Error): void => say(`Artifact store: ${error.message}`);
  const store = await openStore(config, { databaseId: installation, onFault }).catch((error: unknown) => {
    const belongs = error instanceof Error && error.message.includes('belongs to another database');
    throw belongs ? new BackupError(`${error.message} Nothing was changed. ${ELSEWHERE}`) : error;
  });
  if (isBegun) {
    // Nobody uploads into it yet: what is staged, the restore before left.
    await store.sweepStaging(async () => new Set());
    return store;
  }
  for await (const _ of store.list()) {
    throw new BackupError(
      `The artifact store ${config.ARTIFACT_STORE} is not empty. Nothing was changed. ${ELSEWHERE}`,
    );
  }
  return store;
}

/** What is in the store under its digest got there whole. */
async function copyFiles(
  store: ArtifactStore,
  folder: BackupFolder,
  { id, files }: Manifest,
  watch: Watch,
): Promise<void> {
  watch.begin('Storing files', files.totalBytes);
  await sideBySide(folder.files(id), SIDE_BY_SIDE, async ({ digest, bytes, name }) => {
    watch.signal.throwIfAborted();
    if ((await store.sizeOf(digest)) !== bytes) {
      const staged = await store.stage(folder.readBlob(digest), bytes, bytes);
      if (staged.digest !== digest) {
        await store.discard(staged);
        throw new BackupError(
          `${name} was damaged in the backup just now (${folder.blob(digest)}). Look at its disk.`,
        );
      }
      await store.keep(staged);
    }
    watch.moved(bytes);
  });
}

/** All rows, and that the restore is over, or nothing. */
async function load(
  session: Session,
  folder: BackupFolder,
  manifest: Manifest,
  installation: string,
  signal: AbortSignal,
): Promise<void> {
  await session.query('begin');
  const there = await queries.listTables(session);
  await queries.addPartitions(session, manifest.partitions);
  const putBack = await queries.openForLoading(session, there);
  for (const table of manifest.tables) {
    // Not one of ours: somebody keeps tables of their own beside them.
    if (!there.some(({ name }) => name === table.name)) continue;
    const rows = await session
      .copyIn(queries.copyInto(table), addAbortSignal(signal, folder.unpack(manifest.id, table.name)))
      .catch((error: unknown) => {
        signal.throwIfAborted();
        throw new BackupError(`Table ${table.name} cannot be loaded: ${reasonOf(error)}`, { cause: error });
      });
    if (rows !== table.rows) {
      throw new BackupError(
        `Table ${table.name} has ${rows} rows in the backup, and ${table.rows} in its manifest.`,
      );
    }
  }
  for (const { name, last } of manifest.sequences) await queries.setSequence(session, name, last);
  await queries.setInstallation(session, installation);
  await queries.forgetProcesses(session);
  for (const statement of putBack) await session.query(statement);
  signal.throwIfAborted();
  await queries.endRestore(session);
  await session.query('commit');
  // The planner knows nothing yet of what came at once.
  await session.query('analyze');
}
