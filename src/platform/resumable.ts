/** What resumable uploads refuse, wherever their bytes are. */
import { ConflictError, NotFoundError, ValidationError } from './errors.ts';

export function notBegun(id: string): NotFoundError {
  return new NotFoundError(`Upload ${id}`);
}

export function notWhole(id: string, offset: number, bytes: number): ConflictError {
  return new ConflictError(
    `Upload ${id} holds ${offset} of ${bytes} bytes.`,
    String(offset),
    'Send the rest.',
  );
}

/** @throws NotFoundError, ConflictError */
export function checkOffset(id: string, given: number, present: number | undefined): void {
  if (present === undefined) throw notBegun(id);
  if (given === present) return;
  throw new ConflictError(
    `Upload ${id} stands at byte ${present}, not ${given}.`,
    String(present),
    'Go on from there.',
  );
}

/** Lets bytes through up to an upload's end. */
export interface Limit {
  /** Behind the last byte that was let through. */
  readonly offset: number;
  /** The part of a chunk that belongs to the upload. */
  take(chunk: Buffer): Buffer;
  /** @throws ValidationError once more came than belongs to it. */
  check(): void;
}

export function upTo(bytes: number, from: number): Limit {
  let offset = from;
  let isPast = false;
  return {
    get offset() {
      return offset;
    },
    take: (chunk) => {
      const wanted = chunk.subarray(0, bytes - offset);
      isPast ||= wanted.length < chunk.length;
      offset += wanted.length;
      return wanted;
    },
    check: () => {
      if (isPast) throw ValidationError.of(['bytes'], `${bytes} bytes, as announced`, 'more');
    },
  };
}
