/** Room on a disk, and what its failures mean to a caller. */
import { statfs } from 'node:fs/promises';
import { NotReadyError, OverloadedError } from './errors.ts';

const CHECK_EVERY_BYTES = 64 * 1024 ** 2;
const RETRY_MS = 30_000;

function noRoom(cause?: unknown): OverloadedError {
  const error = new OverloadedError(
    'There is no room left for these bytes where they would be stored.',
    RETRY_MS,
    'Free room on the disk, or lower DISK_RESERVE_BYTES, which must stay free.',
  );
  if (cause !== undefined) error.cause = cause;
  return error;
}

/**
 * What a failure of the disk is to whoever wanted bytes stored or read: no room, or not ready; other errors stay
 * themselves.
 */
export function diskFault(error: unknown): unknown {
  if (!(error instanceof Error) || !('errno' in error) || !('code' in error)) return error;
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT') return noRoom(error);
  const fault = new NotReadyError(
    `The artifact store's disk failed (${String(error.code)}).`,
    RETRY_MS,
    'Try again; if it stays so, look at the disk and its limits.',
  );
  fault.cause = error;
  return fault;
}

/** Runs work on the disk; its failures become ones that a caller can be told. */
export async function onDisk<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw diskFault(error);
  }
}

/** Sees to it that room stays free on the disk of a folder. */
export class DiskRoom {
  readonly #folder: string;
  readonly #reserveBytes: number;

  constructor(folder: string, reserveBytes: number) {
    this.#folder = folder;
    this.#reserveBytes = reserveBytes;
  }

  /** What may still be written, in bytes; below zero when the reserve itself is touched. */
  async left(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#folder);
    return bavail * bsize - this.#reserveBytes;
  }

  /** @throws OverloadedError when the reserve would be touched by so many bytes more. */
  async require(bytes: number): Promise<void> {
    if ((await this.left()) < bytes) throw noRoom();
  }

  /** A watch for one upload: looks again after every 64 MiB that are announced to it. */
  watch(): (bytes: number) => Promise<void> {
    let unseen = 0;
    return async (bytes) => {
      unseen += bytes;
      if (unseen < CHECK_EVERY_BYTES) return;
      unseen = 0;
      await this.require(0);
    };
  }
}
