import { parse, subscribe } from 'graphql';
import { describe, expect, test } from 'vitest';
import { openStage, type Stage } from './door.ts';
import { RawClient, tickOf, type Message } from './raw-client.ts';

const ticks = 'subscription ($backfill: Int!) { ticks(backfill: $backfill) { at value gap } }';
const slowTicks = 'subscription ($backfill: Int!) { slowTicks(backfill: $backfill) { at value gap } }';

const numbersOf = (messages: readonly Message[]): number[] => messages.map((message) => tickOf(message).at);
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

async function joined(stage: Stage, backfill = 0, query = ticks): Promise<RawClient> {
  const client = await RawClient.connect(stage.url);
  client.subscribe('one', query, { backfill });
  // The answer to a ping comes after the server has dealt with the subscription.
  if (query === ticks && backfill === 0) await client.drain();
  return client;
}

describe('shared subscriptions', () => {
  test('200 subscribers cost one execution an event', async () => {
    const stage = await openStage();
    const clients = await Promise.all(Array.from({ length: 200 }, () => joined(stage)));
    for (let i = 1; i <= 3; i++) {
      const { value } = stage.feed.push();
      const got = await Promise.all(clients.map((client) => client.next()));
      expect(new Set(got.map((message) => tickOf(message).value))).toEqual(new Set([value]));
      expect(stage.resolved).toBe(i);
    }
    expect(stage.feed.opened).toBe(1);
    expect(stage.sharing.stats()).toMatchObject({ groups: 1, members: 200, executions: 3, delivered: 600 });
  });

  test('the past of 100 joiners costs one execution an event', async () => {
    const stage = await openStage();
    for (let i = 0; i < 60; i++) stage.feed.push();
    const clients = await Promise.all(Array.from({ length: 100 }, () => joined(stage, 60)));
    for (const client of clients) expect(numbersOf(await client.take(60))).toEqual(range(1, 60));
    expect(stage.resolved).toBe(60);
  });

  test('a joiner gets its past, then what the others get', async () => {
    const stage = await openStage();
    const first = await joined(stage);
    for (let i = 0; i < 3; i++) stage.feed.push();
    expect(numbersOf(await first.take(3))).toEqual([1, 2, 3]);
    const second = await joined(stage, 2);
    expect(numbersOf(await second.take(2))).toEqual([2, 3]);
    stage.feed.push();
    expect(numbersOf([await first.next(), await second.next()])).toEqual([4, 4]);
  });

  test.for([
    ['resolved at once', ticks],
    ['resolved later', slowTicks],
  ] as const)('whoever joins while events come sees each once, in order (%s)', async ([, query]) => {
    const stage = await openStage();
    const clients = await Promise.all(Array.from({ length: 30 }, () => RawClient.connect(stage.url)));
    const last = 120;
    for (const client of clients) {
      client.subscribe('one', query, { backfill: 1_000 });
      // Two events, and two turns of the loop, which the sockets need to be read.
      for (let i = 0; i < 2; i++) {
        stage.feed.push();
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    while (stage.feed.ticks.length < last) {
      stage.feed.push();
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const client of clients) {
      let expected = 1;
      while (expected <= last) {
        const tick = tickOf(await client.next());
        // A source that conflates says so; nothing else may be missing.
        if (tick.gap) expect(tick.at).toBeGreaterThan(expected);
        else expect(tick.at).toBe(expected);
        expected = tick.at + 1;
      }
      expect(await client.drain()).toEqual([]);
    }
  });

  test('other variables, operation names, documents or access are other groups', async () => {
    const stage = await openStage();
    stage.viewers.set('other', { name: 'bob', scope: 'admin' });
    const named = 'subscription A { ticks { viewer } } subscription B { ticks { viewer } }';
    const one = await RawClient.connect(stage.url);
    one.subscribe('1', named, {}, 'A');
    one.subscribe('2', named, {}, 'B');
    one.subscribe('3', `${named} `, {}, 'A');
    one.subscribe('4', named, {}, 'A');
    const other = await RawClient.connect(stage.url, { token: 'other' });
    other.subscribe('1', named, {}, 'A');
    await Promise.all([one.drain(), other.drain()]);
    expect(stage.sharing.stats()).toMatchObject({ groups: 4, members: 5 });
    stage.feed.push();
    const got = await one.take(4);
    expect(new Set(got.map(({ id }) => id))).toEqual(new Set(['1', '2', '3', '4']));
    for (const message of got) expect(tickOf(message)).toEqual({ viewer: 'ann' });
    expect(tickOf(await other.next())).toEqual({ viewer: 'bob' });
  });

  test('after complete nothing comes, and the last to leave ends the source', async () => {
    const stage = await openStage();
    const [one, two] = [await joined(stage), await joined(stage)];
    one.send({ type: 'complete', id: 'one' });
    stage.feed.push();
    await one.drain();
    stage.feed.push();
    expect(await one.drain()).toEqual([]);
    await two.take(2);
    expect(stage.feed.ended).toBe(0);
    two.terminate();
    await stage.feed.allEnded();
    expect(stage.sharing.stats()).toMatchObject({ groups: 0, members: 0 });

    const three = await joined(stage, 1);
    expect(numbersOf([await three.next()])).toEqual([2]);
    expect(stage.feed.opened).toBe(2);
  });

  test('completed before it has begun: not a single frame', async () => {
    const stage = await openStage();
    for (let i = 0; i < 5; i++) stage.feed.push();
    const client = await RawClient.connect(stage.url);
    client.subscribe('one', slowTicks, { backfill: 5 });
    client.send({ type: 'complete', id: 'one' });
    expect(await client.drain()).toEqual([]);
    expect(stage.sharing.stats()).toMatchObject({ members: 0 });
  });

  test('the end of the source completes everybody', async () => {
    const stage = await openStage();
    const clients = [await joined(stage), await joined(stage)];
    stage.feed.finish();
    for (const client of clients) expect(await client.next()).toEqual({ type: 'complete', id: 'one' });
    expect(stage.sharing.stats()).toMatchObject({ groups: 0, members: 0 });
  });

  test('a source that breaks is an error for everybody, masked, and the sockets live', async () => {
    const stage = await openStage();
    const clients = await Promise.all([1, 2].map(() => RawClient.connect(stage.url)));
    for (const client of clients) client.subscribe('one', 'subscription { breaks { at } }');
    for (const client of clients) {
      expect(await client.next()).toEqual({
        type: 'error',
        id: 'one',
        payload: [{ message: 'Unexpected error.' }],
      });
      client.subscribe('two', '{ hello }');
      expect(await client.next()).toMatchObject({ type: 'next', payload: { data: { hello: 'world' } } });
    }
    expect(stage.sharing.stats()).toMatchObject({ groups: 0, members: 0 });
  });

  test('an error in one event is that event’s, masked, and the next ones come', async () => {
    const stage = await openStage();
    const clients = [await joined(stage), await joined(stage)];
    stage.feed.push('bad');
    stage.feed.push();
    for (const client of clients) {
      const { payload } = await client.next();
      expect(payload).toEqual({
        data: null,
        errors: [{ message: 'Unexpected error.', path: ['ticks', 'value'] }],
      });
      expect(tickOf(await client.next()).at).toBe(2);
    }
  });

  test('access is checked for each who joins', async () => {
    const stage = await openStage();
    const client = await RawClient.connect(stage.url);
    client.subscribe('one', 'subscription { denied { at } }');
    expect(await client.take(2)).toMatchObject([
      { type: 'next', payload: { errors: [{ message: 'Not yours.' }] } },
      { type: 'complete' },
    ]);
  });

  test('over any other transport the same source gives the past, then goes on, and ends at once', async () => {
    const { schema, feed } = await openStage();
    feed.push();
    const document = parse('subscription { ticks(backfill: 5) { at } }');
    const results = await subscribe({ schema, document });
    if (!(Symbol.asyncIterator in results)) throw new Error('Expected a stream.');
    expect(await results.next()).toEqual({ done: false, value: { data: { ticks: { at: 1 } } } });
    feed.push();
    expect(await results.next()).toEqual({ done: false, value: { data: { ticks: { at: 2 } } } });
    const waiting = results.next();
    await results.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
    await feed.allEnded();
  });
});

describe('a source that is not shared', () => {
  test('runs one by one, and after complete nothing comes', async () => {
    const stage = await openStage();
    const client = await RawClient.connect(stage.url);
    client.subscribe('one', 'subscription { numbers }');
    await client.drain();
    stage.pushNumber(1);
    expect(await client.next()).toEqual({ type: 'next', id: 'one', payload: { data: { numbers: 1 } } });
    client.send({ type: 'complete', id: 'one' });
    await client.drain();
    stage.pushNumber(2);
    expect(await client.drain()).toEqual([]);
  });
});
