/** Reading an object as one stream, over as many answers as that takes. */
import { Readable } from 'node:stream';
import { NotFoundError } from './errors.ts';
import type { S3Bucket } from './s3.ts';

/** Answers in a row that may break without bringing a byte. */
const TRIES = 3;

/**
 * The bytes of an object from `start` to `end` (inclusive). An answer that breaks, or ends early, is asked for again
 * from where it broke; one that never comes ends the stream with NotReadyError.
 * @throws NotFoundError, before there is a stream.
 */
export async function readObject(
  bucket: S3Bucket,
  key: string,
  what: string,
  { start, end }: { start: number; end: number },
  signal?: AbortSignal,
): Promise<Readable> {
  // A range cannot say that it is empty.
  if (end < start) return Readable.from([]);
  const ask = async (from: number): Promise<Readable> => {
    const found = await bucket.get(key, from, end, signal);
    if (!found) throw new NotFoundError(what);
    return found;
  };
  const first = await ask(start);
  return Readable.from(chunks(bucket, first, ask, start, end), { objectMode: false });
}

async function* chunks(
  bucket: S3Bucket,
  first: Readable,
  ask: (from: number) => Promise<Readable>,
  start: number,
  end: number,
): AsyncGenerator<Buffer> {
  let at = start;
  let answer: Readable | undefined = first;
  for (let tries = 1; ; tries++) {
    answer ??= await ask(at);
    let broken: unknown = new Error(`An answer ended at byte ${at}, before byte ${end}.`);
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        at += chunk.length;
        tries = 1;
        yield chunk;
      }
    } catch (error) {
      broken = error;
    }
    if (at > end) return;
    if (tries === TRIES) throw bucket.fault(broken);
    answer = undefined;
  }
}
