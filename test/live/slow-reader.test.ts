import { once } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { openStage, type Stage } from './door.ts';
import { RawClient, tickOf } from './raw-client.ts';
import type { Tick } from './tick-feed.ts';

const query = 'subscription { ticks { at gap value } }';
const LARGE = 'x'.repeat(100_000);

interface Readers {
  readonly stage: Stage;
  readonly slow: RawClient;
  /** The server's end of the slow one's connection. */
  readonly slowSocket: Socket;
  /** Makes an event of 100 KB and waits until it was offered to both. */
  readonly push: () => Promise<void>;
}

async function slowAndFast(): Promise<Readers> {
  const stage = await openStage();
  const connection = new Promise<Socket>((resolve) => stage.server.once('connection', resolve));
  const slow = await RawClient.connect(stage.url);
  const slowSocket = await connection;
  slow.subscribe('slow', query);
  await slow.drain();
  // Joins after the slow one, so that it is served after it.
  const fast = await RawClient.connect(stage.url);
  fast.subscribe('fast', query);
  await fast.drain();
  slow.pause();
  const push = async (): Promise<void> => {
    stage.feed.push(LARGE);
    await fast.next();
  };
  return { stage, slow, slowSocket, push };
}

/** The kernel's own buffers take megabytes before a slow reader can be seen. */
async function pushUntilSkipped({ stage, push }: Readers): Promise<void> {
  while (stage.sharing.stats().skipped === 0) await push();
}

describe('a reader that does not read', () => {
  test('misses events, then gets the newest with a gap mark; what waits for it is bounded', async () => {
    const readers = await slowAndFast();
    const { stage, slow, push } = readers;
    await pushUntilSkipped(readers);
    for (let i = 0; i < 5; i++) await push();
    const { skipped, executions, maxBufferedBytes } = stage.sharing.stats();
    const sent = stage.feed.ticks.length;
    expect(skipped).toBe(6);
    expect(executions).toBe(sent);
    expect(maxBufferedBytes).toBeLessThan(128 * 1024 + 2 * LARGE.length);

    slow.resume();
    const got: Tick[] = [];
    do got.push(tickOf(await slow.next()));
    while (!got.at(-1)?.gap);
    expect(got.map(({ at }) => at)).toEqual([...Array.from({ length: sent - 6 }, (_, i) => i + 1), sent]);
    expect(got.filter(({ gap }) => gap)).toHaveLength(1);
    expect(stage.sharing.stats().executions).toBe(sent + 1);

    await push();
    expect(tickOf(await slow.next())).toMatchObject({ at: sent + 1, gap: false });
  });

  test('is told to go after thirty missed events', async () => {
    const readers = await slowAndFast();
    const { stage, slow, push } = readers;
    await pushUntilSkipped(readers);
    while (stage.sharing.stats().closedSlow === 0) await push();
    expect(stage.sharing.stats().skipped).toBe(30);
    slow.resume();
    expect(await slow.closed).toEqual({ code: 4429, reason: 'Slow reader' });
  });

  test('is cut off where it does not hear that', async () => {
    const readers = await slowAndFast();
    const { stage, slowSocket, push } = readers;
    await pushUntilSkipped(readers);
    const gone = once(slowSocket, 'close');
    while (stage.sharing.stats().closedSlow === 0) await push();
    await gone;
    expect(stage.sharing.stats().members).toBe(1);
  });
});
