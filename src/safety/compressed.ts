/** Compressed streams: what joblib writes with `compress`, and compressed archives. */
import { bunzip2 } from './compression/bzip2.ts';
import { gunzip, inflate } from './compression/inflate.ts';
import { unlzma } from './compression/lzma-alone.ts';
import { unpack } from './compression/unpack.ts';
import type { Codec } from './compression/unpack.ts';
import { unxz } from './compression/xz.ts';
import { openAt } from './content.ts';
import type { Content } from './content.ts';
import type { Format, Place, Scan } from './scan.ts';

export type CompressedKind = 'gzip' | 'zlib' | 'zfile' | 'bzip2' | 'xz' | 'lzma';

/**
 * joblib's own wrapping before 0.10: "ZF", the length as hexadecimal text padded to 19 characters (20 where Python 2
 * wrote it), then zlib (joblib/numpy_pickle_compat.py: read_zfile).
 */
const zfile: Codec = async function* (reopen) {
  const [next] = await (await reopen(21)).peek(1);
  const header = next === 0x20 ? 22 : 21;
  return header + (yield* inflate((skipped) => reopen(header + skipped)));
};

const codecs: Readonly<Record<CompressedKind, { readonly codec: Codec; readonly name: string }>> = {
  gzip: { codec: gunzip, name: 'gzip' },
  zlib: { codec: inflate, name: 'zlib' },
  zfile: { codec: zfile, name: 'zlib' },
  bzip2: { codec: bunzip2, name: 'bzip2' },
  xz: { codec: unxz, name: 'xz' },
  lzma: { codec: unlzma, name: 'lzma' },
};

/** Kinds whose magic is so short that other files begin like them. */
const weak = new Set<CompressedKind>(['zlib', 'lzma']);

/**
 * Looks at what a compressed stream holds.
 * @returns undefined where nothing comes out of it that is known, and its magic is weak: it is something else.
 * @throws Bomb, TooLarge, DictionaryTooLarge; what is read of it may throw EndOfBytes and BrokenCompression
 */
export async function inspectCompressed(
  scan: Scan,
  content: Content,
  kind: CompressedKind,
  place: Place,
): Promise<Format | undefined> {
  const { codec, name } = codecs[kind];
  const {
    content: inner,
    end,
    error,
  } = await unpack({
    reopen: (skipped) => openAt(content, skipped),
    codec,
    expansion: scan.expansion,
    isCounted: false,
    limits: scan.limits,
    path: `${content.path}!${name}`,
    isStream: true,
  });
  const before = scan.findings.total;
  const format = await scan.inspect(inner, { depth: place.depth + 1, torchPickle: false });
  if (error !== undefined) {
    // Numbers may begin like a short magic, and even unpack to a few bytes of nothing.
    if (weak.has(kind) && format === 'OPAQUE' && scan.findings.total === before) return undefined;
    const message = error.message || 'The compressed bytes end before they should.';
    scan.findings.add(content.path, null, 'compression.broken', message);
  }
  // What nobody has read to its end may still be a bomb, or be damaged.
  if (inner.source === undefined && format === 'OPAQUE') await inner.open().pass(Number.MAX_SAFE_INTEGER);
  if (end !== undefined && !(await (await openAt(content, end)).isAtEnd())) {
    const message = 'Behind the compressed bytes lie others, which its loader may or may not read.';
    scan.findings.add(content.path, end, 'compression.suffix', message);
  }
  return format;
}
