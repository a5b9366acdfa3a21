/** Artifacts in a folder: this host's, or a POSIX volume that several share. */
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import {
  access,
  constants,
  link,
  mkdir,
  open,
  opendir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { localUploads } from './artifact-store.local.resumable.ts';
import type { ArtifactStore, OpenFile, StagedFile } from './artifact-store.ts';
import { checkRange, type ByteRange } from './byte-range.ts';
import { DiskRoom, diskFault, onDisk } from './disk.ts';
import { NotFoundError } from './errors.ts';
import { FileWriter } from './file-writer.ts';
import { consume, digestOf, keepAlive, Tally } from './intake.ts';
import { pourFile } from './pour.ts';
import { isOrphaned, stagingMark, uploadIn, uploadName } from './staging.ts';

export interface LocalStoreOptions {
  readonly root: string;
  /** Names this host in what is staged, so that another host's is left alone. */
  readonly hostId: string;
  readonly databaseId: string;
  /** Room to leave on the disk. */
  readonly reserveBytes: number;
}

const READ_BYTES = 1024 ** 2;

/** @throws Error when the folder belongs to another database. */
export async function openLocalStore(options: LocalStoreOptions): Promise<ArtifactStore> {
  const { root, hostId } = options;
  await claim(root, options.databaseId);
  const staging = join(root, 'staging');
  await mkdir(staging, { recursive: true, mode: 0o700 });
  const mark = stagingMark(hostId);
  const room = new DiskRoom(staging, options.reserveBytes);
  const kept = join(root, 'sha256');
  const pathOf = (digest: string): string => join(kept, digest.slice(0, 2), digest);
  const newStagingPath = (): string => join(staging, `${mark}~${randomUUID()}`);
  const sizeOf = (digest: string): Promise<number | undefined> => onDisk(() => sizeAt(pathOf(digest)));

  async function stage(source: Readable, maxBytes: number, expectedBytes = 0): Promise<StagedFile> {
    const stagedAt = newStagingPath();
    keepAlive(source);
    try {
      const tally = new Tally(maxBytes, expectedBytes);
      await onDisk(() => room.require(expectedBytes));
      await write(source, stagedAt, tally, room);
      return { stagedAt, digest: tally.digest(), bytes: tally.bytes };
    } catch (error) {
      source.destroy();
      // What cannot be removed either is found by the sweep.
      await rm(stagedAt, { force: true }).catch(() => undefined);
      throw error;
    }
  }

  return {
    kind: 'local',
    stage,
    stageFile: async (path) => {
      const stagedAt = newStagingPath();
      try {
        await rename(path, stagedAt);
      } catch (error) {
        if (codeOf(error) !== 'EXDEV') throw diskFault(error);
        // From another disk: copied.
        const { size } = await stat(path);
        const staged = await stage(createReadStream(path, { highWaterMark: READ_BYTES }), size, size);
        await rm(path, { force: true });
        return staged;
      }
      try {
        return await onDisk(() => sealed(stagedAt));
      } catch (error) {
        await rm(stagedAt, { force: true });
        throw error;
      }
    },
    keep: (staged) => onDisk(() => keep(staged.stagedAt, pathOf(staged.digest))),
    discard: (staged) => onDisk(() => rm(staged.stagedAt, { force: true })),
    resumable: localUploads({
      room,
      pathOf: (id) => join(staging, uploadName(id)),
      isKept: async (digest, bytes) => (await sizeOf(digest)) === bytes,
      sealed,
    }),
    read: (digest, range) => onDisk(() => read(pathOf(digest), digest, range)),
    open: (digest, range) => onDisk(() => openPart(pathOf(digest), digest, range)),
    sizeOf,
    localise: async (digest, signal) => {
      signal?.throwIfAborted();
      if ((await sizeOf(digest)) === undefined) throw new NotFoundError(`File ${digest}`);
      return pathOf(digest);
    },
    remove: (digest) => onDisk(() => rm(pathOf(digest), { force: true })),
    removeMany: (digests, confirm) => {
      const files = digests.map((digest) => ({ path: pathOf(digest), aside: newStagingPath() }));
      return onDisk(() => removeAll(files, confirm));
    },
    list: () => list(kept),
    sweepStaging: (isLive) => sweep(staging, hostId, isLive),
    // A volume that is not mounted shows as a folder without it.
    check: () => onDisk(() => access(staging, constants.W_OK)),
  };
}

/** Reads a stream into a new file, durably. */
async function write(source: Readable, path: string, tally: Tally, room: DiskRoom): Promise<void> {
  const file = await onDisk(() => open(path, 'wx', 0o600));
  const writer = new FileWriter(file, 0, room.watch());
  try {
    await consume(source, (chunk) => {
      tally.add(chunk);
      return writer.add(chunk);
    });
    await writer.end();
    await onDisk(() => file.sync());
  } finally {
    await writer.settled();
    await file.close();
  }
}

/** A file that is whole, made durable. */
async function sealed(path: string, digest?: string): Promise<StagedFile> {
  const file = await open(path, 'r');
  try {
    await file.sync();
    const { size } = await file.stat();
    const stream = file.createReadStream({ autoClose: false, highWaterMark: READ_BYTES });
    return { stagedAt: path, digest: digest ?? (await digestOf(stream)), bytes: size };
  } finally {
    await file.close();
  }
}

async function keep(stagedAt: string, target: string): Promise<void> {
  const folder = dirname(target);
  if (await mkdir(folder, { recursive: true, mode: 0o700 })) await syncFolder(dirname(folder));
  try {
    await rename(stagedAt, target);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' && (await sizeAt(target)) !== undefined) return;
    throw error;
  }
  await syncFolder(folder);
}

/** So long a proof holds: whoever stood still for less has missed nothing. */
const PROOF_MS = 20;

/** Removes files: they are moved aside first, and put back where it turns out that somebody may have stored them anew. */
async function removeAll(
  files: readonly { readonly path: string; readonly aside: string }[],
  confirm: () => Promise<void> = async () => undefined,
): Promise<void> {
  try {
    let provenAt = -Infinity;
    for (const { path, aside } of files) {
      const now = performance.now();
      if (now - provenAt > PROOF_MS) {
        await confirm();
        provenAt = now;
      }
      await ifThere(rename(path, aside));
    }
    await confirm();
  } catch (error) {
    // What has been stored meanwhile stays.
    for (const { path, aside } of files) await ifThere(link(aside, path));
    throw error;
  } finally {
    for (const { aside } of files) await rm(aside, { force: true });
  }
}

/** Passes over a file that is not there, and one that is there already. */
async function ifThere(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'EEXIST') throw error;
  }
}

