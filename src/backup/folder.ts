/**
 * A backup's folder. `blobs/ab/<digest>` are files as they are, kept from one backup to the next; `tables-<id>/` are the
 * rows of one backup; `manifest.json` names the one that counts. What it does not name is left of one that was broken off,
 * and goes with the next.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import {
  chmod,
  mkdir,
  open,
  opendir,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { DiskRoom } from '../platform/disk.ts';
import { FileWriter } from '../platform/file-writer.ts';
import { consume, digestOf, Tally } from '../platform/intake.ts';
import { BackupError } from './backup.errors.ts';
import { printManifest, readManifest, type Manifest, type PackedFile } from './manifest.ts';

const MARKER = '.modelarium-backup';
const MANIFEST = 'manifest.json';
const READ_BYTES = 1024 ** 2;
/** The list of kept files; no table has such a name. */
export const KEPT_FILES = 'kept-files';

/** A kept file, as the list of a backup names it. */
export interface ListedFile {
  readonly digest: string;
  readonly bytes: number;
  /** Version and path, for a person. */
  readonly name: string;
}

export class BackupFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes it ready for a backup of an installation.
   * @throws BackupError when it holds something else.
   */
  async prepare(installation: string): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const found = await readFile(join(this.path, MARKER), 'utf8').catch(() => undefined);
    if (found === undefined) {
      if ((await readdir(this.path)).length > 0) {
        throw new BackupError(
          `${this.path} holds something that is no backup: left as it is. Name a folder that is empty or not there yet.`,
        );
      }
      // Also one that was there before: what comes into it is confidential.
      await chmod(this.path, 0o700);
      await writeFile(join(this.path, MARKER), `${installation}\n`, { mode: 0o600 });
    } else if (found.trim() !== installation) {
      throw new BackupError(
        `${this.path} holds a backup of another installation (${found.trim()}, this one is ${installation}). Name another folder.`,
      );
    }
    // A manifest that is damaged names nothing that is worth keeping.
    const before = await this.manifest().catch(() => undefined);
    await this.#clean(before?.id);
    for (const name of ['blobs', 'staging'])
      await mkdir(join(this.path, name), { recursive: true, mode: 0o700 });
  }

  /** Undefined where there is no whole backup. @throws BackupError for a damaged one. */
  manifest(): Promise<Manifest | undefined> {
    return readManifest(join(this.path, MANIFEST));
  }

  /** @throws BackupError when there is no whole backup, or a damaged one. */
  async wholeManifest(): Promise<Manifest> {
    const found = await this.manifest();
    if (found) return found;
    const isBegun = await stat(join(this.path, MARKER)).catch(() => undefined);
    throw new BackupError(
      isBegun
        ? `The backup in ${this.path} was broken off before its end: there is nothing in it to use. Run \`npm run backup\` on that folder again, or name another one.`
        : `There is no backup in ${this.path}. Name the folder that \`npm run backup\` was given.`,
    );
  }

  /** Removes the rows of every backup but one, and what was on its way. */
  async #clean(keep: string | undefined): Promise<void> {
    for (const name of await readdir(this.path)) {
      const isLeft = name === 'staging' || (name.startsWith('tables-') && name !== `tables-${keep}`);
      if (isLeft) await rm(join(this.path, name), { recursive: true, force: true });
    }
  }

  /** Writes rows as they come, compressed and durably. The count is known to whoever brings them. */
  async pack(
    id: string,
    name: string,
    rows: Readable,
    signal: AbortSignal,
  ): Promise<Omit<PackedFile, 'rows'>> {
    await mkdir(this.#tables(id), { recursive: true, mode: 0o700 });
    const path = this.packed(id, name);
    const tally = new Tally(Number.MAX_SAFE_INTEGER);
    const counted = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        tally.add(chunk);
        done(null, chunk);
      },
    });
    const file = createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true });
    await pipeline(rows, createGzip({ level: 4 }), counted, file, { signal });
    return { bytes: tally.bytes, sha256: tally.digest() };
  }

  packed(id: string, name: string): string {
    return join(this.#tables(id), `${name}.copy.gz`);
  }

  #tables(id: string): string {
    return join(this.path, `tables-${id}`);
  }

  /** The rows of a packed file, as COPY takes them. */
  unpack(id: string, name: string): Readable {
    const source = createReadStream(this.packed(id, name), { highWaterMark: READ_BYTES });
    const unpacked = createGunzip();
    pipeline(source, unpacked).catch(() => undefined); // Its failure becomes that of what is read.
    return unpacked;
  }

  /** What is wrong with a packed file, if anything is. */
  async faultOf(
    id: string,
    name: string,
    expected: PackedFile,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const path = this.packed(id, name);
    try {
      const digest = await digestOf(createReadStream(path, { highWaterMark: READ_BYTES }), signal);
      return digest === expected.sha256 ? undefined : `${path} is damaged: its SHA-256 is not the manifest's`;
    } catch (error) {
      signal.throwIfAborted();
      return `${path} cannot be read: ${(error as Error).message}`;
    }
  }

  /** The kept files of a backup, by digest, with flat memory. */
  async *files(id: string): AsyncGenerator<ListedFile> {
    for await (const line of linesOf(this.unpack(id, KEPT_FILES))) {
      const [digest = '', bytes = '', name = ''] = line.split('\t');
      yield { digest, bytes: Number(bytes), name };
    }
  }

  blob(digest: string): string {
    return join(this.path, 'blobs', digest.slice(0, 2), digest);
  }

  /** In bytes; undefined when it is not there. */
  async sizeOf(digest: string): Promise<number | undefined> {
    return (await stat(this.blob(digest)).catch(() => undefined))?.size;
  }

  readBlob(digest: string): Readable {
    return createReadStream(this.blob(digest), { highWaterMark: READ_BYTES });
  }

  /** @throws OverloadedError when there is no room for so many bytes. */
  async requireRoom(bytes: number, reserveBytes: number): Promise<void> {
    await new DiskRoom(this.path, reserveBytes).require(bytes);
  }

  /**
   * Keeps bytes under their digest, durably and in one step.
   * @throws BackupError when they are not those of the digest, the signal's reason.
   */
  async keep(file: ListedFile, source: Readable, watch: { moved(bytes: number): void; signal: AbortSignal }) {
    const staged = join(this.path, 'staging', file.digest);
    const hash = createHash('sha256');
    const handle = await open(staged, 'w', 0o600);
    const writer = new FileWriter(handle, 0, async () => undefined);
    try {
      await consume(
        source,
        (chunk) => {
          hash.update(chunk);
          watch.moved(chunk.length);
          return writer.add(chunk);
        },
        watch.signal,
      );
      await writer.end();
      await handle.sync();
    } finally {
      source.destroy();
      await writer.settled();
      await handle.close();
    }
    if (hash.digest('hex') !== file.digest) throw notInStore(file, 'damaged');
    const target = this.blob(file.digest);
    await mkdir(join(target, '..'), { recursive: true, mode: 0o700 });
    await rename(staged, target);
  }

  /** From now on this backup is the one that counts; what only the one before needed goes. */
  async finish(manifest: Manifest): Promise<void> {
    for await (const folder of await opendir(join(this.path, 'blobs'))) {
      await syncFolder(join(this.path, 'blobs', folder.name));
    }
    await syncFolder(join(this.path, 'blobs'));
    await syncFolder(this.#tables(manifest.id));
    const next = join(this.path, 'staging', MANIFEST);
    await writeFile(next, printManifest(manifest), { mode: 0o600, flush: true });
    await rename(next, join(this.path, MANIFEST));
    await syncFolder(this.path);
    await this.#clean(manifest.id);
  }

  /** Forgets a backup that does not come to its end. */
  async forget(id: string): Promise<void> {
    await rm(this.#tables(id), { recursive: true, force: true });
    await rm(join(this.path, 'staging'), { recursive: true, force: true });
  }

  /** Digests of everything that lies here, in order, folder by folder. */
  async *blobs(): AsyncGenerator<string> {
    const root = join(this.path, 'blobs');
    for (const folder of (await readdir(root).catch((): string[] => [])).toSorted()) {
      for (const name of (await readdir(join(root, folder))).toSorted()) yield name;
    }
  }

  async removeBlob(digest: string): Promise<void> {
    await rm(this.blob(digest), { force: true });
  }
}

/** A backup that lacks a file would be taken for whole one day. */
export const notInStore = ({ name, digest }: ListedFile, how: 'damaged' | 'missing'): BackupError =>
  new BackupError(
    `${name} (SHA-256 ${digest}) is ${how} in the artifact store. \`npm run verify\` tells of all such files. ` +
      'Bring its bytes back from an older backup, or delete what holds it; then back up again.',
  );

async function* linesOf(source: Readable): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of source.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
