import { describe, expect, test } from 'vitest';
import { History, KEPT_SECONDS } from '#src/metric/history.ts';
import { decodeBatch, encodeBatch, shardOf, SHARDS, type Batch } from '#src/metric/stream.ts';
import { MetricWindow } from '#src/metric/window.ts';

const DEPLOYMENT = 'a-deployment';
const SHARD = shardOf(DEPLOYMENT);
const START = 1_800_000_000;

interface Sent extends Partial<Batch> {
  readonly requests?: number;
  readonly armName?: string;
  readonly deploymentId?: string;
}

/** A batch with so many good requests of 10 ms on one arm. */
function batch(sent: Sent): Batch {
  const { requests = 0, armName = 'stable', deploymentId = DEPLOYMENT } = sent;
  const window = new MetricWindow();
  for (let i = 0; i < requests; i++) window.add('ok', 10, 2);
  const windows = requests === 0 ? [] : [{ arm: { deploymentId, armId: `id-${armName}`, armName }, window }];
  const { writer = 'one', sequence = 1, second: at = START, idle = false } = sent;
  return { writer, sequence, second: at, idle, windows };
}

function closeUpTo(history: History, second: number): void {
  while (history.last < second) history.close((history.last + 2.5) * 1000);
}

const second = (history: History, at: number) => history.frame(DEPLOYMENT, 'SECOND', at);

