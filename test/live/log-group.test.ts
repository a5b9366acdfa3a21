import fc from 'fast-check';
import { parse } from 'graphql';
import { describe, expect, test } from 'vitest';
import { shareSubscriptions } from '#schema/live/shared-subscription.ts';
import { entryOf, EntryLog, logSchema } from './entry-log.ts';
import { FakeWire } from './fake-wire.ts';

const FULL = 129 * 1024;
const document = parse(
  'subscription ($after: Int, $evenOnly: Boolean) { log(after: $after, evenOnly: $evenOnly) { number text } }',
);

const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);

/** Everything that is ready to run has run. */
async function settled(turns = 20): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}

function openLog(pageSize?: number) {
  const log = new EntryLog(pageSize);
  const sharing = shareSubscriptions({ maskError: (error) => error });
  let executions = 0;
  const schema = logSchema(log, () => executions++);
  let contexts = 0;

  let count = 100;

  async function follower(after?: number, { evenOnly = false, id = `"${++count}"` } = {}) {
    const wire = new FakeWire();
    const seat = {
      wire,
      id,
      key: (without: ReadonlySet<string>) => JSON.stringify([[...without], evenOnly]),
      context: () => ({ made: ++contexts }),
    };
    const args = { schema, document, variableValues: { after, evenOnly }, contextValue: {}, seat };
    const results = await sharing.subscribe(args);
    if (!(Symbol.asyncIterator in results)) throw new Error('Expected a stream.');
    const ended = results.next();
    ended.catch(() => undefined);
    /** The numbers of what it got. @throws Error for anything that was meant for another operation. */
    const numbers = (): number[] => {
      expect(wire.messages.filter((message) => message.id !== id)).toEqual([]);
      return wire.messages.map((message) => entryOf(message).number);
    };
    return { wire, id, numbers, after: after ?? log.length, ended, leave: () => results.return() };
  }
  return { log, sharing, follower, executions: () => executions, contexts: () => contexts };
}

