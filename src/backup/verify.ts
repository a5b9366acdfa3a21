/** Whether bytes are what rows say of them: in the artifact store, and in a backup. Flat in memory, whatever there is. */
import type { ArtifactStore } from '../platform/artifact-store.ts';
import { NotFoundError } from '../platform/errors.ts';
import { consume, Tally } from '../platform/intake.ts';
import { holdingBytes, type Holding, type Place } from './backup.ts';
import * as queries from './backup.queries.ts';
import { KEPT_FILES, type BackupFolder, type ListedFile } from './folder.ts';
import type { Manifest } from './manifest.ts';
import { sideBySide } from './side-by-side.ts';
import type { Watch } from './watch.ts';
import type { Readable } from 'node:stream';

export interface Finding {
  /** UNKNOWN bytes take room and do no harm; anything else is damage. */
  readonly kind: 'MISSING' | 'DAMAGED' | 'UNKNOWN';
  /** Version and path, or file, and what is wrong with it. */
  readonly text: string;
}

export interface Verified {
  readonly files: number;
  readonly bytes: number;
  /** Files that nobody holds: they are about to be freed. */
  readonly waiting: number;
  readonly damaged: number;
  readonly unknown: number;
}

type Report = (finding: Finding) => void;

const SIDE_BY_SIDE = 4;
const BATCH = 500;

/** Counts what is found on its way to who asked. */
class Tallied {
  files = 0;
  bytes = 0;
  waiting = 0;
  damaged = 0;
  unknown = 0;
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  find(kind: Finding['kind'], text: string): void {
    if (kind === 'UNKNOWN') this.unknown += 1;
    else this.damaged += 1;
    this.#report({ kind, text });
  }

  counts(): Verified {
    const { files, bytes, waiting, damaged, unknown } = this;
    return { files, bytes, waiting, damaged, unknown };
  }
}

/** What is wrong with bytes, if anything is. @throws the stream's error, the signal's reason. */
async function faultOf(
  source: Readable,
  expected: { readonly digest: string; readonly bytes: number },
  watch: Pick<Watch, 'moved' | 'signal'>,
): Promise<string | undefined> {
  const tally = new Tally(Number.MAX_SAFE_INTEGER);
  try {
    await consume(
      source,
      (chunk) => {
        tally.add(chunk);
        watch.moved(chunk.length);
        return undefined;
      },
      watch.signal,
    );
  } finally {
    source.destroy();
  }
  const digest = tally.digest();
  if (digest !== expected.digest) return `its bytes have SHA-256 ${digest}, expected ${expected.digest}`;
  if (tally.bytes !== expected.bytes) return `it has ${tally.bytes} bytes, expected ${expected.bytes}`;
  return undefined;
}

/**
 * Hashes every file of the artifact store and compares with the rows, both ways, while everything runs.
 * @throws BackupError, NotReadyError (the store), the signal's reason.
 */
export function verifyStore(place: Place, watch: Watch, report: Report): Promise<Verified> {
  return holdingBytes(place, watch, async ({ session, store, signal }) => {
    const found = new Tallied(report);
    const seen = { ...watch, signal };
    await compareRows({ session, store, signal }, found);
    let total = 0;
    for await (const { bytes } of store.list()) total += bytes;
    watch.begin('Hashing files', total);
    await sideBySide(batches(store.list(), BATCH), 1, async (batch) => {
      // Asked after they were listed: bytes have a row before they have a name.
      const known = await queries.findKnown(
        session,
        batch.map(({ digest }) => digest),
      );
      await sideBySide(fromArray(batch), SIDE_BY_SIDE, (file) =>
        lookAt(file, known, { session, store, signal: seen.signal }, seen, found),
      );
    });
    return found.counts();
  });
}

/** Every file that rows hold is there, and every row says the same of it. */
async function compareRows({ session, store, signal }: Holding, found: Tallied): Promise<void> {
  for (const name of await queries.listMismatched(session)) {
    found.find('DAMAGED', `${name}: its row and that of its bytes differ`);
  }
  for (let after = ''; ;) {
    const held = await queries.listHeld(session, after, BATCH);
    await sideBySide(fromArray(held), SIDE_BY_SIDE, async ({ digest }) => {
      signal.throwIfAborted();
      if ((await store.sizeOf(digest)) !== undefined) return;
      found.find(
        'MISSING',
        `${await namesOf(session, digest)}: its bytes (SHA-256 ${digest}) are not in the artifact store`,
      );
    });
    const last = held.at(-1);
    if (!last || held.length < BATCH) return;
    after = last.digest;
  }
}

async function lookAt(
  { digest, bytes }: { readonly digest: string; readonly bytes: number },
  known: ReadonlyMap<string, queries.Known>,
  { session, store, signal }: Holding,
  watch: Watch,
  found: Tallied,
): Promise<void> {
  signal.throwIfAborted();
  const row = known.get(digest);
  if (!row) {
    watch.moved(bytes);
    return found.find('UNKNOWN', `${digest}: ${bytes} bytes in the artifact store that no row refers to`);
  }
  const fault = await readFault(store, { digest, bytes: row.bytes }, watch);
  if (fault === undefined) {
    found.files += 1;
    found.bytes += bytes;
    if (!row.isHeld) found.waiting += 1;
  } else if (row.isHeld) found.find('DAMAGED', `${await namesOf(session, digest)}: ${fault}`);
  else found.find('DAMAGED', `${digest}: ${fault}; nobody holds it, and it is about to be freed`);
}

async function readFault(
  store: ArtifactStore,
  expected: { readonly digest: string; readonly bytes: number },
  watch: Watch,
): Promise<string | undefined> {
  try {
    return await faultOf(await store.read(expected.digest), expected, watch);
  } catch (error) {
    if (error instanceof NotFoundError) return 'it was taken out of the artifact store just now';
    throw error;
  }
}

async function namesOf(session: Holding['session'], digest: string): Promise<string> {
  const names = await queries.namesOf(session, digest);
  return names.length > 0 ? names.join(', ') : digest;
}

/**
 * Checks a backup: its manifest, its tables and every file that it names.
 * @throws BackupError when there is no whole backup, the signal's reason.
 */
export async function verifyBackup(folder: BackupFolder, watch: Watch, report: Report): Promise<Verified> {
  const manifest = await folder.wholeManifest();
  const found = new Tallied(report);
  for (const table of [...manifest.tables, { name: KEPT_FILES, ...manifest.files }]) {
    const fault = await folder.faultOf(manifest.id, table.name, table, watch.signal);
    if (fault !== undefined) found.find('DAMAGED', fault);
  }
  // What a damaged list says is no use.
  if (found.damaged === 0) await verifyFiles(folder, manifest, watch, found);
  return found.counts();
}

async function verifyFiles(
  folder: BackupFolder,
  { id, files }: Manifest,
  watch: Watch,
  found: Tallied,
): Promise<void> {
  watch.begin('Hashing the backup', files.totalBytes);
  await sideBySide(folder.files(id), SIDE_BY_SIDE, async (file: ListedFile) => {
    watch.signal.throwIfAborted();
    const where = `${file.name} (${folder.blob(file.digest)})`;
    if ((await folder.sizeOf(file.digest)) === undefined)
      return found.find('MISSING', `${where}: it is not there`);
    const fault = await faultOf(folder.readBlob(file.digest), file, watch);
    if (fault !== undefined) return found.find('DAMAGED', `${where}: ${fault}`);
    found.files += 1;
    found.bytes += file.bytes;
  });
}

async function* fromArray<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function* batches<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
