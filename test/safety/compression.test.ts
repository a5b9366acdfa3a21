/** Decoders of what Node has none for, and the streams around them, against what the formats' own tools wrote. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { bufferSource } from '#src/safety/byte-source.ts';
import { EndOfBytes } from '#src/safety/byte-stream.ts';
import { bunzip2 } from '#src/safety/compression/bzip2.ts';
import {
  BrokenCompression,
  DictionaryTooLarge,
  Unsupported,
} from '#src/safety/compression/compression.errors.ts';
import { gunzip, inflate, inflateRaw } from '#src/safety/compression/inflate.ts';
import { unlzma } from '#src/safety/compression/lzma-alone.ts';
import type { Codec } from '#src/safety/compression/unpack.ts';
import { unxz } from '#src/safety/compression/xz.ts';
import { contentOf, openAt } from '#src/safety/content.ts';
import { defaultLimits } from '#src/safety/limits.ts';
import { inspectBytes } from './inspect-bytes.ts';

const { vectors } = z
  .object({
    vectors: z.array(
      z.object({
        name: z.string(),
        codec: z.enum(['lzma', 'xz', 'bz2']),
        length: z.number(),
        sha256: z.string(),
        packed: z.string().transform((text) => Buffer.from(text, 'base64')),
      }),
    ),
  })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/compression/vectors.json', import.meta.url), 'utf8')));

const codecs = { lzma: unlzma, xz: unxz, bz2: bunzip2 };

/** What the bytes unpack to, and where they end. */
async function unpacked(codec: Codec, packed: Buffer, limits = defaultLimits) {
  const content = contentOf(bufferSource(packed), 'packed');
  const pieces = codec((skipped) => openAt(content, skipped), limits);
  const parts: Buffer[] = [];
  for (;;) {
    const next = await pieces.next();
    if (next.done === true) return { bytes: Buffer.concat(parts), end: next.value };
    parts.push(Buffer.from(next.value));
  }
}

const isOurs = (error: unknown): boolean =>
  [EndOfBytes, BrokenCompression, DictionaryTooLarge, Unsupported].some((type) => error instanceof type);

describe('what the tools wrote is unpacked', () => {
  test.each(vectors)('$codec: $name', async ({ codec, length, sha256, packed }) => {
    const { bytes, end } = await unpacked(codecs[codec], packed);
    expect({ length: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }).toEqual({
      length,
      sha256,
    });
    expect(end).toBe(packed.length);
  });

  test('and what lies behind is left', async () => {
    for (const { codec, packed, length } of vectors) {
      const { bytes, end } = await unpacked(
        codecs[codec],
        Buffer.concat([packed, Buffer.from('\x01behind')]),
      );
      expect([bytes.length, end]).toEqual([length, packed.length]);
    }
  });
});

describe('what is damaged', () => {
  const small = vectors.filter(({ length, packed }) => length < 100_000 && packed.length > 20);

  test('wherever it is cut, it ends in an error of ours', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...small),
        fc.double({ min: 0, max: 0.95, noNaN: true }),
        async (vector, where) => {
          const cut = vector.packed.subarray(0, Math.floor(vector.packed.length * where));
          const error: unknown = await unpacked(codecs[vector.codec], cut).catch((thrown: unknown) => thrown);
          // Two streams cut between them are one.
          if (!vector.name.startsWith('two streams')) expect(isOurs(error)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('whichever byte is changed, it ends, well or in an error of ours', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...small),
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        fc.nat(255),
        async (vector, where, byte) => {
          const changed = Buffer.from(vector.packed);
          changed[Math.floor(changed.length * where)] = byte;
          const result: unknown = await unpacked(codecs[vector.codec], changed).catch(
            (thrown: unknown) => thrown,
          );
          if (result instanceof Error && !isOurs(result)) throw result;
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('a dictionary beyond the limit is not made', async () => {
    const header = Buffer.concat([Buffer.of(0x5d, 0, 0, 0, 0x80), Buffer.alloc(8, 255), Buffer.alloc(20)]);
    await expect(unpacked(unlzma, header)).rejects.toThrow(DictionaryTooLarge);
  });
});

describe('DEFLATE', () => {
  const data = fc.oneof(
    fc.uint8Array({ maxLength: 3000 }),
    fc.tuple(fc.nat(255), fc.nat(300_000)).map(([byte, length]) => Buffer.alloc(length, byte)),
  );

  test('comes back as it was, with what lies behind left', async () => {
    await fc.assert(
      fc.asyncProperty(data, fc.uint8Array({ maxLength: 20 }), async (plain, rest) => {
        const behind = Buffer.concat([Buffer.of(1), rest]);
        for (const [pack, codec] of [
          [deflateRawSync, inflateRaw],
          [deflateSync, inflate],
          [gzipSync, gunzip],
        ] as const) {
          const packed = pack(plain);
          const { bytes, end } = await unpacked(codec, Buffer.concat([packed, behind]));
          expect(bytes.equals(Buffer.from(plain))).toBe(true);
          expect(end).toBe(packed.length);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('several streams in a row are one, as loaders have it', async () => {
    const [a, b] = [Buffer.from('first '), Buffer.from('second')];
    expect((await unpacked(gunzip, Buffer.concat([gzipSync(a), gzipSync(b)]))).bytes.toString()).toBe(
      'first second',
    );
    expect((await unpacked(inflate, Buffer.concat([deflateSync(a), deflateSync(b)]))).bytes.toString()).toBe(
      'first second',
    );
  });

  test('a gzip header with all its fields is passed', async () => {
    const plain = gzipSync(Buffer.from('text'));
    const header = Buffer.concat([
      Buffer.of(0x1f, 0x8b, 8, 2 | 4 | 8 | 16),
      Buffer.alloc(6),
      Buffer.of(2, 0, 1, 1),
    ]);
    const fields = Buffer.concat([
      header,
      Buffer.from('name\0comment\0'),
      Buffer.of(9, 9),
      plain.subarray(10),
    ]);
    expect((await unpacked(gunzip, fields)).bytes.toString()).toBe('text');
  });

  test('cut short, it ends in an error of ours', async () => {
    const packed = gzipSync(Buffer.from('some text that is long enough to be cut'));
    for (let length = 0; length < packed.length; length++) {
      const error: unknown = await unpacked(gunzip, packed.subarray(0, length)).catch(
        (thrown: unknown) => thrown,
      );
      expect(isOurs(error), `${length} bytes`).toBe(true);
    }
  });
});

test.each([
  ['WgAAAQD//////////wAxnIaMBRlK9pHs2XzaLxfs9KB2TKMPearaGEyGf58Q3T7//qrwAA==', 'lc=0, lp=0, pb=2'],
  ['EwCAAQD//////////wAxnKm9PPuRlRlaEs8a2u8YgpmP6GWD6+8rOEY1KYKC0zmV//z78AA=', 'lc=1, lp=2, pb=0'],
])('.lzma of any properties that liblzma takes is looked into', async (base64, _properties) => {
  for (const name of ['model.pkl.xz', 'model.bin']) {
    const { verdict, findings } = await inspectBytes(Buffer.from(base64, 'base64'), name);
    expect([verdict, findings[0]?.rule]).toEqual(['DANGEROUS', 'pickle.denied-global']);
  }
});

test.each(['m.pkl.xz', 'm.lzma', 'm.pkl.bz2'])('%s of other bytes is not what it says', async (name) => {
  expect(await inspectBytes(Buffer.from('\x01\x02 nothing'), name)).toMatchObject({ verdict: 'UNREADABLE' });
});
