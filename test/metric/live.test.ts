import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, inject, test, type TestContext } from 'vitest';
import { startRedis } from '#src/local/redis.ts';
import type { MetricFrame } from '#src/metric/frame.ts';
import { openLiveMetrics, type LiveMetrics } from '#src/metric/live.ts';
import { openRecorder, type Recorder } from '#src/metric/recorder.ts';
import { encodeBatch, shardOf, streamKey } from '#src/metric/stream.ts';
import { openRedis, whenReady, type Redis } from '#src/platform/redis.ts';

const logger = pino({ level: 'silent' });
const arm = { deploymentId: 'd1', armId: 'a1', armName: 'stable' };
let count = 0;

interface Stage {
  readonly prefix: string;
  readonly connect: (url?: string) => Promise<Redis>;
  readonly openReader: (url?: string) => Promise<LiveMetrics>;
  readonly writer: (redis: Redis) => Recorder;
  /** Undone at the test's end, the latest first. */
  readonly after: (undo: () => unknown) => void;
}

/** What a test opens, under a prefix of its own: they run side by side, because most of them wait for seconds. */
function stage({ onTestFinished }: TestContext): Stage {
  const prefix = `live-${process.pid}-${++count}`;
  const after = (undo: () => unknown): void =>
    onTestFinished(async () => {
      await undo();
    });
  return {
    prefix,
    after,
    connect: async (url = inject('redisUrl')) => {
      const redis = openRedis({ url, mode: 'fast' });
      after(() => redis.disconnect());
      await whenReady(redis);
      return redis;
    },
    openReader: async (url = inject('redisUrl')) => {
      const live = openLiveMetrics({ url, prefix, logger });
      after(() => live.close());
      await live.ready;
      return live;
    },
    writer: (redis) => {
      const recorder = openRecorder({ redis, prefix, logger });
      after(() => recorder.close());
      return recorder;
    },
  };
}

const seconds = { step: 'SECOND', backfillSeconds: 0 } as const;
const total = (frame: MetricFrame): number => frame.arms.reduce((sum, { requests }) => sum + requests, 0);

/** Reads frames until one fits. */
async function until(
  frames: AsyncGenerator<MetricFrame, void, void>,
  fits: (frame: MetricFrame) => boolean,
): Promise<MetricFrame[]> {
  const read: MetricFrame[] = [];
  for (;;) {
    const { value } = await frames.next();
    if (!value) throw new Error('The frames ended.');
    read.push(value);
    if (fits(value)) return read;
  }
}

function expectEverySecond({ expect }: TestContext, frames: readonly MetricFrame[]): void {
  const from = frames[0]?.at.getTime() ?? 0;
  expect(frames.map((frame) => frame.at.getTime() - from)).toEqual(frames.map((_, i) => i * 1_000));
}

