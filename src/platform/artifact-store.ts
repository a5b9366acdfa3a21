/**
 * Bytes by content: a file's name is its SHA-256. Uploads go to a staging file first, are hashed on the way, made
 * durable, and then moved to their name in one step, so a name never stands for half a file.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ValidationError } from './errors.ts';
import { identify, isAlive } from './process-identity.ts';

/** Bytes that have arrived and wait for their row. */
export interface StagedFile {
  readonly stagedAt: string;
  /** SHA-256, 64 lower-case hex digits. */
  readonly digest: string;
  readonly bytes: number;
}

export interface ArtifactStore {
  /**
   * Streams bytes into a staging file, with flat memory; nothing is left behind when the source fails.
   * @throws ValidationError when there are more than `maxBytes`.
   */
  stage(source: Readable, maxBytes: number): Promise<StagedFile>;
  /** Takes a local file over as staged (it is moved, not copied). */
  stageFile(path: string): Promise<StagedFile>;
  /** Moves a staged file to its digest's name; doing it twice is harmless. */
  keep(staged: StagedFile): Promise<void>;
  discard(staged: StagedFile): Promise<void>;
  /** Where a stored file lies on this host; check with `has` when in doubt. */
  pathOf(digest: string): string;
  has(digest: string): Promise<boolean>;
  remove(digest: string): Promise<void>;
  /** Removes staging files of processes that are gone from this host, and any older than a day. Returns how many. */
  sweepStaging(): Promise<number>;
}

/** A size limit on the way through; it fails the stream, so nothing past the limit is written. */
class Meter extends Transform {
  bytes = 0;
  readonly hash = createHash('sha256');
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    super();
    this.#maxBytes = maxBytes;
  }

  override _transform(
    chunk: Buffer,
    _encoding: string,
    done: (error?: Error | null, data?: Buffer) => void,
  ): void {
    this.bytes += chunk.length;
    if (this.bytes > this.#maxBytes) {
      done(
        ValidationError.of(['files'], `at most ${this.#maxBytes} bytes a file`, 'more', {
          hint: 'Raise MAX_FILE_BYTES.',
        }),
      );
      return;
    }
    this.hash.update(chunk);
    done(null, chunk);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * A store in a folder: this host's, or a POSIX volume shared by several.
 * @param hostId names this host in staging files, so that another host's are left alone.
 */
export async function openLocalStore(root: string, hostId: string): Promise<ArtifactStore> {
  const staging = join(root, 'staging');
  await mkdir(staging, { recursive: true, mode: 0o700 });
  const self = identify(process.pid);
  const mark = `${encodeURIComponent(hostId)}~${process.pid}~${self?.start ?? '0'}`;
  const pathOf = (digest: string): string => join(root, 'sha256', digest.slice(0, 2), digest);
  const newStagingPath = (): string => join(staging, `${mark}~${randomUUID()}`);

  async function stage(source: Readable, maxBytes: number): Promise<StagedFile> {
    const stagedAt = newStagingPath();
    const meter = new Meter(maxBytes);
    try {
      await pipeline(source, meter, createWriteStream(stagedAt, { flags: 'wx', mode: 0o600, flush: true }));
    } catch (error) {
      await rm(stagedAt, { force: true });
      throw error;
    }
    return { stagedAt, digest: meter.hash.digest('hex'), bytes: meter.bytes };
  }

  return {
    stage,
    stageFile: async (path) => {
      const staged = await stage(createReadStream(path), Number.MAX_SAFE_INTEGER);
      await rm(path, { force: true });
      return staged;
    },
    keep: async (staged) => {
      const target = pathOf(staged.digest);
      const folder = dirname(target);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      try {
        await rename(staged.stagedAt, target);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT' && (await exists(target))) return;
        throw error;
      }
      await syncFolder(folder);
    },
    discard: (staged) => rm(staged.stagedAt, { force: true }),
    pathOf,
    has: (digest) => exists(pathOf(digest)),
    remove: (digest) => rm(pathOf(digest), { force: true }),
    sweepStaging: () => sweep(staging, encodeURIComponent(hostId)),
  };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

const DAY_MS = 86_400_000;

async function sweep(staging: string, host: string): Promise<number> {
  let removed = 0;
  for (const name of await readdir(staging)) {
    const [owner, pid, start] = name.split('~');
    const path = join(staging, name);
    const age = await stat(path).then(
      (found) => Date.now() - found.mtimeMs,
      () => 0,
    );
    const orphaned = owner === host && pid && start && !isAlive({ pid: Number(pid), start });
    if (!orphaned && age < DAY_MS) continue;
    await rm(path, { force: true });
    removed += 1;
  }
  return removed;
}

/**
 * Ties a store to its database: the first one writes the id, every later one must find the same.
 * @throws Error when the folder belongs to another database, so that nothing is mixed or collected by mistake.
 */
export async function claimStore(root: string, databaseId: string): Promise<void> {
  const path = join(root, 'store-id');
  await mkdir(root, { recursive: true, mode: 0o700 });
  try {
    await writeFile(path, `${databaseId}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const found = (await readFile(path, 'utf8')).trim();
    if (found === databaseId) return;
    throw new Error(
      `The artifact store ${root} belongs to another database (${found}, expected ${databaseId}). ` +
        'Set ARTIFACT_STORE to the folder that goes with DATABASE_URL.',
      { cause: error },
    );
  }
}
