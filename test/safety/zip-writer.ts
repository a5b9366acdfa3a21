/** Writes zip archives byte by byte, lies included (PKWARE APPNOTE). */
import { crc32, deflateRawSync } from 'node:zlib';
import { uint32, uint64 } from './assemble.ts';

export interface MemberSpec {
  readonly name: string;
  readonly data: Buffer;
  readonly deflated?: boolean;
  /** In place of what is true, in the directory's record. */
  readonly says?: { readonly size?: number; readonly packed?: number; readonly checksum?: number };
  /** In place of what the directory says, in the local header. */
  readonly localName?: string;
  readonly localMethod?: number;
  readonly flags?: number;
  readonly method?: number;
  /** Unix mode. */
  readonly mode?: number;
  /** Sizes and checksum behind the data, zeros before. */
  readonly descriptor?: boolean;
  /** Not in the directory. */
  readonly unlisted?: boolean;
  /** Sizes and offset in the extra field of 64-bit numbers. */
  readonly wide?: boolean;
  /** Bytes between this member and the next. */
  readonly gap?: Buffer;
  /** Where the directory says that it is; undefined: where it is. */
  readonly at?: number;
}

export const uint16 = (value: number): Buffer => Buffer.of(value & 0xff, value >> 8);

interface Written {
  readonly local: Buffer;
  readonly record: (at: number) => Buffer;
}

const all = 0xffffffff;

function member(spec: MemberSpec): Written {
  const body = spec.deflated === true ? deflateRawSync(spec.data) : spec.data;
  const method = spec.method ?? (spec.deflated === true ? 8 : 0);
  const flags = (spec.flags ?? 0) | (spec.descriptor === true ? 8 : 0);
  const checksum = spec.says?.checksum ?? crc32(spec.data);
  const packed = spec.says?.packed ?? body.length;
  const size = spec.says?.size ?? spec.data.length;
  const name = Buffer.from(spec.name);
  const localName = Buffer.from(spec.localName ?? spec.name);
  const numbers =
    spec.descriptor === true
      ? Buffer.alloc(12)
      : Buffer.concat([uint32(checksum), uint32(packed), uint32(size)]);
  const head = (forMethod: number) => [uint16(20), uint16(flags), uint16(forMethod), uint32(0x21_0000)];
  const lengths = (written: Buffer, extra: Buffer) => [uint16(written.length), uint16(extra.length)];
  const none = Buffer.alloc(0);
  const descriptor = [Buffer.from('PK\x07\x08', 'latin1'), uint32(checksum), uint32(packed), uint32(size)];
  const local = Buffer.concat([
    Buffer.from('PK\x03\x04', 'latin1'),
    ...head(spec.localMethod ?? method),
    numbers,
    ...lengths(localName, none),
    localName,
    body,
    ...(spec.descriptor === true ? descriptor : []),
    spec.gap ?? none,
  ]);
  const record = (at: number): Buffer => {
    const wide = spec.wide === true;
    const extra = wide
      ? Buffer.concat([uint16(1), uint16(24), uint64(size), uint64(packed), uint64(at)])
      : none;
    return Buffer.concat([
      Buffer.from('PK\x01\x02', 'latin1'),
      // Made by Unix, so that the mode counts.
      Buffer.of(20, 3),
      ...head(method),
      uint32(checksum),
      ...(wide ? [uint32(all), uint32(all)] : [uint32(packed), uint32(size)]),
      ...lengths(name, extra),
      uint16(0),
      uint16(0),
      uint16(0),
      uint32(((spec.mode ?? 0o100644) << 16) >>> 0),
      uint32(wide ? all : at),
      name,
      extra,
    ]);
  };
  return { local, record };
}

export interface ZipSpec {
  readonly prefix?: Buffer;
  readonly suffix?: Buffer;
  readonly comment?: string;
  /** In place of the true number of members. */
  readonly entries?: number;
  /** With the 64-bit records of its end. */
  readonly wide?: boolean;
  /** Between its 64-bit record and what points to it. */
  readonly afterEnd64?: Buffer;
  /** In place of all ones in the old record of a wide one's end. */
  readonly narrowCount?: number;
  /** Added to where the end says that the directory is. */
  readonly shift?: number;
}

export function zip(members: readonly MemberSpec[], spec: ZipSpec = {}): Buffer {
  const parts: Buffer[] = [];
  const records: Buffer[] = [];
  let at = 0;
  for (const each of members) {
    const { local, record } = member(each);
    if (each.unlisted !== true) records.push(record(each.at ?? at));
    parts.push(local);
    at += local.length;
  }
  const directory = Buffer.concat(records);
  const count = spec.entries ?? records.length;
  const end64 = Buffer.concat([
    Buffer.from('PK\x06\x06', 'latin1'),
    uint64(44),
    Buffer.of(45, 0, 45, 0),
    Buffer.alloc(8),
    ...[count, count, directory.length, at].map(uint64),
    spec.afterEnd64 ?? Buffer.alloc(0),
    Buffer.from('PK\x06\x07', 'latin1'),
    uint32(0),
    uint64((spec.prefix?.length ?? 0) + at + directory.length),
    uint32(1),
  ]);
  const comment = Buffer.from(spec.comment ?? '');
  const wide = spec.wide === true;
  const end = Buffer.concat([
    Buffer.from('PK\x05\x06', 'latin1'),
    Buffer.alloc(4),
    uint16(wide ? (spec.narrowCount ?? 0xffff) : count),
    uint16(wide ? (spec.narrowCount ?? 0xffff) : count),
    uint32(wide ? all : directory.length),
    uint32(wide ? all : at + (spec.shift ?? 0)),
    uint16(comment.length),
    comment,
  ]);
  const none = Buffer.alloc(0);
  const ends = wide ? [end64, end] : [end];
  return Buffer.concat([spec.prefix ?? none, ...parts, directory, ...ends, spec.suffix ?? none]);
}
