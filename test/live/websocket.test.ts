import { createClient } from 'graphql-ws';
import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { openStage } from './door.ts';
import { RawClient } from './raw-client.ts';

const ticks = 'subscription { ticks { at } }';

describe('operations over a WebSocket', () => {
  test('queries, mutations and subscriptions, with the client of graphql-ws', async () => {
    const stage = await openStage();
    const client = createClient({ url: stage.url, webSocketImpl: WebSocket });
    const first = async (query: string): Promise<unknown> => {
      for await (const result of client.iterate({ query })) return result;
      return undefined;
    };
    expect(await first('{ hello }')).toEqual({ data: { hello: 'world' } });
    expect(await first('mutation { double(x: 4) }')).toEqual({ data: { double: 8 } });
    stage.feed.push();
    const stream = client.iterate({ query: 'subscription { ticks(backfill: 1) { at } }' });
    expect(await stream.next()).toMatchObject({ value: { data: { ticks: { at: 1 } } } });
    stage.feed.push();
    expect(await stream.next()).toMatchObject({ value: { data: { ticks: { at: 2 } } } });
    await stream.return?.();
    await client.dispose();
  });

  test.for([
    ['a syntax error', '{ hello', 'Syntax Error: Expected Name, found <EOF>.'],
    ['a field that is not there', '{ nothing }', 'Cannot query field "nothing" on type "Query".'],
    ['no such operation', 'query A { hello }', 'Unable to identify operation'],
  ] as const)(
    '%s is an error of that operation; the socket and the others live',
    async ([, query, message]) => {
      const stage = await openStage();
      const client = await RawClient.connect(stage.url);
      client.subscribe('good', ticks);
      client.subscribe('bad', query, {}, 'B');
      expect(await client.next()).toMatchObject({ type: 'error', id: 'bad', payload: [{ message }] });
      stage.feed.push();
      expect(await client.next()).toMatchObject({ type: 'next', id: 'good' });
      client.subscribe('bad', '{ hello }');
      expect(await client.next()).toMatchObject({ type: 'next', id: 'bad' });
    },
  );

  test('a wrong variable is an error of that operation', async () => {
    const client = await RawClient.connect((await openStage()).url);
    client.subscribe('one', 'subscription ($n: Int!) { ticks(backfill: $n) { at } }', { n: 'many' });
    const [{ payload } = {}, end] = await client.take(2);
    expect(JSON.stringify(payload)).toContain('many');
    expect(end).toEqual({ type: 'complete', id: 'one' });
  });

  test('unexpected errors are masked, in data and where the executor itself throws', async () => {
    const stage = await openStage();
    const client = await RawClient.connect(stage.url);
    client.subscribe('one', '{ fails hello }');
    const [message] = await client.take(2);
    expect(message?.payload).toMatchObject({
      data: { fails: null, hello: 'world' },
      errors: [{ message: 'Unexpected error.', path: ['fails'] }],
    });
    const throwing = await openStage({
      execute: () => {
        throw new Error('the secret password');
      },
    });
    const other = await RawClient.connect(throwing.url);
    other.subscribe('one', '{ hello }');
    const [result] = await other.take(2);
    expect(result).toEqual({
      type: 'next',
      id: 'one',
      payload: { errors: [{ message: 'Unexpected error.' }] },
    });
  });

  test('more operations than a socket may run are refused, one by one', async () => {
    const stage = await openStage({ limits: { operationsPerSocket: 2 } });
    const client = await RawClient.connect(stage.url);
    for (const id of ['1', '2', '3']) client.subscribe(id, ticks);
    const refused = await client.next();
    expect(refused).toMatchObject({ type: 'error', id: '3' });
    expect(JSON.stringify(refused)).toContain('2 operations');
    client.send({ type: 'complete', id: '1' });
    client.subscribe('4', '{ hello }');
    expect(await client.next()).toMatchObject({ type: 'next', id: '4' });
  });
});

