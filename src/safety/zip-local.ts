/** A zip member's local header, and whether it says what the directory says. */
import { bytesAt } from './byte-source.ts';
import type { ByteSource } from './byte-source.ts';
import { BrokenZip, descriptorSignature, extraField, localBytes, localSignature } from './zip-directory.ts';
import type { ZipEntry } from './zip-directory.ts';

export interface LocalMember {
  /** In the file. */
  readonly start: number;
  readonly dataAt: number;
  /** Behind the data and, where there is one, their descriptor. */
  readonly end: number;
}

/** Flag: sizes and checksum follow the data. */
const hasDescriptor = 8;

/** As long as most names and extra fields are together: read with what stands before them. */
const commonTail = 256;

interface LocalHeader {
  readonly flags: number;
  readonly method: number;
  readonly checksum: number;
  readonly packedSize: number;
  readonly size: number;
  readonly rawName: string;
  readonly bytes: number;
}

function readHeader(source: ByteSource, start: number): LocalHeader {
  const first = bytesAt(source, start, localBytes + commonTail);
  const fixed = first.subarray(0, localBytes);
  if (fixed.length < localBytes || fixed.readUInt32LE(0) !== localSignature) {
    throw new BrokenZip('A member is not where the directory says.');
  }
  const [nameLength, extraLength] = [fixed.readUInt16LE(26), fixed.readUInt16LE(28)];
  const length = nameLength + extraLength;
  const rest =
    length <= commonTail
      ? first.subarray(localBytes, localBytes + length)
      : bytesAt(source, start + localBytes, length);
  const wide = extraField(rest.subarray(nameLength), 0x0001);
  const [packed, size] = [fixed.readUInt32LE(18), fixed.readUInt32LE(22)];
  const isWide = packed === 0xffffffff && size === 0xffffffff && wide !== undefined && wide.length >= 16;
  return {
    flags: fixed.readUInt16LE(6),
    method: fixed.readUInt16LE(8),
    checksum: fixed.readUInt32LE(14),
    packedSize: isWide ? Number(wide.readBigUInt64LE(8)) : packed,
    size: isWide ? Number(wide.readBigUInt64LE(0)) : size,
    rawName: rest.toString('latin1', 0, nameLength),
    bytes: localBytes + nameLength + extraLength,
  };
}

/** Bytes of the descriptor behind a member's data: a signature or none, the checksum, sizes of 32 or 64 bits. */
function descriptorBytes(source: ByteSource, at: number, entry: ZipEntry): number {
  const bytes = bytesAt(source, at, 24);
  const signed = bytes.length >= 4 && bytes.readUInt32LE(0) === descriptorSignature ? 4 : 0;
  const says = (width: 4 | 8): boolean => {
    const total = signed + 4 + 2 * width;
    if (bytes.length < total || bytes.readUInt32LE(signed) !== entry.checksum) return false;
    const [packed, size] = [0, 1].map((index) => {
      const field = signed + 4 + index * width;
      return width === 4 ? bytes.readUInt32LE(field) : Number(bytes.readBigUInt64LE(field));
    });
    return packed === entry.packedSize && size === entry.size;
  };
  const width = ([8, 4] as const).find(says);
  if (width === undefined) throw new BrokenZip('What follows a member contradicts the directory.');
  return signed + 4 + 2 * width;
}

/**
 * Compares a member's local header with the directory: readers that go by the one would see another archive than
 * those that go by the other. Headers whose sizes follow the data have zeros in their place, or the sizes after all.
 * @throws BrokenZip where they differ
 */
export function locate(source: ByteSource, entry: ZipEntry, prefix: number): LocalMember {
  const start = entry.headerAt + prefix;
  const header = readHeader(source, start);
  const later = (header.flags & hasDescriptor) !== 0;
  const agrees = (here: number, there: number): boolean => here === there || (later && here === 0);
  const same =
    header.rawName === entry.rawName &&
    header.method === entry.method &&
    (header.flags & (hasDescriptor | 1)) === (entry.flags & (hasDescriptor | 1)) &&
    agrees(header.checksum, entry.checksum) &&
    agrees(header.packedSize, entry.packedSize) &&
    agrees(header.size, entry.size);
  if (!same) throw new BrokenZip('Its local header contradicts the directory.');
  const dataAt = start + header.bytes;
  const dataEnd = dataAt + entry.packedSize;
  if (dataEnd > source.size) throw new BrokenZip('A member reaches beyond the end of the file.');
  return { start, dataAt, end: dataEnd + (later ? descriptorBytes(source, dataEnd, entry) : 0) };
}