describe('followers of a log', () => {
  test('from now on, or from a number on: each entry once, in order', async () => {
    const { log, follower } = openLog();
    log.push(25);
    const [now, all, some] = [await follower(), await follower(0), await follower(17)];
    await settled();
    log.push(3);
    await settled();
    expect(now.numbers()).toEqual([26, 27, 28]);
    expect(all.numbers()).toEqual(range(1, 28));
    expect(some.numbers()).toEqual(range(18, 28));
  });

  test('wherever they began, one execution and one reading an entry', async () => {
    const { log, follower, sharing, executions, contexts } = openLog();
    log.push(5);
    const followers = await Promise.all(range(1, 50).map((n) => follower(n % 6)));
    await settled();
    const before = [log.reads, contexts()];
    log.push(4);
    await settled();
    expect(executions()).toBe(9);
    expect([log.reads, contexts()]).toEqual(before.map((count) => (count ?? 0) + 1));
    expect(sharing.stats()).toMatchObject({ groups: 1, members: 50, leftBehind: 0 });
    for (const { numbers, after } of followers) expect(numbers()).toEqual(range(after + 1, 9));
  });

  test('those who want something else do not share', async () => {
    const { log, follower, sharing } = openLog();
    const [all, even] = [await follower(0), await follower(0, { evenOnly: true })];
    log.push(6);
    await settled();
    expect(sharing.stats().groups).toBe(2);
    expect([all.numbers(), even.numbers()]).toEqual([range(1, 6), [2, 4, 6]]);
  });

  test('operations with ids of other lengths, and of the same one, each get their own id', async () => {
    const { log, follower } = openLog();
    const ids = ['1', '2', '10', 'é', '一'];
    const followers = await Promise.all(ids.map((id) => follower(0, { id })));
    // Lengths of frames are written in one, three and nine bytes.
    for (const length of [1, 1_000, 70_000]) log.push(1, 'x'.repeat(length));
    await settled();
    for (const { numbers } of followers) expect(numbers()).toEqual([1, 2, 3]);
  });

  test('a reader that does not read is left behind, costs no more, and then gets everything', async () => {
    const { log, follower, sharing } = openLog();
    const [slow, fast] = [await follower(0), await follower(0)];
    slow.wire.fill(FULL);
    for (let i = 0; i < 20; i++) {
      log.push(7);
      await settled();
    }
    expect(slow.wire.bufferedBytes).toBe(FULL);
    expect(slow.numbers()).toEqual([]);
    expect(fast.numbers()).toEqual(range(1, 140));
    expect(sharing.stats()).toMatchObject({ leftBehind: 1, skipped: 0, closedSlow: 0 });
    slow.wire.drain();
    await settled(200);
    expect(slow.numbers()).toEqual(range(1, 140));
    log.push();
    await settled();
    expect(slow.numbers().at(-1)).toBe(141);
    expect(sharing.stats().leftBehind).toBe(1);
  });

  test('a page waits until what was sent before has been read', async () => {
    const { log, follower } = openLog(10);
    log.push(100);
    const slow = await follower(0);
    slow.wire.fill(1);
    await settled(100);
    expect(slow.numbers()).toEqual([]);
    slow.wire.drain();
    slow.wire.fill(0);
    await settled(100);
    expect(slow.numbers().length).toBeLessThanOrEqual(10);
    slow.wire.drain();
    await settled(200);
    expect(slow.numbers()).toEqual(range(1, 100));
  });

  test('large entries are not added to what waits beyond the limit', async () => {
    const { log, follower } = openLog(100);
    const slow = await follower(0);
    slow.wire.fill(1);
    log.push(50, 'x'.repeat(20_000));
    await settled();
    expect(slow.wire.bufferedBytes).toBeGreaterThan(128 * 1024);
    expect(slow.wire.bufferedBytes).toBeLessThan(2 * 128 * 1024 + 21_000);
    slow.wire.drain();
    await settled(100);
    expect(slow.numbers()).toEqual(range(1, 50));
  });

  test('the end of the log completes everybody; the last to leave stops the reading', async () => {
    const { log, follower, sharing } = openLog();
    const followers = [await follower(), await follower()];
    log.finish();
    for (const { ended } of followers) expect(await ended).toEqual({ done: true, value: undefined });
    expect(sharing.stats()).toMatchObject({ groups: 0, members: 0 });
    const { log: other, follower: join, sharing: others } = openLog();
    const [one, two] = [await join(), await join()];
    await one.leave();
    other.push();
    await settled();
    await two.leave();
    const { reads } = other;
    other.push();
    await settled();
    expect(other.reads).toBe(reads);
    expect(others.stats()).toMatchObject({ groups: 0, members: 0 });
  });
});

/** What may happen, with numbers that choose among whom it happens to. */
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ what: fc.constant('push' as const), n: fc.integer({ min: 1, max: 30 }) }),
  },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('join' as const), n: fc.nat() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constantFrom('stop' as const, 'clog' as const, 'read' as const),
      n: fc.nat(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('leave' as const), n: fc.nat() }) },
  {
    weight: 3,
    arbitrary: fc.record({ what: fc.constant('wait' as const), n: fc.integer({ min: 1, max: 6 }) }),
  },
);

test('whatever the readers do, each gets everything from where it began, once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 20 }),
      async (steps, pageSize) => {
        const { log, follower, sharing } = openLog(pageSize);
        const followers = [await follower()];
        const gone: typeof followers = [];
        for (const { what, n } of steps) {
          const one = followers[n % Math.max(1, followers.length)];
          if (what === 'push') log.push(n);
          else if (what === 'join') followers.push(await follower(n % (log.length + 1)));
          else if (what === 'wait') await settled(n);
          else if (what === 'stop') one?.wire.fill(FULL);
          else if (what === 'clog') one?.wire.fill(FULL - 2_000);
          else if (what === 'read') one?.wire.drain();
          else if (one) {
            followers.splice(followers.indexOf(one), 1);
            gone.push(one);
            await one.leave();
          }
        }
        for (const { wire } of followers) wire.drain();
        await settled(60 + (4 * log.length) / pageSize);
        for (const { numbers, after } of followers) expect(numbers()).toEqual(range(after + 1, log.length));
        for (const { numbers, after } of gone) {
          const got = numbers();
          expect(got).toEqual(range(after + 1, after + got.length));
        }
        expect(sharing.stats().members).toBe(followers.length);
      },
    ),
    { numRuns: 150 },
  );
});
