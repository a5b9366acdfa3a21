/** What every artifact store does, whether it is a folder or a bucket. */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ArtifactStore } from '#src/platform/artifact-store.ts';
import { ConflictError, NotFoundError, ValidationError } from '#src/platform/errors.ts';
import { StoreProcess } from '#test/helpers/store-process.ts';
import {
  breakingAfter,
  bytesOf,
  kept,
  kinds,
  MB,
  random,
  sha256,
  StorePlace,
  streamOf,
} from '#test/helpers/stores.ts';

const none = async (): Promise<ReadonlySet<string>> => new Set();

describe.each(kinds)('%s', (kind) => {
  let place: StorePlace;
  let store: ArtifactStore;

  beforeEach(async () => {
    place = await StorePlace.of(kind);
    store = await place.open();
  });
  afterEach(() => place[Symbol.asyncDispose]());

  describe('a file', () => {
    test.each([0, 1, MB, 20 * MB + 17])('of %i bytes is staged, kept, read and removed', async (bytes) => {
      const content = random(bytes);
      const staged = await store.stage(streamOf(content), bytes, bytes);
      expect(staged).toMatchObject({ digest: sha256(content), bytes });
      expect(await store.sizeOf(staged.digest)).toBeUndefined();
      await store.keep(staged);
      await store.keep(staged);
      expect(place.staged()).toEqual([]);
      expect(await store.sizeOf(staged.digest)).toBe(bytes);
      expect(sha256(await bytesOf(store, staged.digest))).toBe(staged.digest);
      expect(sha256(readFileSync(await store.localise(staged.digest)))).toBe(staged.digest);
      expect(await Array.fromAsync(store.list())).toEqual([{ digest: staged.digest, bytes }]);
      await store.remove(staged.digest);
      await store.remove(staged.digest);
      expect(await store.sizeOf(staged.digest)).toBeUndefined();
    });

    test('that is kept already is kept once', async () => {
      const content = random(1000);
      await kept(store, content);
      await kept(store, content);
      expect(await Array.fromAsync(store.list())).toHaveLength(1);
      expect(place.staged()).toEqual([]);
    });

    test('that is discarded leaves nothing', async () => {
      const staged = await store.stage(streamOf(random(10)), 10);
      await store.discard(staged);
      await store.discard(staged);
      expect(place.staged()).toEqual([]);
      await expect(store.keep(staged)).rejects.toThrow(/.+/);
    });

    test.each([10, 20 * MB])(
      'of more than %i bytes, where those are the limit, leaves nothing',
      async (limit) => {
        const source = streamOf(random(limit + MB));
        const failure = store.stage(source, limit);
        await expect(failure).rejects.toBeInstanceOf(ValidationError);
        await expect(failure).rejects.toMatchObject({ hint: 'Raise MAX_FILE_BYTES.' });
        expect(source.destroyed).toBe(true);
        expect(place.staged()).toEqual([]);
        await expect(store.stage(streamOf(random(1)), limit, limit + 1)).rejects.toBeInstanceOf(
          ValidationError,
        );
      },
    );

    test.each([1000, 20 * MB])('whose source fails after %i bytes leaves nothing', async (bytes) => {
      await expect(store.stage(breakingAfter(random(bytes)), 100 * MB)).rejects.toThrow('The line broke.');
      let content: Buffer | undefined = random(bytes);
      const cut = new Readable({
        read: () => {
          if (content) cut.push(content);
          else cut.destroy();
          content = undefined;
        },
      });
      await expect(store.stage(cut, 100 * MB)).rejects.toThrow(/.+/);
      expect(place.staged()).toEqual([]);
    });

    test('is taken over from a path', async () => {
      const path = join(place.dataDir, 'derived.onnx');
      const content = random(3 * MB);
      writeFileSync(path, content);
      const staged = await store.stageFile(path);
      expect(staged).toMatchObject({ digest: sha256(content), bytes: content.length });
      expect(existsSync(path)).toBe(false);
      await store.keep(staged);
      expect(await bytesOf(store, staged.digest)).toEqual(content);
    });

    test('is read in parts', async () => {
      const content = random(3 * MB);
      const digest = await kept(store, content);
      for (const [start, end] of [
        [0, 0],
        [1, MB],
        [MB, content.length - 1],
        [content.length - 1, content.length + 5],
      ] as const) {
        expect(await bytesOf(store, digest, { start, end })).toEqual(content.subarray(start, end + 1));
      }
      for (const [start, end] of [
        [content.length, content.length],
        [-1, 3],
        [5, 4],
      ] as const) {
        await expect(store.read(digest, { start, end })).rejects.toBeInstanceOf(RangeError);
      }
    });

    test('that is missing says so', async () => {
      const digest = sha256(random(1));
      await expect(store.read(digest)).rejects.toBeInstanceOf(NotFoundError);
      await expect(store.localise(digest)).rejects.toBeInstanceOf(NotFoundError);
      expect(await store.sizeOf(digest)).toBeUndefined();
    });

    test('is one of many that are listed and removed', async () => {
      place.server.pageSize = 3;
      const digests = [];
      for (let count = 0; count < 10; count++) digests.push(await kept(store, random(100 + count)));
      const listed = await Array.fromAsync(store.list());
      expect(listed.map(({ digest }) => digest).toSorted()).toEqual(digests.toSorted());
      await store.removeMany([...digests.slice(1), sha256(random(1))]);
      expect(await Array.fromAsync(store.list())).toMatchObject([{ digest: digests[0] }]);
    });
  });

  describe('files that are being removed by who may not any more', () => {
    const late = async (): Promise<void> => {
      throw new Error('Too late.');
    };

    test('stay, where that shows before', async () => {
      const digests = [await kept(store, random(100)), await kept(store, random(101))];
      await expect(store.removeMany(digests, late)).rejects.toThrow('Too late.');
      expect(await Array.fromAsync(store.list())).toHaveLength(2);
    });

    // A bucket has no way to take back what it was asked.
    test.skipIf(kind === 's3')('are back, where it shows after; what came anew meanwhile stays', async () => {
      const contents = [random(100), random(101), random(102)];
      const digests: string[] = [];
      for (const content of contents) digests.push(await kept(store, content));
      let asked = 0;
      const confirm = async (): Promise<void> => {
        if (++asked === 1) return;
        expect(await Array.fromAsync(store.list())).toEqual([]);
        await kept(store, contents[0]!);
        await late();
      };
      await expect(store.removeMany(digests, confirm)).rejects.toThrow('Too late.');
      for (const [index, digest] of digests.entries())
        expect(await bytesOf(store, digest)).toEqual(contents[index]);
      expect(place.staged()).toEqual([]);
    });
  });

  describe('an upload', () => {
    const append = (id: string, offset: number, content: Buffer, bytes: number): Promise<number> =>
      store.resumable.append(id, offset, streamOf(content), { bytes });

    test('goes on where it was left, in whatever process', async () => {
      const content = random(21 * MB + 5);
      const id = randomUUID();
      expect(await store.resumable.offset(id)).toBeUndefined();
      await store.resumable.begin(id, content.length);
      await store.resumable.begin(id, content.length);
      expect(await store.resumable.offset(id)).toBe(0);
      let offset = 0;
      const seen: Buffer[] = [];
      for (const end of [3, 9 * MB, 9 * MB + 1, 20 * MB, content.length]) {
        const other = await place.open();
        const source = streamOf(content.subarray(offset, end));
        const onBytes = (chunk: Buffer): void => void seen.push(Buffer.from(chunk));
        expect(await other.resumable.append(id, offset, source, { bytes: content.length, onBytes })).toBe(
          end,
        );
        expect(await store.resumable.offset(id)).toBe(end);
        offset = end;
      }
      expect(Buffer.concat(seen).equals(content)).toBe(true);
      const sealed = await store.resumable.seal(id, content.length, undefined);
      expect(sealed).toMatchObject({ digest: sha256(content), bytes: content.length });
      expect(await store.resumable.seal(id, content.length, sealed.digest)).toEqual(sealed);
      await store.keep(sealed);
      expect(place.staged()).toEqual([]);
      // By somebody who was killed before they could say that it is kept.
      const again = await store.resumable.seal(id, content.length, sealed.digest);
      await store.keep(again);
      expect(sha256(await bytesOf(store, sealed.digest))).toBe(sealed.digest);
    });

    test('of nothing is a file of nothing', async () => {
      const id = randomUUID();
      await store.resumable.begin(id, 0);
      const sealed = await store.resumable.seal(id, 0, undefined);
      expect(sealed).toMatchObject({ bytes: 0, digest: sha256(Buffer.alloc(0)) });
      await store.keep(sealed);
      expect(await bytesOf(store, sealed.digest)).toEqual(Buffer.alloc(0));
      expect(place.staged()).toEqual([]);
    });

    test('takes bytes only where it stands, and no more than were announced', async () => {
      const id = randomUUID();
      const missing = store.resumable.append(id, 0, streamOf(random(1)), { bytes: 10 });
      await expect(missing).rejects.toBeInstanceOf(NotFoundError);
      await expect(store.resumable.seal(id, 10, undefined)).rejects.toBeInstanceOf(NotFoundError);
      await store.resumable.begin(id, 10);
      const content = random(12);
      await append(id, 0, content.subarray(0, 4), 10);
      for (const wrong of [0, 3, 5]) {
        await expect(append(id, wrong, random(1), 10)).rejects.toMatchObject({
          code: 'CONFLICT',
          current: '4',
        });
      }
      await expect(store.resumable.seal(id, 10, undefined)).rejects.toBeInstanceOf(ConflictError);
      await expect(append(id, 4, content.subarray(4), 10)).rejects.toBeInstanceOf(ValidationError);
      expect(await store.resumable.offset(id)).toBe(10);
      expect(await store.resumable.seal(id, 10, undefined)).toMatchObject({
        digest: sha256(content.subarray(0, 10)),
      });
    });

    test('that is abandoned leaves nothing', async () => {
      const id = randomUUID();
      await store.resumable.begin(id, 20 * MB);
      await append(id, 0, random(10 * MB), 20 * MB);
      await store.resumable.abandon(id);
      await store.resumable.abandon(id);
      expect(await store.resumable.offset(id)).toBeUndefined();
      expect(place.staged()).toEqual([]);
    });

    test('stops when its signal fires: what arrived stays, and nothing is written any more', async () => {
      const id = randomUUID();
      const content = random(20 * MB);
      const stop = new AbortController();
      await store.resumable.begin(id, content.length);
      let seen = 0;
      const onBytes = (chunk: Buffer): void => {
        seen += chunk.length;
        if (seen > 12 * MB) stop.abort(new Error('Somebody else goes on.'));
      };
      const source = streamOf(content);
      const options = { bytes: content.length, signal: stop.signal, onBytes };
      await expect(store.resumable.append(id, 0, source, options)).rejects.toThrow('Somebody else goes on.');
      const offset = await store.resumable.offset(id);
      expect(offset).toBe(seen);
      expect(source.destroyed).toBe(false);
      source.resume();
      const hanging = new Readable({ read: () => undefined });
      const late = store.resumable.append(id, seen, hanging, {
        bytes: content.length,
        signal: AbortSignal.timeout(50),
      });
      await expect(late).rejects.toThrow(/timeout/);
      await append(id, seen, content.subarray(seen), content.length);
      expect(await store.resumable.seal(id, content.length, undefined)).toMatchObject({
        digest: sha256(content),
      });
    });

    test('of any pieces with any breaks has the same bytes', async () => {
      const content = random(26 * MB + 3);
      const piece = fc.record({
        bytes: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 12 * MB })),
        chunkBytes: fc.constantFrom(1000, 64 * 1024, 9 * MB),
        breaks: fc.boolean(),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(piece, { maxLength: 6 }), async (pieces) => {
          const id = randomUUID();
          await store.resumable.begin(id, content.length);
          let offset = 0;
          for (const { bytes, chunkBytes, breaks } of [
            ...pieces,
            { bytes: Infinity, chunkBytes: MB, breaks: false },
          ]) {
            const part = content.subarray(offset, Math.min(content.length, offset + bytes));
            const source = breaks ? breakingAfter(part) : streamOf(part, chunkBytes);
            const appended = store.resumable.append(id, offset, source, { bytes: content.length });
            if (breaks) await expect(appended).rejects.toThrow('The line broke.');
            else await appended;
            offset += part.length;
            expect(await store.resumable.offset(id)).toBe(offset);
          }
          const sealed = await store.resumable.seal(id, content.length, undefined);
          expect(sealed.digest).toBe(sha256(content));
          await store.discard(sealed);
          expect(place.staged()).toEqual([]);
        }),
        { numRuns: 12 },
      );
    });

    test('goes on after the process that appended was killed', async () => {
      const content = random(40 * MB);
      const id = randomUUID();
      await store.resumable.begin(id, content.length);
      const acknowledged = 9 * MB + 77;
      await append(id, 0, content.subarray(0, acknowledged), content.length);
      const child = new StoreProcess(place.environment, [
        'append',
        id,
        String(acknowledged),
        String(content.length),
      ]);
      await child.send(content.subarray(acknowledged, 30 * MB));
      await child.kill();
      const offset = (await store.resumable.offset(id)) ?? 0;
      expect(offset).toBeGreaterThanOrEqual(acknowledged);
      expect(offset).toBeLessThanOrEqual(30 * MB);
      expect(await append(id, offset, content.subarray(offset), content.length)).toBe(content.length);
      expect(await store.resumable.seal(id, content.length, undefined)).toMatchObject({
        digest: sha256(content),
      });
    });
  });

  describe('the sweep', () => {
    test('takes what processes that are gone have staged, and leaves what others are at', async () => {
      const mine = await store.stage(streamOf(random(10)), 10);
      const partArrives = new Promise<void>((resolve) => {
        place.server.fault = ({ query }) => {
          if (query.has('partNumber')) resolve();
          return undefined;
        };
      });
      const child = new StoreProcess(place.environment, ['stage']);
      await child.send(random(30 * MB));
      if (kind === 's3') await partArrives;
      expect(await store.sweepStaging(none)).toBe(0);
      await child.kill();
      expect(await store.sweepStaging(none)).toBe(1);
      expect(place.staged()).toHaveLength(1);
      await store.keep(mine);
    });

    test('takes uploads that nobody knows of, and leaves the others', async () => {
      const [live, dead] = [randomUUID(), randomUUID()];
      for (const id of [live, dead]) {
        await store.resumable.begin(id, 20 * MB);
        await store.resumable.append(id, 0, streamOf(random(9 * MB)), { bytes: 20 * MB });
      }
      const asked: string[] = [];
      const isLive = async (ids: readonly string[]): Promise<ReadonlySet<string>> => {
        asked.push(...ids);
        return new Set([live]);
      };
      expect(await store.sweepStaging(isLive)).toBe(1);
      expect(asked.toSorted()).toEqual([live, dead].toSorted());
      expect(await store.resumable.offset(live)).toBe(9 * MB);
      expect(await store.resumable.offset(dead)).toBeUndefined();
      await store.resumable.abandon(live);
      expect(place.staged()).toEqual([]);
    });
  });

  test('belongs to one database', async () => {
    await expect(place.open({}, 'another-database')).rejects.toThrow(/belongs to another database/);
    await place.open();
    await store.check();
  });
});
