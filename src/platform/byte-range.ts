/** Both ends inclusive; an end behind the last byte means the last byte. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** @throws RangeError for a range that begins outside of the file, or ends before it begins. */
export function checkRange({ start, end }: ByteRange, bytes: number): void {
  if (start >= 0 && start <= end && start < bytes) return;
  throw new RangeError(`Bytes ${start} to ${end} are no part of a file of ${bytes} bytes.`);
}
