/** A tar archive's headers: blocks of 512 bytes (POSIX.1-2017, pax interchange format; GNU tar's additions). */

export const blockBytes = 512;

export interface TarHeader {
  readonly name: string;
  /** Bytes of the member's content, which fills whole blocks. */
  readonly size: number;
  /** '0' for a file; see POSIX. */
  readonly type: string;
  readonly linkName: string;
}

/** A field up to its first NUL. */
function text(block: Buffer, start: number, length: number): string {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? length : end);
}

/** Octal digits, or GNU's binary for what is too large for them. NaN: neither. */
function numeric(block: Buffer, start: number, length: number): number {
  if (((block[start] ?? 0) & 0x80) !== 0) {
    let value = (block[start] ?? 0) & 0x7f;
    for (let i = 1; i < length; i++) value = value * 256 + (block[start + i] ?? 0);
    return value;
  }
  const digits = block
    .toString('latin1', start, start + length)
    .replace(/[\0 ]+$/, '')
    .trim();
  return /^[0-7]*$/.test(digits) ? Number.parseInt(digits || '0', 8) : NaN;
}

const [checksumAt, checksumEnd] = [148, 156];

/** The sum of all bytes, those of the checksum taken as spaces. Some old writers took bytes as signed. */
function isChecked(block: Buffer): boolean {
  const written = numeric(block, checksumAt, checksumEnd - checksumAt);
  if (Number.isNaN(written)) return false;
  let [sum, signed] = [0, 0];
  for (let i = 0; i < blockBytes; i++) {
    const byte = i >= checksumAt && i < checksumEnd ? 0x20 : (block[i] ?? 0);
    sum += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  return written === sum || written === signed;
}

/** Whether bytes begin with a tar header: by its magic, or where an old one has none by its checksum. */
export function isTarHeader(head: Buffer): boolean {
  if (head.length < blockBytes) return false;
  if (head.toString('latin1', 257, 262) === 'ustar') return true;
  // The checksum of zeros is that of eight spaces: only a member's name makes it a header.
  return head[0] !== 0 && isChecked(head.subarray(0, blockBytes));
}

/** Reads a header. undefined: it is none, by its checksum or its size. */
export function readTarHeader(block: Buffer): TarHeader | undefined {
  const size = numeric(block, 124, 12);
  if (!isChecked(block) || !Number.isSafeInteger(size)) return undefined;
  // GNU tar's own magic has times where POSIX has the first part of the name.
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? text(block, 345, 155) : '';
  const name = text(block, 0, 100);
  const type = String.fromCharCode(block[156] ?? 0);
  // Before POSIX a folder was a file whose name ends so; Python still takes it for one.
  const oldType = name.endsWith('/') ? '5' : '0';
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    size,
    type: type === '\0' ? oldType : type,
    linkName: text(block, 157, 100),
  };
}
