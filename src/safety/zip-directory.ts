/** A zip archive's central directory and local headers (PKWARE APPNOTE 6.3.10), bounded and checked. */
import { bytesAt } from './byte-source.ts';
import type { ByteSource } from './byte-source.ts';

export interface ZipEntry {
  /** Where its record in the directory is. */
  readonly recordAt: number;
  /** The raw bytes of the name, as text of one character a byte: readers decode them differently. */
  readonly rawName: string;
  readonly name: string;
  readonly flags: number;
  /** 0: stored, 8: deflated. */
  readonly method: number;
  readonly checksum: number;
  readonly packedSize: number;
  readonly size: number;
  /** Of its local header, as written: from the start of the archive, not of the file. */
  readonly headerAt: number;
  /** Unix mode where the archive was made by such a system; 0 else. */
  readonly mode: number;
  readonly disk: number;
  /** The name that the extra field 0x7075 gives instead. */
  readonly otherName: string | undefined;
}

export interface ZipEnd {
  /** Where the end record is. */
  readonly at: number;
  /** Where the directory is, in the file. */
  readonly directoryAt: number;
  readonly directoryBytes: number;
  readonly entries: number;
  /** Bytes before the archive's own start. */
  readonly prefix: number;
  /** Where the archive ends, comment included. */
  readonly end: number;
  /** Where the records of the end begin: the 64-bit ones stand before the old one. */
  readonly endsFrom: number;
  readonly isMultiDisk: boolean;
}

/** The archive is not what its magic says. The message is a sentence for people. */
export class BrokenZip extends Error {
  override readonly name = 'BrokenZip';
}

const endMagic = Buffer.from('PK\x05\x06', 'latin1');
const end64Signature = 0x06064b50;
const locatorSignature = 0x07064b50;
const recordSignature = 0x02014b50;
export const localSignature = 0x04034b50;
export const descriptorSignature = 0x08074b50;

const endBytes = 22;
const end64Bytes = 56;
const locatorBytes = 20;
const recordBytes = 46;
export const localBytes = 30;
const longestComment = 65_535;

/** Records of an end that are tried: each takes a few reads, and a tail has room for thousands. */
const maxCandidates = 64;

const uint64 = (bytes: Buffer, at: number): number =>
  bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);

/**
 * The 64-bit end record, which a locator right before the old end record points to. It must stand right before the
 * locator: some readers look there and some where the locator points, and would see two archives.
 */
function readEnd64(source: ByteSource, endAt: number): { at: number; record: Buffer } | undefined {
  const locator = bytesAt(source, endAt - locatorBytes, endAt >= locatorBytes ? locatorBytes : 0);
  if (locator.length < locatorBytes || locator.readUInt32LE(0) !== locatorSignature) return undefined;
  const at = endAt - locatorBytes - end64Bytes;
  const record = at >= 0 ? bytesAt(source, at, end64Bytes) : Buffer.alloc(0);
  if (record.length < end64Bytes || record.readUInt32LE(0) !== end64Signature) {
    throw new BrokenZip('The record of its end points to nothing.');
  }
  // Where it points may be too little by the length of what stands before the archive, which has a finding of its own.
  const pointed = uint64(locator, 8);
  const elsewhere = pointed < at ? bytesAt(source, pointed, 4) : Buffer.alloc(4);
  if (pointed > at || (elsewhere.length === 4 && elsewhere.readUInt32LE(0) === end64Signature)) {
    throw new BrokenZip('It has two records of its end.');
  }
  return { at, record };
}

/** Whether the old end record says all ones, or what the 64-bit one says: readers differ about which they take. */
function agree(record: Buffer, { record: wide }: { record: Buffer }): boolean {
  const same = (narrow: number, ones: number, at: number) => narrow === ones || narrow === uint64(wide, at);
  return (
    same(record.readUInt16LE(10), 0xffff, 32) &&
    same(record.readUInt32LE(12), 0xffffffff, 40) &&
    same(record.readUInt32LE(16), 0xffffffff, 48)
  );
}

function readEnd(source: ByteSource, record: Buffer, at: number): ZipEnd {
  const wide = readEnd64(source, at);
  if (wide !== undefined && !agree(record, wide))
    throw new BrokenZip('The records of its end contradict each other.');
  const endsFrom = wide?.at ?? at;
  const entries = wide === undefined ? record.readUInt16LE(10) : uint64(wide.record, 32);
  const directoryBytes = wide === undefined ? record.readUInt32LE(12) : uint64(wide.record, 40);
  const written = wide === undefined ? record.readUInt32LE(16) : uint64(wide.record, 48);
  const disks = [record.readUInt16LE(4), record.readUInt16LE(6)];
  // The directory stands right before its end, wherever it says to be: what differs stands before the archive.
  const directoryAt = endsFrom - directoryBytes;
  return {
    at,
    directoryAt,
    directoryBytes,
    entries,
    prefix: directoryAt - written,
    end: at + endBytes + record.readUInt16LE(20),
    endsFrom,
    isMultiDisk: disks.some((disk) => disk !== 0 && disk !== 0xffff),
  };
}

