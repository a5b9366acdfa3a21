/**
 * The headers of a tar archive (POSIX.1-2001, "pax Interchange Format"), by themselves: the archive's length is known
 * before a byte of it is sent, and any part of it can be sent alone.
 */

export interface TarEntry {
  /** `/` separates folders. */
  readonly name: string;
  /** Of its content, in bytes. */
  readonly size: number;
  readonly mtime: Date;
}

const BLOCK = 512;
/** What the fields of the older header hold: 100 bytes of name, 11 octal digits of size. */
const MAX_NAME = 100;
const MAX_SIZE = 8 ** 11 - 1;

/** What comes before an entry's content. */
export function tarHeader({ name, size, mtime }: TarEntry): Buffer {
  const records: [string, string][] = [];
  const isPlain = Buffer.byteLength(name) <= MAX_NAME && /^[\x20-\x7e]*$/.test(name);
  if (!isPlain) records.push(['path', name]);
  if (size > MAX_SIZE) records.push(['size', String(size)]);
  const plain = header({
    name: isPlain ? name : ascii(name),
    size: Math.min(size, MAX_SIZE),
    mtime,
    type: '0',
  });
  if (records.length === 0) return plain;
  const pax = Buffer.from(records.map(([key, value]) => paxRecord(key, value)).join(''));
  const before = header({ name: 'PaxHeader', size: pax.length, mtime, type: 'x' });
  return Buffer.concat([before, pax, tarPadding(pax.length), plain]);
}

/** Zeros up to the next block. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** What comes behind the last entry. */
export const tarEnd = Buffer.alloc(2 * BLOCK);

/** For those who do not know of pax. */
const ascii = (name: string): string => name.replaceAll(/[^\x20-\x7e]/g, '_').slice(-MAX_NAME);

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + String(bytes).length;
  if (String(length).length > String(bytes).length) length = bytes + String(length).length;
  return `${length}${rest}`;
}

function header(entry: { name: string; size: number; mtime: Date; type: '0' | 'x' }): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number): void => {
    block.write(`${value.toString(8).padStart(digits, '0')}\0`, at, 'latin1');
  };
  block.write(entry.name, 0, MAX_NAME, 'latin1');
  octal(0o644, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(entry.size, 124, 11);
  octal(Math.floor(entry.mtime.getTime() / 1000), 136, 11);
  block.write(' '.repeat(8), 148, 'latin1');
  block.write(entry.type, 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
