/**
 * Resumable uploads in a folder: one file each, whose size is the offset. Writes are positional, so whoever goes on at
 * an offset writes to the same place, also where a slower process has been there; that one asks before each write.
 */
import { open, rm, stat } from 'node:fs/promises';
import type { ResumableUploads, StagedFile } from './artifact-store.ts';
import { onDisk, type DiskRoom } from './disk.ts';
import { FileWriter } from './file-writer.ts';
import { consume, keepAlive } from './intake.ts';
import { checkOffset, notBegun, notWhole, upTo } from './resumable.ts';

export interface LocalUploadsOptions {
  readonly room: DiskRoom;
  readonly pathOf: (id: string) => string;
  readonly isKept: (digest: string, bytes: number) => Promise<boolean>;
  readonly sealed: (path: string, digest?: string) => Promise<StagedFile>;
}

export function localUploads({ room, pathOf, isKept, sealed }: LocalUploadsOptions): ResumableUploads {
  const offsetOf = (id: string): Promise<number | undefined> =>
    onDisk(() =>
      stat(pathOf(id)).then(
        ({ size }) => size,
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOENT') return undefined;
          throw error;
        },
      ),
    );

  return {
    begin: (id, bytes) =>
      onDisk(async () => {
        await room.require(bytes - ((await offsetOf(id)) ?? 0));
        await (await open(pathOf(id), 'a', 0o600)).close();
      }),
    offset: offsetOf,
    append: async (id, offset, source, { bytes, signal, confirm, onBytes }) => {
      keepAlive(source);
      checkOffset(id, offset, await offsetOf(id));
      signal?.throwIfAborted();
      await onDisk(() => room.require(0));
      const file = await onDisk(() => open(pathOf(id), 'r+'));
      const watch = room.watch();
      const writer = new FileWriter(file, offset, async (count) => {
        await confirm?.();
        await watch(count);
      });
      const limit = upTo(bytes, offset);
      const take = (chunk: Buffer): Promise<void> | undefined => {
        const wanted = limit.take(chunk);
        if (wanted.length > 0) onBytes?.(wanted);
        const written = writer.add(wanted);
        limit.check();
        return written;
      };
      try {
        await consume(source, take, signal);
      } finally {
        // What arrived stays, whatever ended it.
        try {
          await writer.end();
        } finally {
          await file.close();
        }
      }
      return limit.offset;
    },
    seal: (id, bytes, digest) =>
      onDisk(async () => {
        const offset = await offsetOf(id);
        if (offset === undefined) {
          // Kept already, by whoever was killed before they could say so.
          if (digest !== undefined && (await isKept(digest, bytes)))
            return { stagedAt: pathOf(id), digest, bytes };
          throw notBegun(id);
        }
        if (offset !== bytes) throw notWhole(id, offset, bytes);
        return sealed(pathOf(id), digest);
      }),
    abandon: (id) => onDisk(() => rm(pathOf(id), { force: true })),
  };
}
