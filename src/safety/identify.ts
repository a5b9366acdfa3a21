/** What a file is, by its first bytes; and what its name claims, which is never believed. */
import type { CompressedKind } from './compressed.ts';
import { isTarHeader } from './tar-header.ts';

/** What has a reader here. Pickles are not among them: half of them have no magic, so that one has to try. */
export type Kind = CompressedKind | 'zip' | 'tar' | 'npy' | 'safetensors' | 'gguf' | 'onnx';

/** As much of a file's start as is needed to tell. */
export const headBytes = 1024;

interface Magic {
  readonly bytes: string;
}

/** Longer than any magic. */
const magicBytes = 16;

const startOf = (head: Buffer): string => head.toString('latin1', 0, magicBytes);

const magics: readonly (Magic & { readonly kind: Kind })[] = [
  { bytes: 'PK\x03\x04', kind: 'zip' },
  { bytes: 'PK\x05\x06', kind: 'zip' },
  // Zip archives in several parts begin with this mark before their first member.
  { bytes: 'PK\x07\x08PK', kind: 'zip' },
  { bytes: '\x1f\x8b\x08', kind: 'gzip' },
  { bytes: '\xfd7zXZ\x00', kind: 'xz' },
  { bytes: 'ZF0x', kind: 'zfile' },
  { bytes: '\x93NUMPY', kind: 'npy' },
  { bytes: 'GGUF', kind: 'gguf' },
];

/** Containers that may hold anything and have no reader here. */
const sealed: readonly (Magic & { readonly name: string })[] = [
  { bytes: "7z\xbc\xaf'\x1c", name: 'a 7-Zip archive' },
  { bytes: 'Rar!\x1a\x07', name: 'a RAR archive' },
  { bytes: '\x28\xb5\x2f\xfd', name: 'Zstandard' },
  { bytes: '\x04\x22\x4d\x18', name: 'LZ4' },
  { bytes: '\x02\x21\x4c\x18', name: 'LZ4' },
  { bytes: '\x1f\x9d\x90', name: 'a compressed file of the Unix tool compress' },
  { bytes: 'LZIP', name: 'lzip' },
  { bytes: 'MSCF', name: 'a Cabinet archive' },
  { bytes: '!<arch>\n', name: 'an ar archive' },
  { bytes: 'xar!', name: 'a xar archive' },
  { bytes: '\x89HDF\r\n\x1a\n', name: 'HDF5, in which Keras keeps code' },
  { bytes: '\x7fELF', name: 'a program (ELF)' },
  { bytes: 'MZ\x90\0', name: 'a program (Windows)' },
  { bytes: '\xfe\xed\xfa\xce', name: 'a program (Mach-O)' },
  { bytes: '\xfe\xed\xfa\xcf', name: 'a program (Mach-O)' },
  { bytes: '\xce\xfa\xed\xfe', name: 'a program (Mach-O)' },
  { bytes: '\xcf\xfa\xed\xfe', name: 'a program (Mach-O)' },
  { bytes: '\xca\xfe\xba\xbe', name: 'a program (Mach-O or Java)' },
  { bytes: '\0asm', name: 'a program (WebAssembly)' },
];

/** Names a container that cannot be looked into; undefined for anything else. */
export function sealedContainer(head: Buffer): string | undefined {
  const start = startOf(head);
  return sealed.find(({ bytes }) => start.startsWith(bytes))?.name;
}

/** RFC 1950: method 8, the check over both bytes, no preset dictionary, and the window that every writer takes. */
function isZlib([first = 0, second = 0]: Uint8Array): boolean {
  return first === 0x78 && (first * 256 + second) % 31 === 0 && (second & 0x20) === 0;
}

/** Dictionaries as liblzma takes them where the kind of file is not said: 2^n, 2^n + 2^(n-1), or the largest number. */
function isUsualDictionary(bytes: number): boolean {
  const zeros = 31 - Math.clz32(bytes & -bytes);
  return bytes === 0xffffffff || bytes >>> zeros === 1 || bytes >>> zeros === 3;
}

/**
 * An .lzma file: properties, dictionary size, and a length that is unknown (all ones) or that files have. joblib looks for
 * the usual properties and the first byte of the dictionary's size, liblzma takes others, too.
 */
function isLzma(head: Buffer): boolean {
  const [properties = 0, least] = head;
  if (head.length < 13 || properties >= 9 * 5 * 5) return false;
  const isJoblibs = properties === 0x5d && least === 0;
  if (!isJoblibs && !isUsualDictionary(head.readUInt32LE(1))) return false;
  const length = head.readBigUInt64LE(5);
  return length === 2n ** 64n - 1n || length < 2n ** 40n;
}

/** "BZh", the block size, and the start of a block or, in an empty file, the end of the stream. */
function isBzip2(head: Buffer): boolean {
  const start = startOf(head);
  return /^BZh[1-9]/.test(start) && (start.startsWith('1AY&SY', 4) || start.startsWith('\x17rE8P\x90', 4));
}

/** The length of a JSON header, whose high bytes are zero, then how an object of JSON begins. */
function isSafetensors(head: Buffer): boolean {
  return head.readUIntBE(5, 3) === 0 && /^\{["}\s]/.test(head.toString('latin1', 8, 10));
}

/** Fields of ModelProto and how each is encoded (onnx.proto). */
const modelFields: Readonly<Record<number, number>> = {
  1: 0,
  2: 2,
  3: 2,
  4: 2,
  5: 0,
  6: 2,
  7: 2,
  8: 2,
  14: 2,
  20: 2,
  25: 2,
  26: 2,
};

/** Protocol Buffers have no magic: the version of the format, as all exporters begin with, then another field. The
 * reader may find that it is no ONNX after all. */
function isOnnx(head: Buffer): boolean {
  const [tag, version, next] = head;
  if (tag !== 0x08 || version === undefined || version === 0 || version >= 0x80) return false;
  return next !== undefined && next < 0x80 && modelFields[next >> 3] === (next & 7);
}

/**
 * All that a file's first `headBytes` say that it is: nothing, one kind, or several, since a file can be made to be
 * two things to two readers.
 */
export function identify(head: Buffer): Kind[] {
  const start = startOf(head);
  const kinds: Kind[] = magics.filter(({ bytes }) => start.startsWith(bytes)).map(({ kind }) => kind);
  if (isTarHeader(head)) kinds.push('tar');
  if (isBzip2(head)) kinds.push('bzip2');
  if (isZlib(head)) kinds.push('zlib');
  if (isLzma(head)) kinds.push('lzma');
  if (head.length >= 10 && isSafetensors(head)) kinds.push('safetensors');
  if (isOnnx(head)) kinds.push('onnx');
  return kinds;
}

/** What a file's name says that it is. Only ever a reason to be stricter: a file that is not so is broken. */
export function claimedBy(name: string): Kind | 'pickle' | undefined {
  const ending = /\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase() ?? '';
  return claims[ending];
}

const claims: Readonly<Record<string, Kind | 'pickle'>> = {
  onnx: 'onnx',
  pkl: 'pickle',
  pickle: 'pickle',
  joblib: 'pickle',
  pt: 'pickle',
  pth: 'pickle',
  npy: 'npy',
  npz: 'zip',
  zip: 'zip',
  tar: 'tar',
  gz: 'gzip',
  bz2: 'bzip2',
  xz: 'xz',
  lzma: 'lzma',
  tgz: 'gzip',
  safetensors: 'safetensors',
  gguf: 'gguf',
};