describe('who may connect', () => {
  test('credentials that are not good close the socket with 4403', async () => {
    const client = await RawClient.open((await openStage()).url);
    client.send({ type: 'connection_init', payload: { token: 'bad' } });
    expect(await client.closed).toEqual({ code: 4403, reason: 'Forbidden' });
  });

  test('a viewer whose token is revoked is closed with 4403; whose access changed, with 1012', async () => {
    const stage = await openStage();
    stage.viewers.set('bob', { name: 'bob', scope: 'reader' });
    stage.viewers.set('cat', { name: 'cat', scope: 'reader' });
    const [ann, bob, cat] = [
      await RawClient.connect(stage.url, { token: 'good' }),
      await RawClient.connect(stage.url, { token: 'bob' }),
      await RawClient.connect(stage.url, { token: 'cat' }),
    ];
    for (const client of [ann, bob, cat]) {
      client.subscribe('one', ticks);
      await client.drain();
    }
    stage.viewers.delete('bob');
    stage.viewers.set('cat', { name: 'cat', scope: 'admin' });
    await stage.door.recheck();
    stage.feed.push();
    expect(await ann.next()).toMatchObject({ type: 'next' });
    expect(await bob.closed).toEqual({ code: 4403, reason: 'Forbidden' });
    expect(await cat.closed).toEqual({ code: 1012, reason: 'Access changed' });
    expect(await Promise.race([bob.next(), cat.next(), bob.closed])).toMatchObject({ code: 4403 });
  });

  test('what a viewer sends after they were closed is not done any more', async () => {
    let executed = 0;
    const stage = await openStage({ execute: () => ({ data: { double: ++executed } }) });
    const client = await RawClient.connect(stage.url);
    client.pause();
    stage.viewers.clear();
    await stage.door.recheck();
    client.subscribe('one', 'mutation { double(x: 1) }');
    client.resume();
    expect(await client.closed).toMatchObject({ code: 4403 });
    expect(executed).toBe(0);
  });

  test('it looks again by itself', async () => {
    const stage = await openStage({ times: { recheckMs: 20 } });
    const client = await RawClient.connect(stage.url);
    stage.viewers.clear();
    expect(await client.closed).toMatchObject({ code: 4403 });
  });

  test('while access cannot be checked, nobody is let in and nobody thrown out', async () => {
    let broken = false;
    const stage = await openStage({
      authenticate: async () => {
        if (broken) throw new Error('no database');
        return { name: 'ann', scope: 'reader' };
      },
    });
    const inside = await RawClient.connect(stage.url);
    broken = true;
    await stage.door.recheck();
    inside.subscribe('one', '{ hello }');
    expect(await inside.next()).toMatchObject({ type: 'next' });
    const outside = await RawClient.open(stage.url);
    outside.send({ type: 'connection_init' });
    expect(await outside.closed).toMatchObject({ code: 1013 });
  });

  test('pages of another origin and other paths are refused before there is a socket', async () => {
    const { url } = await openStage();
    const { host } = new URL(url);
    await expect(RawClient.open(url, { origin: 'https://evil.example' })).rejects.toThrow('403');
    await expect(RawClient.open(url, { origin: 'null' })).rejects.toThrow('403');
    await expect(RawClient.open(url.replace('/graphql', '/other'))).rejects.toThrow('404');
    await RawClient.open(url, { origin: `http://${host}` });
  });
});

describe('sockets', () => {
  test('a client that says nothing is closed with 4408, one that says too much with 1009', async () => {
    const stage = await openStage({ limits: { connectionInitMs: 30, messageBytes: 1_000 } });
    const silent = await RawClient.open(stage.url);
    expect(await silent.closed).toMatchObject({ code: 4408 });
    const loud = await RawClient.connect(stage.url);
    loud.subscribe('one', `{ hello } ${' '.repeat(1_000)}`);
    expect(await loud.closed).toMatchObject({ code: 1009 });
  });

  test.for(['no JSON', '{"type":"nonsense"}'])('%s closes with 4400', async (text) => {
    const client = await RawClient.connect((await openStage()).url);
    client.sendText(text);
    expect(await client.closed).toMatchObject({ code: 4400 });
  });

  test('a client that does not answer pings is cut off', async () => {
    const stage = await openStage({ times: { pingMs: 30 } });
    const [dead, alive] = [
      await RawClient.open(stage.url, { autoPong: false }),
      await RawClient.connect(stage.url),
    ];
    expect(await dead.closed).toMatchObject({ code: 1006 });
    alive.subscribe('one', '{ hello }');
    expect(await alive.next()).toMatchObject({ type: 'next' });
  });

  test('closing says 1001 to everybody, ends the sources, and clients find back', async () => {
    const stage = await openStage();
    const raw = await RawClient.connect(stage.url);
    const client = createClient({
      url: stage.url,
      webSocketImpl: WebSocket,
      retryWait: () => new Promise((resolve) => setImmediate(resolve)),
      retryAttempts: 10_000,
    });
    const stream = client.iterate({ query: 'subscription { ticks(backfill: 1) { at } }' });
    stage.feed.push();
    expect(await stream.next()).toMatchObject({ value: { data: { ticks: { at: 1 } } } });
    await stage.door.close();
    expect(await raw.closed).toEqual({ code: 1001, reason: 'Going away' });
    expect(stage.door.sockets).toBe(0);
    await stage.feed.allEnded();
    stage.feed.push();
    const again = stage.attach();
    expect(await stream.next()).toMatchObject({ value: { data: { ticks: { at: 2 } } } });
    await client.dispose();
    await again.close();
  });
});
