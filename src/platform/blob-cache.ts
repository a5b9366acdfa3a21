/**
 * A host's copies of files that are kept elsewhere, named by their digest. They are fetched under another name, checked
 * and made durable first, and each process checks those that it finds once more before it trusts them.
 */
import { createReadStream } from 'node:fs';
import { link, mkdir, open, opendir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { ownName, removeAbandoned } from './abandoned.ts';
import { DiskRoom, onDisk } from './disk.ts';
import { FileWriter } from './file-writer.ts';
import { consume, digestOf, Tally } from './intake.ts';
import { identify, isAlive } from './process-identity.ts';

export interface BlobCacheOptions {
  readonly folder: string;
  /** Most that the copies take together; what was used within the last minute stays all the same. */
  readonly maxBytes: number;
  /** Room to leave on the disk. */
  readonly reserveBytes: number;
  /** In bytes. @throws NotFoundError */
  readonly sizeOf: (digest: string) => Promise<number>;
  readonly read: (digest: string, bytes: number, signal: AbortSignal) => Promise<Readable>;
}

/** Somebody who was just told a copy's path has not opened it yet. */
const IN_USE_MS = 60_000;
const LOOK_AGAIN_MS = 50;
const READ_BYTES = 1024 ** 2;

interface Copy {
  readonly digest: string;
  readonly bytes: number;
  readonly usedAt: number;
}

/** A file as it was when its bytes were checked. */
interface Checked {
  readonly inode: number;
  readonly bytes: number;
}

interface Fetching {
  readonly path: Promise<string>;
  readonly abort: AbortController;
  waiting: number;
}

export class BlobCache {
  readonly #options: BlobCacheOptions;
  readonly #room: DiskRoom;
  readonly #fetching = new Map<string, Fetching>();
  /** What this process has checked, by digest. */
  readonly #checked = new Map<string, Checked>();

  constructor(options: BlobCacheOptions) {
    this.#options = options;
    this.#room = new DiskRoom(options.folder, options.reserveBytes);
  }

  /** The path of a checked copy; fetched once for all who ask, and no longer than somebody does. */
  async pathOf(digest: string, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    let fetching = this.#fetching.get(digest);
    if (!fetching) {
      const abort = new AbortController();
      const path = onDisk(() => this.#obtain(digest, abort.signal));
      fetching = { path, abort, waiting: 0 };
      this.#fetching.set(digest, fetching);
      const forget = (): void => void this.#fetching.delete(digest);
      path.then(forget, forget);
    }
    fetching.waiting += 1;
    try {
      return await until(fetching.path, signal);
    } finally {
      fetching.waiting -= 1;
      if (fetching.waiting === 0) {
        // Whoever asks from now on must not wait for what is given up.
        if (this.#fetching.get(digest) === fetching) this.#fetching.delete(digest);
        fetching.abort.abort();
      }
    }
  }

  /** Takes copies away where they are. */
  async forget(digests: readonly string[]): Promise<void> {
    for (const digest of digests) {
      this.#checked.delete(digest);
      await rm(this.#at(digest), { force: true });
    }
  }

  async #obtain(digest: string, signal: AbortSignal): Promise<string> {
    await mkdir(this.#options.folder, { recursive: true, mode: 0o700 });
    const present = await this.#find(digest);
    if (present !== undefined) return present;
    const release = await this.#takeTurn(digest, signal);
    try {
      return (await this.#find(digest)) ?? (await this.#fetch(digest, signal));
    } finally {
      await release();
    }
  }

  /** A copy that is there and whole; one that is not is taken away. */
  async #find(digest: string): Promise<string | undefined> {
    const path = this.#at(digest);
    try {
      if (await this.#isWhole(path, digest)) {
        const now = new Date();
        await utimes(path, now, now);
        return path;
      }
    } catch (error) {
      // Not there, or taken away for another in this very moment.
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    await rm(path, { force: true });
    return undefined;
  }

  async #isWhole(path: string, digest: string): Promise<boolean> {
    const { size: bytes, ino: inode } = await stat(path);
    const checked = this.#checked.get(digest);
    if (checked?.inode === inode && checked.bytes === bytes) return true;
    if ((await digestOf(createReadStream(path, { highWaterMark: READ_BYTES }))) !== digest) return false;
    this.#checked.set(digest, { inode, bytes });
    return true;
  }

  async #fetch(digest: string, signal: AbortSignal): Promise<string> {
    const { folder, sizeOf, read } = this.#options;
    const bytes = await sizeOf(digest);
    await this.#makeRoom(bytes);
    const building = join(folder, ownName());
    try {
      const file = await open(building, 'wx', 0o600);
      const writer = new FileWriter(file, 0, this.#room.watch());
      const tally = new Tally(Number.MAX_SAFE_INTEGER);
      const source = await read(digest, bytes, signal).catch(async (error: unknown) => {
        await file.close();
        throw error;
      });
      try {
        const take = (chunk: Buffer): Promise<void> | undefined => {
          tally.add(chunk);
          return writer.add(chunk);
        };
        await consume(source, take, signal);
        await writer.end();
        await file.sync();
      } finally {
        source.destroy();
        await writer.settled();
        await file.close();
      }
      const found = tally.digest();
      if (found !== digest) {
        throw new Error(`File ${digest} is damaged in the artifact store: its bytes have SHA-256 ${found}.`);
      }
      this.#checked.set(digest, { inode: (await stat(building)).ino, bytes });
      await rename(building, this.#at(digest));
      return this.#at(digest);
    } catch (error) {
      await rm(building, { force: true });
      throw error;
    }
  }

  /** Takes away what was used least recently, until so many bytes more fit both limits. */
  async #makeRoom(bytes: number): Promise<void> {
    const copies = await Array.fromAsync(this.#copies());
    let total = copies.reduce((sum, copy) => sum + copy.bytes, bytes);
    let left = await this.#room.left();
    const free = copies.filter(({ usedAt }) => Date.now() - usedAt > IN_USE_MS);
    for (const copy of free.toSorted((a, b) => a.usedAt - b.usedAt)) {
      if (total <= this.#options.maxBytes && left >= bytes) break;
      await this.forget([copy.digest]);
      total -= copy.bytes;
      left += copy.bytes;
    }
    await this.#room.require(bytes);
  }

  async *#copies(): AsyncGenerator<Copy> {
    for await (const { name: digest } of await opendir(this.#options.folder)) {
      if (!/^[0-9a-f]{64}$/.test(digest)) continue;
      const found = await stat(this.#at(digest)).catch(() => undefined);
      if (found) yield { digest, bytes: found.size, usedAt: found.mtimeMs };
    }
  }

  #at(digest: string): string {
    return join(this.#options.folder, digest);
  }

  /**
   * One process of this host at a time fetches a file; the others wait for its copy. A file that names its holder is
   * enough for that: two who take over from a dead one at the same moment would both fetch, which costs time only.
   */
  async #takeTurn(digest: string, signal: AbortSignal): Promise<() => Promise<void>> {
    const { folder } = this.#options;
    await removeAbandoned(folder);
    const path = join(folder, `${digest}.fetching`);
    const mine = join(folder, ownName());
    await writeFile(mine, `${process.pid} ${identify(process.pid)?.start ?? '0'}`, { mode: 0o600 });
    try {
      for (;;) {
        try {
          // With its content, which a file that is made at this path would not have at once.
          await link(mine, path);
          return () => rm(path, { force: true });
        } catch (error) {
          if (codeOf(error) !== 'EEXIST') throw error;
        }
        const [pid, start] = (await readFile(path, 'utf8').catch(() => '')).split(' ');
        const isLeft = pid && start && !isAlive({ pid: Number(pid), start });
        if (isLeft) await rm(path, { force: true });
        else await delay(LOOK_AGAIN_MS, undefined, { signal });
      }
    } finally {
      await rm(mine, { force: true });
    }
  }
}

/** What comes of work, or the signal's reason. */
async function until<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return work;
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason as Error);
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
