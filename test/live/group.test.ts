import { GraphQLError, parse } from 'graphql';
import { describe, expect, test } from 'vitest';
import { shareSubscriptions } from '#schema/live/shared-subscription.ts';
import { FakeWire } from './fake-wire.ts';
import { tickOf } from './raw-client.ts';
import { TickFeed, type Tick } from './tick-feed.ts';
import { toySchema } from './toy-schema.ts';

const ticksOf = ({ messages }: FakeWire): Tick[] => messages.map(tickOf);
const numbersOf = (wire: FakeWire): number[] => ticksOf(wire).map(({ at }) => at);

const FULL = 129 * 1024;

/** Everything that is ready to run has run. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function* none(): AsyncGenerator<number, void, void> {}

function openGroup(field: 'ticks' | 'slowTicks' = 'ticks') {
  const feed = new TickFeed();
  const sharing = shareSubscriptions({ maskError: (error) => error });
  const schema = toySchema(feed, none(), () => undefined);
  const document = parse(`subscription ($backfill: Int!) { ${field}(backfill: $backfill) { at gap value } }`);
  let contextFails = false;
  const context = (): object => {
    if (contextFails) throw new GraphQLError('No context.');
    return {};
  };

  /** A subscriber that joins when `begin` is called, as graphql-ws does at its first `next()`. */
  async function subscriber(backfill = 100) {
    const wire = new FakeWire();
    const seat = { wire, id: 'x', key: () => field, context };
    const args = { schema, document, variableValues: { backfill }, contextValue: {}, seat };
    const results = await sharing.subscribe(args);
    if (!(Symbol.asyncIterator in results)) throw new Error('Expected a stream.');
    return { wire, begin: () => results.next(), leave: () => results.return() };
  }
  return { feed, sharing, subscriber, failContexts: () => (contextFails = true) };
}

describe('a group', () => {
  test.for(['ticks', 'slowTicks'] as const)(
    'an event that is on its way while somebody joins comes once (%s)',
    async (field) => {
      const { feed, subscriber } = openGroup(field);
      const [one, two] = [await subscriber(), await subscriber()];
      void one.begin();
      feed.push();
      await settled();
      feed.push();
      // In the past of the joiner, and not yet handed out to the group.
      void two.begin();
      await settled();
      expect([numbersOf(one.wire), numbersOf(two.wire)]).toEqual([
        [1, 2],
        [1, 2],
      ]);
    },
  );

  test('what comes while a joiner’s past is being worked out is not lost', async () => {
    const { feed, subscriber } = openGroup('slowTicks');
    feed.push('laborious');
    const [one, two] = [await subscriber(0), await subscriber()];
    void one.begin();
    void two.begin();
    feed.push();
    feed.push();
    await settled();
    expect([numbersOf(one.wire), numbersOf(two.wire)]).toEqual([
      [2, 3],
      [1, 2, 3],
    ]);
  });

  test('who was slow and has read gets the gap mark with the next event, and only with that', async () => {
    const { feed, subscriber, sharing } = openGroup();
    const slow = await subscriber();
    void slow.begin();
    slow.wire.bufferedBytes = FULL;
    feed.push();
    await settled();
    expect(slow.wire.messages).toEqual([]);
    slow.wire.bufferedBytes = 0;
    feed.push();
    await settled();
    feed.push();
    await settled();
    expect(ticksOf(slow.wire).map(({ at, gap }) => [at, gap])).toEqual([
      [2, true],
      [3, false],
    ]);
    expect(sharing.stats()).toMatchObject({ skipped: 1, executions: 4, delivered: 2 });
  });

  test('all who were slow share one execution of the marked event', async () => {
    const { feed, subscriber, sharing } = openGroup();
    const slow = await Promise.all([1, 2, 3].map(() => subscriber()));
    for (const each of slow) {
      void each.begin();
      each.wire.bufferedBytes = FULL;
    }
    feed.push();
    await settled();
    for (const each of slow) each.wire.bufferedBytes = 0;
    feed.push();
    await settled();
    for (const each of slow) expect(ticksOf(each.wire)).toMatchObject([{ at: 2, gap: true }]);
    expect(sharing.stats().executions).toBe(3);
  });

  test('who joins over a full socket gets no past, but the newest with a gap mark', async () => {
    const { feed, subscriber } = openGroup();
    const [one, two] = [await subscriber(), await subscriber()];
    void one.begin();
    feed.push();
    feed.push();
    await settled();
    two.wire.bufferedBytes = FULL;
    void two.begin();
    await settled();
    two.wire.bufferedBytes = 0;
    feed.push();
    await settled();
    expect(ticksOf(two.wire)).toMatchObject([{ at: 3, gap: true }]);
  });

  test('thirty missed events in a row close the socket; fewer do not', async () => {
    const { feed, subscriber } = openGroup();
    const slow = await subscriber();
    void slow.begin();
    slow.wire.bufferedBytes = FULL;
    for (let i = 0; i < 29; i++) {
      feed.push();
      await settled();
    }
    expect(slow.wire.open).toBe(true);
    feed.push();
    await settled();
    expect(slow.wire.closedWith).toBe(4429);
    await slow.leave();
  });

  test('a failure that is nobody’s field fails those who are in it, and ends the source', async () => {
    const { feed, subscriber, sharing, failContexts } = openGroup();
    const [one, two] = [await subscriber(), await subscriber()];
    const results = [one.begin(), two.begin()];
    failContexts();
    feed.push();
    for (const result of results) await expect(result).rejects.toThrow('No context.');
    const late = await subscriber();
    await expect(late.begin()).rejects.toThrow('No context.');
    await feed.allEnded();
    expect(sharing.stats()).toMatchObject({ groups: 0, members: 0 });
  });

  test('leaving before it has begun opens nothing, and leaving twice is harmless', async () => {
    const { feed, subscriber, sharing } = openGroup();
    const [one, two] = [await subscriber(), await subscriber()];
    await one.leave();
    expect(feed.opened).toBe(0);
    void two.begin();
    await two.leave();
    await two.leave();
    expect(feed).toMatchObject({ opened: 1, ended: 1 });
    expect(sharing.stats()).toMatchObject({ groups: 0, members: 0 });
  });
});
