/** Sending a file's bytes on, with memory that does not depend on how many they are or who collects garbage when. */
import type { FileHandle } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { onDisk } from './disk.ts';

const CHUNK_BYTES = 256 * 1024;

/**
 * Writes a part of a file into a stream and leaves that open. Two buffers are used in turn, one being read while the other
 * is being written: a buffer for each chunk would be left to the collector, which comes by only once a good deal of them
 * has gathered.
 * @param end inclusive.
 * @param into must have passed bytes on when it calls back for them, as sockets and answers over HTTP have, and streams that
 * keep them (a PassThrough, say) have not.
 * @throws NotReadyError when the disk fails, Error when the file is shorter, the stream's own error.
 */
export async function pourFile(file: FileHandle, start: number, end: number, into: Writable): Promise<void> {
  const buffers = [Buffer.allocUnsafeSlow(CHUNK_BYTES), Buffer.allocUnsafeSlow(CHUNK_BYTES)];
  const written: Promise<void>[] = [Promise.resolve(), Promise.resolve()];
  const gone = Promise.withResolvers<never>();
  gone.promise.catch(() => undefined);
  const onClose = (): void => gone.reject(into.errored ?? left());
  into.once('close', onClose);
  if (into.destroyed) onClose();
  try {
    for (let at = start, turn = 0; at <= end; turn = 1 - turn) {
      const buffer = buffers[turn] as Buffer;
      await Promise.race([written[turn], gone.promise]);
      const wanted = Math.min(buffer.length, end - at + 1);
      const { bytesRead } = await onDisk(() => file.read(buffer, 0, wanted, at));
      if (bytesRead === 0) throw new Error(`The file ends at byte ${at}, before ${end + 1}.`);
      const writing = write(into, buffer.subarray(0, bytesRead));
      writing.catch(() => undefined);
      written[turn] = writing;
      at += bytesRead;
    }
    await Promise.race([Promise.all(written), gone.promise]);
  } catch (error) {
    // What its writes say of a stream that was left is the same in other words.
    throw into.destroyed && into.errored === null ? left() : error;
  } finally {
    into.off('close', onClose);
  }
}

/** What `pipeline` says of a stream that its reader left. */
const left = (): Error =>
  Object.assign(new Error('The stream was left before its end.'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });

/** Resolves when the bytes have left. */
function write(into: Writable, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    into.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}
