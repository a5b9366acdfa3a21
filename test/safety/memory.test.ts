/** Files of five gigabytes, of which only a little is ever read: what is not looked at is not held either. */
import { crc32 } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bufferSource } from '#src/safety/byte-source.ts';
import type { ByteSource } from '#src/safety/byte-source.ts';
import { ByteStream, EndOfBytes, sourceFeed } from '#src/safety/byte-stream.ts';
import type { Feed } from '#src/safety/byte-stream.ts';
import { inspectFile } from '#src/safety/inspect.ts';
import {
  assemble,
  dtype,
  global,
  integer,
  list,
  pickle,
  reduce,
  text,
  tuple,
  uint32,
  uint64,
  wrapped,
} from './assemble.ts';
import type { Code } from './assemble.ts';
import { uint16 } from './zip-writer.ts';

const giga = 2 ** 30;

/** Bytes here and there in a file of zeros. Counts what is read of it. */
class SparseFile implements ByteSource {
  readonly size: number;
  total = 0;
  largest = 0;
  readonly #parts: readonly (readonly [number, Buffer])[];

  constructor(parts: readonly (readonly [number, Buffer])[], size: number) {
    this.#parts = parts;
    this.size = size;
  }

  read(target: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(target.length, this.size - position));
    target.fill(0, 0, count);
    for (const [at, bytes] of this.#parts) {
      const from = Math.max(at, position);
      const to = Math.min(at + bytes.length, position + count);
      if (from < to) target.set(bytes.subarray(from - at, to - at), from - position);
    }
    this.total += count;
    this.largest = Math.max(this.largest, count);
    return count;
  }
}

const evil = reduce(global('os', 'system'), tuple(text('true')));
const none = assemble('NONE');

/** A pickle that goes on behind a stretch of zeros. */
function split(before: Code, zeros: number, behind: Code): SparseFile {
  const start = Buffer.concat([Buffer.of(0x80, 4), before]);
  const end = assemble(behind, 'STOP');
  const at = start.length + zeros;
  return new SparseFile(
    [
      [0, start],
      [at, end],
    ],
    at + end.length,
  );
}

const elements = (5 * giga) / 8;
const array = wrapped({ shape: tuple(integer(elements)), dtype: dtype('f8'), alignment: null });
const bytes = assemble('BINBYTES8', uint64(5 * giga));

/** A torch archive of a hundred storages of 50 MB, its directory with 64-bit places. */
function torchArchive(model: Code): SparseFile {
  const parts: [number, Buffer][] = [];
  const records: Buffer[] = [];
  let at = 0;
  const member = (name: string, size: number, data?: Buffer) => {
    const head = (signature: string, more: Buffer) =>
      Buffer.concat([
        Buffer.from(signature, 'latin1'),
        more,
        Buffer.alloc(8),
        // That of the storages is wrong: nobody reads them through.
        uint32(data === undefined ? 1 : crc32(data)),
        uint32(size),
        uint32(size),
        uint16(name.length),
      ]);
    const local = Buffer.concat([
      head('PK\x03\x04', uint16(20)),
      uint16(0),
      Buffer.from(name),
      data ?? Buffer.alloc(0),
    ]);
    const extra = Buffer.concat([uint16(1), uint16(8), uint64(at)]);
    const rest = Buffer.concat([
      uint16(extra.length),
      Buffer.alloc(10),
      uint32(0xffffffff),
      Buffer.from(name),
      extra,
    ]);
    records.push(Buffer.concat([head('PK\x01\x02', Buffer.of(20, 0, 20, 0)), rest]));
    parts.push([at, local]);
    at += local.length + (data === undefined ? size : 0);
  };
  member('m/data.pkl', model.length, model);
  for (let i = 0; i < 100; i++) member(`m/data/${i}`, 50_000_000);
  const directory = Buffer.concat(records);
  const end64 = Buffer.concat([
    Buffer.from('PK\x06\x06', 'latin1'),
    uint64(44),
    Buffer.alloc(12),
    ...[records.length, records.length, directory.length, at].map(uint64),
    Buffer.from('PK\x06\x07', 'latin1'),
    uint32(0),
    uint64(at + directory.length),
    uint32(1),
  ]);
  const end = Buffer.concat([
    Buffer.from('PK\x05\x06', 'latin1'),
    Buffer.alloc(4),
    Buffer.alloc(4, 255),
    Buffer.alloc(8, 255),
    uint16(0),
  ]);
  const tail = Buffer.concat([directory, end64, end]);
  parts.push([at, tail]);
  return new SparseFile(parts, at + tail.length);
}