describe('the history of metrics', () => {
  test('merges the windows of two writers for the same second', () => {
    const history = new History(START - 1);
    history.add(SHARD, batch({ writer: 'one', requests: 3 }));
    history.add(SHARD, batch({ writer: 'two', requests: 4 }));
    history.close((START + 2.5) * 1000);
    const frame = second(history, START);
    expect(frame).toMatchObject({ at: new Date(START * 1000), gapBefore: false });
    expect(frame?.closedAt).toEqual(new Date((START + 2.5) * 1000));
    expect(frame?.arms).toMatchObject([
      {
        arm: 'stable',
        seconds: 1,
        requests: 7,
        requestsPerSecond: 7,
        rowsPerSecond: 14,
        errorRate: 0,
        partial: false,
      },
    ]);
  });

  test('every second has a frame, the empty ones with zeros for the arms known', () => {
    const history = new History(START - 1);
    history.add(SHARD, batch({ second: START + 2, requests: 1, idle: true }));
    closeUpTo(history, START + 4);
    const frames = history.past(DEPLOYMENT, 'SECOND', KEPT_SECONDS);
    expect(frames.map((frame) => frame.at.getTime() / 1000 - START)).toEqual([0, 1, 2, 3, 4]);
    expect(frames[4]?.arms).toMatchObject([
      { arm: 'stable', requests: 0, latencyMs: { p50: null, max: null }, partial: false },
    ]);
    expect(history.past('another', 'SECOND', 2).map((frame) => frame.arms)).toEqual([[], []]);
  });

  test('the same second is the same object at every call', () => {
    const history = new History(START - 1);
    history.add(SHARD, batch({ requests: 1, idle: true }));
    closeUpTo(history, START + 1);
    for (const at of [START, START + 1]) expect(second(history, at)).toBe(second(history, at));
  });

  test('a gap in a writer’s numbers makes the seconds between partial, and no others', () => {
    const history = new History(START - 1);
    history.add(SHARD, batch({ sequence: 1, requests: 1 }));
    history.add(SHARD, batch({ sequence: 4, second: START + 3, requests: 1 }));
    history.add(SHARD, batch({ sequence: 5, second: START + 4, requests: 1, idle: true }));
    closeUpTo(history, START + 5);
    const partial = history
      .past(DEPLOYMENT, 'SECOND', KEPT_SECONDS)
      .map((frame) => frame.arms.some((arm) => arm.partial));
    expect(partial).toEqual([false, true, true, false, false, false]);
  });

  test('a gap in one shard says nothing about another', () => {
    const elsewhere = Array.from({ length: 50 }, (_, i) => `d${i}`).find((id) => shardOf(id) !== SHARD) ?? '';
    const history = new History(START - 1);
    const sent = { deploymentId: elsewhere, requests: 1, second: START + 1, idle: true };
    history.add(shardOf(elsewhere), batch(sent));
    history.add(SHARD, batch({ sequence: 1, requests: 1 }));
    history.add(SHARD, batch({ sequence: 3, second: START + 2, requests: 1 }));
    closeUpTo(history, START + 1);
    expect(history.frame(elsewhere, 'SECOND', START + 1)?.arms[0]?.partial).toBe(false);
    expect(second(history, START + 1)?.arms[0]?.partial).toBe(true);
  });

  test('a writer that falls silent makes the next seconds partial; one that said so does not', () => {
    const history = new History(START - 1);
    history.add(SHARD, batch({ writer: 'killed', requests: 1 }));
    history.add(SHARD, batch({ writer: 'polite', requests: 1, idle: true }));
    closeUpTo(history, START + 5);
    const partial = history.past(DEPLOYMENT, 'SECOND', 6).map((frame) => frame.arms[0]?.partial);
    expect(partial).toEqual([false, true, true, true, false, false]);
  });

  test('what comes after its second was closed is dropped and reported', () => {
    const history = new History(START - 1);
    closeUpTo(history, START);
    expect(history.add(SHARD, batch({ requests: 5 }))).toBe(false);
    expect(second(history, START)?.arms).toEqual([]);
  });

  test('a writer whose clock is minutes ahead is not waited for', () => {
    const history = new History(START - 1);
    expect(history.add(SHARD, batch({ second: START + 3_600, requests: 5 }))).toBe(false);
  });

  test('a stream that is read twice counts once', () => {
    const history = new History(START - 1);
    history.add(SHARD, batch({ requests: 5 }));
    history.add(SHARD, batch({ requests: 5 }));
    closeUpTo(history, START);
    expect(second(history, START)?.arms[0]?.requests).toBe(5);
  });

  test('a minute merges its sixty seconds, and is partial where one of them is', () => {
    const minute = START - (START % 60);
    const history = new History(minute - 1);
    for (let i = 0; i < 60; i++) {
      history.add(SHARD, batch({ sequence: i + 1, second: minute + i, requests: 2 }));
      history.close((minute + i + 2.5) * 1000);
      if (i < 59) expect(history.frame(DEPLOYMENT, 'MINUTE', minute + i)).toBeUndefined();
    }
    const frame = history.frame(DEPLOYMENT, 'MINUTE', minute + 59);
    expect(frame?.at).toEqual(new Date(minute * 1000));
    expect(frame?.arms).toMatchObject([{ seconds: 60, requests: 120, requestsPerSecond: 2, partial: false }]);
    expect(history.past(DEPLOYMENT, 'MINUTE', 120)).toEqual([frame]);

    history.add(SHARD, batch({ sequence: 62, second: minute + 61, requests: 2, idle: true }));
    closeUpTo(history, minute + 119);
    const next = history.frame(DEPLOYMENT, 'MINUTE', minute + 119);
    expect(next?.arms).toMatchObject([{ requests: 2, partial: true, inFlight: 0 }]);
  });

  test('keeps two minutes, and forgets arms and deployments without traffic for five', () => {
    const history = new History(START - 1);
    history.add(SHARD, batch({ requests: 1, idle: true }));
    closeUpTo(history, START + 250);
    expect(history.past(DEPLOYMENT, 'SECOND', 1_000)).toHaveLength(KEPT_SECONDS);
    expect(second(history, START + 250)?.arms).toHaveLength(1);
    closeUpTo(history, START + 400);
    expect(second(history, START + 400)?.arms).toEqual([]);
  });

  test('a batch survives the way through a stream, whatever its names', () => {
    const sent = batch({ requests: 2, armName: 'a "name", with\nanything', idle: true });
    const back = decodeBatch(encodeBatch(sent));
    expect({ ...back, windows: undefined }).toEqual({ ...sent, windows: undefined });
    expect(back.windows.map(({ arm }) => arm)).toEqual(sent.windows.map(({ arm }) => arm));
    expect(() => decodeBatch(['writer', 'x'])).toThrow();
    expect(() => decodeBatch([...encodeBatch(sent).slice(0, -1), '[["a","b"]]'])).toThrow();
  });

  test('deployments spread over all shards', () => {
    const counts = Array.from({ length: SHARDS }, () => 0);
    for (let i = 0; i < 4_000; i++) counts[shardOf(`deployment-${i}`)]! += 1;
    for (const count of counts) expect(count).toBeGreaterThan(800);
  });
});