const openKept = (path: string, digest: string): Promise<FileHandle> =>
  open(path, 'r').catch((error: unknown) => {
    throw codeOf(error) === 'ENOENT' ? new NotFoundError(`File ${digest}`) : error;
  });

async function openPart(path: string, digest: string, range: ByteRange): Promise<OpenFile> {
  const file = await openKept(path, digest);
  try {
    const { size } = await file.stat();
    checkRange(range, size);
    const end = Math.min(range.end, size - 1);
    return {
      pour: async (into) => {
        try {
          await pourFile(file, range.start, end, into);
        } finally {
          await file.close();
        }
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function read(path: string, digest: string, range?: ByteRange): Promise<Readable> {
  const file = await openKept(path, digest);
  try {
    if (range) checkRange(range, (await file.stat()).size);
    return file.createReadStream({ ...range, highWaterMark: READ_BYTES });
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function* list(kept: string): AsyncGenerator<{ digest: string; bytes: number }> {
  try {
    for await (const folder of await opendir(kept)) {
      const path = join(kept, folder.name);
      for await (const { name } of await opendir(path)) {
        const bytes = await sizeAt(join(path, name));
        if (bytes !== undefined && /^[0-9a-f]{64}$/.test(name)) yield { digest: name, bytes };
      }
    }
  } catch (error) {
    // Nothing was kept so far.
    if (codeOf(error) !== 'ENOENT') throw diskFault(error);
  }
}

async function sweep(
  staging: string,
  hostId: string,
  isLive: (ids: readonly string[]) => Promise<ReadonlySet<string>>,
): Promise<number> {
  const uploads = new Map<string, string>();
  const orphaned: string[] = [];
  await onDisk(async () => {
    for await (const { name } of await opendir(staging)) {
      const path = join(staging, name);
      const id = uploadIn(name);
      if (id !== undefined) uploads.set(id, path);
      else {
        const found = await stat(path).catch(() => undefined);
        if (found && isOrphaned(name, hostId, found.mtime)) orphaned.push(path);
      }
    }
  });
  const live = uploads.size > 0 ? await isLive([...uploads.keys()]) : new Set<string>();
  for (const [id, path] of uploads) if (!live.has(id)) orphaned.push(path);
  await onDisk(async () => {
    for (const path of orphaned) await rm(path, { force: true });
  });
  return orphaned.length;
}

async function sizeAt(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
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
 * Ties a folder to a database: the first one writes its id, every later one must find the same.
 * @throws Error when it belongs to another, so that nothing is mixed or collected by mistake.
 */
async function claim(root: string, databaseId: string): Promise<void> {
  const path = join(root, 'store-id');
  await mkdir(root, { recursive: true, mode: 0o700 });
  try {
    await writeFile(path, `${databaseId}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    const found = (await readFile(path, 'utf8')).trim();
    if (found === databaseId) return;
    throw new Error(
      `The artifact store ${root} belongs to another database (${found}, expected ${databaseId}). ` +
        'Set ARTIFACT_STORE to the folder that goes with DATABASE_URL.',
      { cause: error },
    );
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