/**
 * Finds the record of the archive's end: the last one in the file, as readers do.
 * @returns undefined where there is none that a directory stands before.
 * @throws BrokenZip
 */
export function findEnd(source: ByteSource, tailBytes = longestComment + endBytes): ZipEnd | undefined {
  const tail = bytesAt(source, Math.max(0, source.size - tailBytes), tailBytes);
  const base = source.size - tail.length;
  let candidates = 0;
  for (let from = tail.length - endBytes; from >= 0;) {
    const at = tail.lastIndexOf(endMagic, from);
    if (at === -1) return undefined;
    if (++candidates > maxCandidates) throw new BrokenZip('It seems to end more often than archives do.');
    from = at - 1;
    const end = readEnd(source, tail.subarray(at, at + endBytes), base + at);
    const isPlausible = end.directoryAt >= 0 && end.end <= source.size;
    if (!isPlausible || !startsDirectory(source, end)) continue;
    if (end.prefix >= 0) return end;
    // Python takes such an archive for whole, whatever the file begins with.
    if (end.entries > 0) throw new BrokenZip('Its directory is not where its end says.');
  }
  return undefined;
}

function startsDirectory(source: ByteSource, { directoryAt, entries }: ZipEnd): boolean {
  if (entries === 0) return true;
  const signature = bytesAt(source, directoryAt, 4);
  return signature.length === 4 && signature.readUInt32LE(0) === recordSignature;
}

/** The fields of a record that are all ones are in the extra field instead, in this order. */
function wideFields(extra: Buffer, narrow: readonly number[]): number[] {
  const wide = extraField(extra, 0x0001);
  let at = 0;
  return narrow.map((value) => {
    if (value !== 0xffffffff || wide === undefined) return value;
    if (at + 8 > wide.length) throw new BrokenZip('A member does not tell its size.');
    at += 8;
    return uint64(wide, at - 8);
  });
}

/** The content of the extra field with this id. */
export function extraField(extra: Buffer, id: number): Buffer | undefined {
  for (let at = 0; at + 4 <= extra.length;) {
    const length = extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === id) return extra.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  return undefined;
}

function readRecord(directory: Buffer, at: number, directoryAt: number): { entry: ZipEntry; next: number } {
  if (at + recordBytes > directory.length || directory.readUInt32LE(at) !== recordSignature) {
    throw new BrokenZip('Its directory is damaged or cut short.');
  }
  const lengths = [28, 30, 32].map((field) => directory.readUInt16LE(at + field));
  const [nameLength = 0, extraLength = 0, commentLength = 0] = lengths;
  const nameEnd = at + recordBytes + nameLength;
  const next = nameEnd + extraLength + commentLength;
  if (next > directory.length) throw new BrokenZip('Its directory is damaged or cut short.');
  const rawName = directory.subarray(at + recordBytes, nameEnd);
  const extra = directory.subarray(nameEnd, nameEnd + extraLength);
  const narrow = [24, 20, 42].map((field) => directory.readUInt32LE(at + field));
  const [size = 0, packedSize = 0, headerAt = 0] = wideFields(extra, narrow);
  const isUnix = directory[at + 5] === 3;
  return {
    entry: {
      recordAt: directoryAt + at,
      rawName: rawName.toString('latin1'),
      name: rawName.toString('utf8'),
      flags: directory.readUInt16LE(at + 8),
      method: directory.readUInt16LE(at + 10),
      checksum: directory.readUInt32LE(at + 16),
      packedSize,
      size,
      headerAt,
      mode: isUnix ? directory.readUInt32LE(at + 38) >>> 16 : 0,
      disk: directory.readUInt16LE(at + 34),
      // Version and checksum of the name that it replaces, then the name.
      otherName: extraField(extra, 0x7075)?.toString('latin1', 5),
    },
    next,
  };
}

/** Reads the directory. @throws BrokenZip where it is damaged, or its end says another number of entries. */
export function readDirectory(source: ByteSource, end: ZipEnd): ZipEntry[] {
  const directory = bytesAt(source, end.directoryAt, end.directoryBytes);
  const entries: ZipEntry[] = [];
  for (let at = 0; at < directory.length;) {
    const { entry, next } = readRecord(directory, at, end.directoryAt);
    entries.push(entry);
    at = next;
  }
  if (entries.length === end.entries) return entries;
  throw new BrokenZip(`Its directory has ${entries.length} members, its end says ${end.entries}.`);
}
