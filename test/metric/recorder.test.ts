import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { pino } from 'pino';
import { openRecorder, type Recorder } from '#src/metric/recorder.ts';
import { decodeBatch, shardOf, SHARDS, streamKey, type Batch } from '#src/metric/stream.ts';
import { valueBin } from '#src/metric/value-bin.ts';
import { openRedis, whenReady, type Redis } from '#src/platform/redis.ts';
import { ManualClock } from './manual-clock.ts';

const logger = pino({ level: 'silent' });
const START = 1_800_000_000_000;
const arm = { deploymentId: 'd1', armId: 'a1', armName: 'stable' };
let redis: Redis;
let prefix = '';
let count = 0;

beforeAll(async () => {
  redis = openRedis({ url: inject('redisUrl'), mode: 'fast' });
  await whenReady(redis);
});
beforeEach(() => {
  prefix = `recorder-${process.pid}-${++count}`;
});
afterAll(() => redis.disconnect());

async function batches(deploymentId = arm.deploymentId): Promise<Batch[]> {
  const entries = await redis.xrange(streamKey(prefix, shardOf(deploymentId)), '-', '+');
  return entries.map(([, fields]) => decodeBatch(fields));
}

function open(): { recorder: Recorder; clock: ManualClock } {
  const clock = new ManualClock(START);
  return { clock, recorder: openRecorder({ redis, prefix, logger, clock }) };
}

describe('the recorder', () => {
  test('writes one numbered batch a second, with every arm in it', async () => {
    const { recorder, clock } = open();
    const other = { ...arm, armId: 'a2', armName: 'candidate' };
    for (let i = 0; i < 10; i++) recorder.record({ ...arm, outcome: 'ok', latencyMs: 5, rows: 2 });
    recorder.record({ ...other, outcome: 'model', latencyMs: 7, rows: 0 });
    clock.advance(1_000);
    recorder.record({ ...arm, outcome: 'server', latencyMs: 30, rows: 0 });
    clock.advance(1_000);
    await recorder.close();
    const [first, second] = await batches();
    expect(first).toMatchObject({ sequence: 1, second: START / 1000, idle: false });
    expect(first?.windows.map(({ arm: { armName }, window }) => [armName, window.requests])).toEqual([
      ['stable', 10],
      ['candidate', 1],
    ]);
    expect(first?.windows[0]?.window).toMatchObject({ ok: 10, rows: 20, maxMs: 5 });
    expect(second).toMatchObject({ sequence: 2, second: START / 1000 + 1 });
    expect(second?.windows.map(({ window }) => window.server)).toEqual([1]);
  });

  test('a request counts in the second in which it ended, also when the timer is late', async () => {
    const { recorder, clock } = open();
    recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1 });
    clock.advance(999);
    recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1 });
    clock.advance(1);
    recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1 });
    await recorder.close();
    const counts = (await batches()).map(({ windows }) => windows.map(({ window }) => window.requests));
    expect(counts).toEqual([[2], [1]]);
  });

  test('close writes the running second as the last word', async () => {
    const { recorder } = open();
    recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1 });
    await recorder.close();
    expect(await batches()).toMatchObject([{ idle: true, windows: [{ window: { ok: 1 } }] }]);
    expect(recorder.stats()).toEqual({ written: 1, dropped: 0 });
  });

  test('after traffic it keeps saying that there is none, then pauses; the other shards stay quiet', async () => {
    const { recorder, clock } = open();
    recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1 });
    clock.advance(60_000);
    recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1 });
    clock.advance(1_000);
    await recorder.close();
    const all = await batches();
    expect(all.map(({ sequence }) => sequence)).toEqual(all.map((_, i) => i + 1));
    expect(all.map(({ idle }) => idle)).toEqual([
      ...Array.from({ length: 10 }, () => false),
      true,
      false,
      true,
    ]);
    const keys = Array.from({ length: SHARDS }, (_, shard) => streamKey(prefix, shard));
    expect(await redis.exists(...keys)).toBe(1);
  });

  test('requests that hang are seen in flight, and an arm is not counted below zero', async () => {
    const { recorder, clock } = open();
    recorder.leave(arm);
    recorder.enter(arm);
    recorder.enter(arm);
    clock.advance(1_000);
    recorder.leave(arm);
    recorder.leave(arm);
    recorder.leave(arm);
    clock.advance(1_000);
    await recorder.close();
    const [first, second] = await batches();
    expect(first?.windows).toMatchObject([{ window: { ok: 0, inFlight: 2 } }]);
    expect(second?.windows).toEqual([]);
  });

  test('what a rollout is judged by is in the arm’s window, also where nothing but mirrored requests came', async () => {
    const { recorder } = open();
    const other = { ...arm, armId: 'a2', armName: 'candidate' };
    recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1, answer: 'cat' });
    recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1, answer: 12.5 });
    recorder.record({ ...arm, outcome: 'model', latencyMs: 1, rows: 1, invalid: true, answer: null });
    recorder.mirrored(other, 'agreed');
    recorder.mirrored(other, 'disagreed', 'r:1');
    recorder.mirrored(other, 'dropped');
    await recorder.close();
    const [stable, candidate] = (await batches())[0]!.windows.map(({ window }) => window);
    expect(stable).toMatchObject({ requests: 3, invalid: 1, compared: 0 });
    expect([...stable!.labels, ...stable!.values]).toEqual([
      ['cat', 1],
      [valueBin(12.5), 1],
    ]);
    expect(candidate).toMatchObject({
      requests: 0,
      compared: 2,
      disagreed: 1,
      dropped: 1,
      examples: ['r:1'],
    });
  });

  test('without Redis it drops, counts and goes on; the reader can see what is missing', async () => {
    const own = openRedis({ url: inject('redisUrl'), mode: 'fast' });
    await whenReady(own);
    const clock = new ManualClock(START);
    const recorder = openRecorder({ redis: own, prefix, logger, clock });
    const record = (): void => recorder.record({ ...arm, outcome: 'ok', latencyMs: 1, rows: 1 });
    const gone = once(own, 'end');
    own.disconnect();
    await gone;
    record();
    clock.advance(1_000);
    record();
    clock.advance(1_000);
    await own.connect();
    record();
    clock.advance(1_000);
    record();
    await recorder.close();
    own.disconnect();
    expect(recorder.stats()).toEqual({ written: 2, dropped: 2 });
    expect((await batches()).map(({ sequence }) => sequence)).toEqual([3, 4]);
  });
});
