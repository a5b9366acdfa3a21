/** What goes wrong with an artifact store: no room, a disk or a server that fails. Nothing half stored is ever seen. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openS3Store } from '#src/platform/artifact-store.s3.ts';
import type { ArtifactStore } from '#src/platform/artifact-store.ts';
import { NotReadyError, OverloadedError } from '#src/platform/errors.ts';
import { StoreProcess } from '#test/helpers/store-process.ts';
import { bytesOf, kept, kinds, MB, random, sha256, StorePlace, streamOf } from '#test/helpers/stores.ts';
import type { Kind } from '#test/helpers/stores.ts';

let place: StorePlace;
let store: ArtifactStore;

const prepare = (kind: Kind): void => {
  beforeEach(async () => {
    place = await StorePlace.of(kind);
    store = await place.open();
  });
  afterEach(() => place[Symbol.asyncDispose]());
};

/** More than any disk has. */
const RESERVE = { DISK_RESERVE_BYTES: String(1024 ** 5) };
const noRoom = {
  code: 'OVERLOADED',
  retryAfterMs: 30_000,
  hint: expect.stringContaining('DISK_RESERVE_BYTES') as string,
};

describe('a folder', () => {
  prepare('local');

  test('without room takes no byte', async () => {
    const full = await place.open(RESERVE);
    const source = streamOf(random(10));
    await expect(full.stage(source, 10)).rejects.toMatchObject(noRoom);
    expect(source.readableDidRead).toBe(false);
    await expect(full.resumable.begin(randomUUID(), 10)).rejects.toBeInstanceOf(OverloadedError);
    const id = randomUUID();
    await store.resumable.begin(id, 10);
    await expect(full.resumable.append(id, 0, streamOf(random(10)), { bytes: 10 })).rejects.toMatchObject(
      noRoom,
    );
    expect(await store.resumable.offset(id)).toBe(0);
    await store.resumable.abandon(id);
    expect(place.staged()).toEqual([]);
  });

  test('that has room for some bytes takes no more than those', async () => {
    const expected = 1024 ** 5;
    await expect(store.stage(streamOf(random(10)), expected, expected)).rejects.toMatchObject(noRoom);
    await expect(store.resumable.begin(randomUUID(), expected)).rejects.toMatchObject(noRoom);
    expect(place.staged()).toEqual([]);
  });

  test('takes a file over from another disk by copying it', async () => {
    const folder = mkdtempSync('/dev/shm/modelarium-test-');
    try {
      const path = join(folder, 'derived.onnx');
      const content = random(3 * MB);
      writeFileSync(path, content);
      const staged = await store.stageFile(path);
      expect(readdirSync(folder)).toEqual([]);
      await store.keep(staged);
      expect(sha256(await bytesOf(store, staged.digest))).toBe(sha256(content));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  // Files of at most 4 MiB, as a disk would refuse the rest in the middle.
  const limited = "trap '' XFSZ; ulimit -f 4096;";

  test('whose disk fails in the middle has nothing of the file', async () => {
    const child = new StoreProcess(place.environment, ['stage'], limited);
    child.child.stdin.end(random(10 * MB));
    expect(await child.outcome()).toMatchObject({
      error: { name: 'NotReadyError', code: 'NOT_READY', retryAfterMs: 30_000 },
    });
    expect(place.staged()).toEqual([]);
  });

  test('whose disk fails in the middle keeps what an upload has brought', async () => {
    const content = random(10 * MB);
    const id = randomUUID();
    await store.resumable.begin(id, content.length);
    const child = new StoreProcess(place.environment, ['append', id, '0', String(content.length)], limited);
    child.child.stdin.end(content);
    expect(await child.outcome()).toMatchObject({ error: { code: 'NOT_READY' } });
    const offset = (await store.resumable.offset(id)) ?? 0;
    expect(offset).toBe(4 * MB);
    await store.resumable.append(id, offset, streamOf(content.subarray(offset)), { bytes: content.length });
    expect(await store.resumable.seal(id, content.length, undefined)).toMatchObject({
      digest: sha256(content),
    });
  });
});

describe('a bucket', () => {
  prepare('s3');

  /** With little patience, and copies in parts from 10 MiB on. */
  const impatient = (): Promise<ArtifactStore> =>
    openS3Store({
      bucket: place.server.bucket,
      prefix: 'some/prefix',
      region: 'us-east-1',
      endpoint: place.server.endpoint,
      forcePathStyle: true,
      credentials: { accessKeyId: place.server.accessKeyId, secretAccessKey: 'secret-of-a-test' },
      hostId: 'a host',
      databaseId: 'database-of-a-test',
      cacheFolder: place.cache,
      cacheBytes: 1024 * MB,
      reserveBytes: 0,
      copyInPartsBeyond: 10 * MB,
      copyPartBytes: 5 * MB,
      connectMs: 500,
      idleMs: 300,
      attempts: 2,
      onFault: () => undefined,
    });

  const verbs: [string, (digest: string) => Promise<unknown>][] = [
    ['stage', () => store.stage(streamOf(random(10)), 10)],
    ['stage in parts', () => store.stage(streamOf(random(20 * MB)), 20 * MB)],
    ['keep', (digest) => store.keep({ stagedAt: 'x', digest, bytes: 1 })],
    ['begin', () => store.resumable.begin(randomUUID(), 10)],
    ['offset', () => store.resumable.offset(randomUUID())],
    ['sizeOf', (digest) => store.sizeOf(digest)],
    ['read', (digest) => store.read(digest)],
    ['localise', (digest) => store.localise(digest)],
    ['remove', (digest) => store.remove(digest)],
    ['list', () => Array.fromAsync(store.list())],
    ['sweep', () => store.sweepStaging(async () => new Set())],
    ['check', () => store.check()],
  ];

  test.each(verbs)('that is away, or answers nothing but errors, is not ready for %s', async (_verb, use) => {
    const digest = await kept(store, random(10));
    const notReady = { code: 'NOT_READY', retryAfterMs: 5_000 };
    place.server.fault = () => 'fail';
    await expect(use(digest)).rejects.toMatchObject(notReady);
    await place.server.stop();
    await expect(use(digest)).rejects.toMatchObject(notReady);
    place.server.fault = () => undefined;
    await place.server.start();
    expect(await bytesOf(store, digest)).toHaveLength(10);
    expect(place.staged()).toEqual([]);
  });

  test('that never answers is not waited for for ever', async () => {
    store = await impatient();
    const digest = await kept(store, random(10));
    place.server.fault = () => 'hang';
    await expect(store.sizeOf(digest)).rejects.toBeInstanceOf(NotReadyError);
    await expect(store.stage(streamOf(random(10)), 10)).rejects.toBeInstanceOf(NotReadyError);
  });

  test('that does not know us says so, and that waiting does not help', async () => {
    await expect(place.open({ AWS_ACCESS_KEY_ID: 'another' })).rejects.toMatchObject({
      code: 'NOT_READY',
      retryAfterMs: null,
    });
    await expect(place.open({ ARTIFACT_STORE: 's3://other' })).rejects.toMatchObject({ retryAfterMs: null });
  });

  test('that fails now and then is asked again', async () => {
    let requests = 0;
    place.server.fault = () => (requests++ % 3 === 0 ? 'fail' : requests % 3 === 1 ? 'drop' : undefined);
    const content = random(20 * MB);
    const digest = await kept(store, content);
    expect(sha256(await bytesOf(store, digest))).toBe(digest);
  });

  test('whose server goes away in the middle of a stage has nothing of it', async () => {
    let parts = 0;
    place.server.fault = ({ query }) => (query.has('partNumber') && parts++ > 0 ? 'drop' : undefined);
    const source = streamOf(random(40 * MB));
    await expect(store.stage(source, 40 * MB)).rejects.toMatchObject({ code: 'NOT_READY' });
    expect(source.destroyed).toBe(true);
    expect(place.staged()).toEqual([]);
  });

  test('whose server goes away in the middle of an upload has what it took', async () => {
    const content = random(40 * MB);
    const id = randomUUID();
    await store.resumable.begin(id, content.length);
    const append = (offset: number): Promise<number> =>
      store.resumable.append(id, offset, streamOf(content.subarray(offset)), { bytes: content.length });
    place.server.fault = ({ query }) => (query.get('partNumber') === '3' ? 'drop' : undefined);
    await expect(append(0)).rejects.toMatchObject({ code: 'NOT_READY' });
    place.server.fault = () => undefined;
    const offset = (await store.resumable.offset(id)) ?? 0;
    expect(offset).toBe(16 * MB);
    expect(await append(offset)).toBe(content.length);
    // Killed between the last part and the end.
    place.server.fault = ({ method, query }) =>
      method === 'POST' && query.has('uploadId') ? 'drop' : undefined;
    await expect(store.resumable.seal(id, content.length, undefined)).rejects.toMatchObject({
      code: 'NOT_READY',
    });
    place.server.fault = () => undefined;
    expect(await store.resumable.offset(id)).toBe(content.length);
    const sealed = await store.resumable.seal(id, content.length, undefined);
    expect(sealed.digest).toBe(sha256(content));
    await store.keep(sealed);
    expect(place.staged()).toEqual([]);
  });

  test('whose answers break is read to the end, unless they bring nothing any more', async () => {
    const content = random(3 * MB);
    const digest = await kept(store, content);
    place.server.fault = ({ method, key }) =>
      method === 'GET' && key.includes('sha256/') ? 'break' : undefined;
    expect(sha256(await bytesOf(store, digest))).toBe(digest);
    expect(sha256(await buffer(await store.read(digest, { start: 5, end: MB })))).toBe(
      sha256(content.subarray(5, MB + 1)),
    );
    const reading = await store.read(digest);
    place.server.fault = () => 'drop';
    await expect(buffer(reading)).rejects.toMatchObject({ code: 'NOT_READY' });
    place.server.fault = () => undefined;
  });

  test('copies what is large in parts', async () => {
    store = await impatient();
    const content = random(23 * MB);
    const staged = await store.stage(streamOf(content), content.length);
    place.server.fault = ({ query }) => (query.get('partNumber') === '4' ? 'fail' : undefined);
    await expect(store.keep(staged)).rejects.toMatchObject({ code: 'NOT_READY' });
    expect(await store.sizeOf(staged.digest)).toBeUndefined();
    expect(place.server.uploads.size).toBe(0);
    place.server.fault = () => undefined;
    await store.keep(staged);
    expect(sha256(await bytesOf(store, staged.digest))).toBe(staged.digest);
    expect(place.staged()).toEqual([]);
  });

  test('tells long lists in pages', async () => {
    place.server.pageSize = 2;
    const content = random(45 * MB);
    const id = randomUUID();
    await store.resumable.begin(id, content.length);
    await store.resumable.append(id, 0, streamOf(content), { bytes: content.length });
    expect(await store.resumable.offset(id)).toBe(content.length);
    expect(await store.resumable.seal(id, content.length, undefined)).toMatchObject({
      digest: sha256(content),
    });
    for (let count = 0; count < 5; count++) await store.resumable.begin(randomUUID(), 10);
    expect(await store.sweepStaging(async () => new Set([id]))).toBe(5);
    expect(place.server.uploads.size).toBe(0);
  });

  describe('its copies on this host', () => {
    const fetches = (digest: string): number =>
      place.server.log.filter((line) => line.startsWith('GET ') && line.includes(digest)).length;
    /** As if it had been used last so long ago. */
    const age = (path: string, seconds: number): void => {
      const at = statSync(path).mtimeMs / 1000 - seconds;
      utimesSync(path, at, at);
    };

    test('are fetched once, whoever asks', async () => {
      const digest = await kept(store, random(9 * MB));
      const { promise: gate, resolve: goOn } = Promise.withResolvers<undefined>();
      let opened = 0;
      const { promise: othersAsk, resolve: theyAsk } = Promise.withResolvers<void>();
      place.server.fault = ({ method, key, query }) => {
        if (query.get('prefix')?.includes('store-id') && ++opened === 2) theyAsk();
        return method === 'GET' && key.endsWith(digest) ? gate : undefined;
      };
      const asked = Array.from({ length: 5 }, () => store.localise(digest));
      const others = [1, 2].map(() => new StoreProcess(place.environment, ['localise', digest]));
      await othersAsk;
      goOn(undefined);
      const paths = await Promise.all(asked);
      const told = await Promise.all(others.map((other) => other.outcome()));
      expect([...paths, ...told.map(({ result }) => result)]).toEqual(
        Array(7).fill(join(place.cache, digest)),
      );
      expect(fetches(digest)).toBe(1);
      expect(readdirSync(place.cache)).toEqual([digest]);
    });

    test('that were cut, or changed while nobody looked, are fetched again', async () => {
      const content = random(MB);
      const digest = await kept(store, content);
      const path = await store.localise(digest);
      truncateSync(path, 1000);
      expect(statSync(await store.localise(digest)).size).toBe(MB);
      writeFileSync(path, random(MB));
      const restarted = await place.open();
      expect(await restarted.localise(digest)).toBe(path);
      expect(fetches(digest)).toBe(3);
    });

    test('are not made of bytes that are damaged in the store', async () => {
      const digest = await kept(store, random(100));
      for (const [key, stored] of place.server.objects) {
        if (key.endsWith(digest)) place.server.objects.set(key, { ...stored, body: random(100) });
      }
      await expect(store.localise(digest)).rejects.toThrow(/is damaged in the artifact store/);
      expect(readdirSync(place.cache)).toEqual([]);
    });

    test('make room: those that were used least recently', async () => {
      store = await place.open({ CACHE_BYTES: String(3 * MB) });
      const digests: string[] = [];
      for (let count = 0; count < 3; count++) {
        const digest = await kept(store, random(MB));
        age(await store.localise(digest), 600 - count * 100);
        digests.push(digest);
      }
      // Used again.
      await store.localise(digests[0] as string);
      const next = await kept(store, random(MB));
      await store.localise(next);
      expect(new Set(readdirSync(place.cache))).toEqual(new Set([digests[0], digests[2], next]));
      await store.remove(next);
      expect(readdirSync(place.cache)).not.toContain(next);
    });

    test('need room on the disk', async () => {
      const digest = await kept(store, random(100));
      const full = await place.open(RESERVE);
      await expect(full.localise(digest)).rejects.toMatchObject(noRoom);
      expect(readdirSync(place.cache)).toEqual([]);
    });

    test('are waited for only as long as one wants, and fetched as long as anybody does', async () => {
      const digest = await kept(store, random(MB));
      let isAsked = (): void => undefined;
      const asked = new Promise<void>((resolve) => (isAsked = resolve));
      place.server.fault = ({ method, key }) => {
        if (method !== 'GET' || !key.endsWith(digest)) return undefined;
        isAsked();
        return 'hang';
      };
      const stop = new AbortController();
      const waiting = store.localise(digest, stop.signal);
      await asked;
      stop.abort(new Error('Not wanted any more.'));
      await expect(waiting).rejects.toThrow('Not wanted any more.');
      place.server.fault = () => undefined;
      expect(statSync(await store.localise(digest)).size).toBe(MB);
      await expect(store.localise(digest, AbortSignal.abort())).rejects.toThrow(/abort/i);
    });

    test('are taken over from a process that was killed while it fetched', async () => {
      const digest = await kept(store, random(MB));
      let isAsked = (): void => undefined;
      const asked = new Promise<void>((resolve) => (isAsked = resolve));
      place.server.fault = ({ method, key }) => {
        if (method !== 'GET' || !key.endsWith(digest)) return undefined;
        isAsked();
        return 'hang';
      };
      const child = new StoreProcess(place.environment, ['localise', digest]);
      await asked;
      await child.kill();
      place.server.fault = () => undefined;
      expect(statSync(await store.localise(digest)).size).toBe(MB);
      expect(readdirSync(place.cache)).toEqual([digest]);
    });
  });
});

test.each(kinds)('%s: a store that is gone is not ready', async (kind) => {
  await using gone = await StorePlace.of(kind);
  const opened = await gone.open();
  await opened.check();
  await gone[Symbol.asyncDispose]();
  await expect(opened.check()).rejects.toThrow(/.+/);
});