function safetensors(): SparseFile {
  const header = Buffer.from(
    JSON.stringify({ w: { dtype: 'F32', shape: [5 * 2 ** 28], data_offsets: [0, 5 * giga] } }),
  );
  return new SparseFile(
    [
      [0, uint64(header.length)],
      [8, header],
    ],
    8 + header.length + 5 * giga,
  );
}

describe('read in a few small pieces', () => {
  test.each<[string, () => SparseFile, string, string]>([
    ['a text of bytes', () => split(bytes, 5 * giga, none), 'PICKLE', 'SAFE'],
    ['an attack behind it', () => split(bytes, 5 * giga, evil), 'PICKLE', 'DANGEROUS'],
    ['an array of joblib', () => split(array, 5 * giga, none), 'JOBLIB', 'SAFE'],
    ['an attack behind it', () => split(array, 5 * giga, evil), 'JOBLIB', 'DANGEROUS'],
    ['a torch archive', () => torchArchive(pickle(list(none))), 'TORCH', 'SAFE'],
    ['an attack in it', () => torchArchive(pickle(list(evil))), 'TORCH', 'DANGEROUS'],
    ['safetensors', safetensors, 'SAFETENSORS', 'SAFE'],
    ['anything else', () => new SparseFile([], 5 * giga), 'OPAQUE', 'SAFE'],
  ])('%s', async (_, make, format, verdict) => {
    const file = make();
    expect(file.size).toBeGreaterThan(4.5 * giga);
    const inspection = await inspectFile(file, 'model');
    const rules = inspection.findings.map(({ rule }) => rule);
    expect({ format: inspection.format, rules }).toEqual({
      format,
      rules: verdict === 'SAFE' ? [] : ['pickle.denied-global'],
    });
    expect(file.total).toBeLessThan(4 * 2 ** 20);
    expect(file.largest).toBeLessThanOrEqual(2 ** 17);
  });
});

describe('a stream', () => {
  /** Gives at most so many bytes at a time, and skips as it likes. */
  function stingy(data: Buffer, atOnce: number): Feed {
    const inner = sourceFeed(bufferSource(data));
    return {
      read: (target) => inner.read(target.subarray(0, Math.max(1, Math.min(atOnce, target.length)))),
      skip: (count) => inner.skip(Math.min(count, atOnce)),
    };
  }

  const step = fc.oneof(
    fc.record({ take: fc.nat(40) }),
    fc.record({ skip: fc.nat(60) }),
    fc.record({ peek: fc.nat(16) }),
  );

  test('gives the same bytes, however they come and are asked for', async () => {
    const data = Buffer.from(Array.from({ length: 500 }, (_, index) => index & 0xff));
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 50 }),
        fc.array(step, { maxLength: 30 }),
        async (atOnce, steps) => {
          const stream = new ByteStream(stingy(data, atOnce), 64);
          let at = 0;
          for (const each of steps) {
            if ('peek' in each) {
              expect(Buffer.from(await stream.peek(each.peek))).toEqual(data.subarray(at, at + each.peek));
              continue;
            }
            const count = 'take' in each ? each.take : each.skip;
            const whole = at + count <= data.length;
            const done = 'take' in each ? stream.take(count) : stream.skip(count);
            if (!whole) return expect(done).rejects.toThrow(EndOfBytes);
            const result = await done;
            if ('take' in each) expect(result).toEqual(data.subarray(at, at + count));
            at += count;
            expect(stream.position).toBe(at);
          }
          return undefined;
        },
      ),
      { numRuns: 300 },
    );
  });
});
