/** Writes tar archives (POSIX.1-2017, ustar). */

export interface TarSpec {
  readonly name: string;
  readonly data?: Buffer;
  readonly type?: string;
  readonly linkName?: string;
  /** Without the magic, as before POSIX. */
  readonly old?: boolean;
  /** The checksum over signed bytes, as some old writers had it. */
  readonly signed?: boolean;
}

function octal(value: number, length: number): string {
  return `${value.toString(8).padStart(length - 1, '0')}\0`;
}

function header({ name, data, type = '0', linkName = '', old, signed }: TarSpec): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100);
  block.write(octal(0o644, 8) + octal(0, 8) + octal(0, 8), 100);
  block.write(octal(data?.length ?? 0, 12) + octal(0, 12), 124);
  block.write(`        ${type}`, 148);
  block.write(linkName, 157, 100);
  if (old !== true) block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce(
    (total, byte) => total + (signed === true && byte > 0x7f ? byte - 0x100 : byte),
    0,
  );
  block.write(`${octal(sum, 7)} `, 148);
  return block;
}

const padding = (length: number): Buffer => Buffer.alloc((512 - (length % 512)) % 512);

export function tar(members: readonly TarSpec[], end: Buffer = Buffer.alloc(1024)): Buffer {
  const blocks = members.flatMap((member) => {
    const data = member.data ?? Buffer.alloc(0);
    return [header(member), data, padding(data.length)];
  });
  return Buffer.concat([...blocks, end]);
}

/** A pax header whose records are as told, each with its length. */
export function pax(records: Readonly<Record<string, string>>, type = 'x'): TarSpec {
  const lines = Object.entries(records).map(([key, value]) => {
    const text = ` ${key}=${value}\n`;
    const length = [2, 3, 4]
      .map((digits) => text.length + digits)
      .find((sum) => String(sum).length === sum - text.length);
    return `${length ?? text.length + 1}${text}`;
  });
  return { name: 'pax', type, data: Buffer.from(lines.join('')) };
}