describe.concurrent('live metrics', () => {
  test('a frame every second: empty ones, then two writers merged, then zeros', async (context) => {
    const { connect, openReader, writer } = stage(context);
    const { expect } = context;
    const [one, two, live] = [writer(await connect()), writer(await connect()), await openReader()];
    const frames = live.frames('d1', seconds);
    const quiet = await until(frames, () => true);
    expect(quiet[0]?.arms).toEqual([]);
    for (let i = 0; i < 30; i++) {
      one.record({ ...arm, outcome: 'ok', latencyMs: 10, rows: 1 });
      two.record({ ...arm, outcome: i < 15 ? 'model' : 'ok', latencyMs: 20, rows: 1 });
    }
    const recordedIn = Math.floor(Date.now() / 1000) * 1000;
    const busy = await until(frames, (frame) => frame.at.getTime() >= recordedIn + 1_000);
    const all = [...quiet, ...busy];
    expectEverySecond(context, all);
    expect(all.map(total).reduce((sum, each) => sum + each)).toBe(60);
    // Recorded right after a frame, which comes in the middle of a second.
    const point = all.find((frame) => total(frame) === 60)?.arms[0];
    expect(point).toMatchObject({ arm: 'stable', errorRate: 0.25, errors: { model: 15 }, partial: false });
    expect(point?.latencyMs.max).toBe(20);
    const last = all.at(-1);
    expect(last?.arms).toMatchObject([{ requests: 0, latencyMs: { p99: null } }]);
    const lag = (last?.closedAt.getTime() ?? 0) - (last?.at.getTime() ?? 0);
    expect(lag).toBeGreaterThanOrEqual(2_500);
  });

  test('a reader that has just started knows the past', async (context) => {
    const { connect, openReader, writer } = stage(context);
    const { expect } = context;
    const recorder = writer(await connect());
    for (let i = 0; i < 5; i++) recorder.record({ ...arm, outcome: 'ok', latencyMs: 10, rows: 1 });
    const first = await openReader();
    const seen = await until(first.frames('d1', seconds), (frame) => total(frame) === 5);
    const second = await openReader();
    const past = second.past('d1', { step: 'SECOND', backfillSeconds: 60 });
    expect(past).toHaveLength(60);
    expectEverySecond(context, past);
    expect(past.find((frame) => total(frame) === 5)?.at).toEqual(seen.at(-1)?.at);

    const ending = new AbortController();
    const frames = second.frames('d1', { step: 'SECOND', backfillSeconds: 60, signal: ending.signal });
    const read = await until(frames, (frame) => frame.at.getTime() > (past.at(-1)?.at.getTime() ?? 0));
    expectEverySecond(context, read);
    expect(second.stats().subscribers).toBe(1);
    ending.abort();
    expect(await frames.next()).toMatchObject({ done: true });
    expect(second.stats().subscribers).toBe(0);
  });

  test('a reader that does not read gets the newest, with a gap mark', async (context) => {
    const { openReader } = stage(context);
    const { expect } = context;
    const live = await openReader();
    const lazy = live.frames('d1', seconds);
    const eager = live.frames('d1', seconds);
    for (let i = 0; i < 4; i++) await eager.next();
    const { value } = await lazy.next();
    expect(value).toMatchObject({ gapBefore: true });
  });

  test('a batch that never came makes its second partial', async (context) => {
    const { connect, openReader, prefix, writer } = stage(context);
    const { expect } = context;
    const redis = await connect();
    const live = await openReader();
    const frames = live.frames('d1', seconds);
    const [first] = await until(frames, () => true);
    const now = Math.floor(Date.now() / 1000);
    for (const [sequence, second] of [
      [1, now],
      [3, now + 2],
    ] as const) {
      const batch = { writer: 'one', sequence, second, idle: sequence === 3, windows: [] };
      await redis.xadd(streamKey(prefix, shardOf('d1')), '*', ...encodeBatch(batch));
    }
    await redis.xadd(streamKey(prefix, shardOf('d1')), '*', 'not', 'ours');
    const recorder = writer(redis);
    recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1 });
    const read = await until(frames, (frame) => frame.at.getTime() === (now + 3) * 1000);
    const partial = read.filter((frame) => frame.arms.some((point) => point.partial));
    expect(partial.map((frame) => frame.at.getTime() / 1000)).toContain(now + 1);
    expect(partial.map((frame) => frame.at.getTime() / 1000)).not.toContain(now + 2);
    expect(live.stats().unreadable).toBe(1);
    expectEverySecond(context, [...(first ? [first] : []), ...read]);
  });

  test('a stream that begins again with lower numbers does not hold the reader up', async (context) => {
    const { after, connect, openReader, prefix, writer } = stage(context);
    const redis = await connect();
    const live = await openReader();
    const key = streamKey(prefix, shardOf('d1'));
    const far = { writer: 'future', sequence: 1, second: 0, idle: true, windows: [] };
    await redis.xadd(key, '99999999999999-0', ...encodeBatch(far));
    const frames = live.frames('d1', seconds);
    await frames.next();
    await redis.del(key);
    const recorder = writer(redis);
    const ticking = setInterval(() => recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1 }), 100);
    after(() => clearInterval(ticking));
    const read = await until(frames, (frame) => total(frame) > 0);
    expectEverySecond(context, read);
  });

  test('over a Redis that is restarted, empty, frames go on, partial while it is away, and traffic is seen again', async (context) => {
    const { after, connect, openReader, writer } = stage(context);
    const { expect } = context;
    const dataDir = mkdtempSync(join(tmpdir(), 'modelarium-live-'));
    after(() => rmSync(dataDir, { recursive: true, force: true }));
    const options = { dataDir, env: process.env, durable: false };
    let server = await startRedis(options);
    after(() => server.stop());
    const { url, port } = server;
    const recorder = writer(await connect(url));
    const ticking = setInterval(() => recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1 }), 50);
    after(() => clearInterval(ticking));
    const live = await openReader(url);
    const frames = live.frames('d1', seconds);
    const before = await until(frames, (frame) => total(frame) > 0);
    await server.stop();
    const away = await until(frames, (frame) => frame.arms.some(({ partial }) => partial));
    server = await startRedis({ ...options, port });
    const again = await until(
      frames,
      (frame) => total(frame) > 0 && frame.arms.every(({ partial }) => !partial),
    );
    expectEverySecond(context, [...before, ...away, ...again]);
    expect(recorder.stats().dropped).toBeGreaterThan(0);
  });
});
