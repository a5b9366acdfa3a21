import { EventEmitter } from 'node:events';
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import { SocketWire } from '#schema/live/socket-wire.ts';

/** A connection whose reader takes what the test says, and what the WebSocket on it was told. */
function openWire(stallMs: number) {
  const untaken: (() => void)[] = [];
  const stream = new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, done) => void untaken.push(done),
    writableHighWaterMark: 10,
  });
  const told: string[] = [];
  class FakeSocket extends EventEmitter {
    readonly readyState = 1;
    get bufferedAmount(): number {
      return stream.writableLength;
    }
    readonly ping = (): unknown => told.push('ping');
    readonly close = (code: number): unknown => told.push(String(code));
    readonly terminate = (): unknown => told.push('terminate');
  }
  const socket = new FakeSocket();
  return {
    wire: new SocketWire(socket as unknown as WebSocket, stream, stallMs),
    /** Resolves when the stream has told of it. */
    take: async () => {
      untaken.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    },
    pong: () => socket.emit('pong'),
    told,
    stream,
  };
}

const frames = Buffer.alloc(20);

describe('whether somebody is there', () => {
  test('nothing waits: they answer pings', () => {
    const { wire, told, pong } = openWire(0);
    wire.checkAlive();
    pong();
    wire.checkAlive();
    expect(told).toEqual(['ping', 'ping']);
    wire.checkAlive();
    expect(told.at(-1)).toBe('terminate');
  });

  test('something waits: they take some of it now and then, and a ping behind it proves nothing', async () => {
    const { wire, told, take } = openWire(0);
    wire.checkAlive();
    for (let i = 0; i < 5; i++) wire.writeFrames(frames);
    wire.checkAlive();
    await take();
    wire.checkAlive();
    await take();
    wire.writeFrames(frames);
    expect(told).toEqual(['ping']);
    wire.checkAlive();
    expect(told).toEqual(['ping', '4429']);
  });

  test('who has taken everything was there, and is pinged again', async () => {
    const { wire, told, take } = openWire(0);
    wire.checkAlive();
    wire.writeFrames(frames);
    wire.checkAlive();
    await take();
    wire.checkAlive();
    expect(told).toEqual(['ping', 'ping']);
  });

  test('taking nothing is forgiven for a while', () => {
    const { wire, told } = openWire(60_000);
    wire.writeFrames(frames);
    for (let i = 0; i < 20; i++) wire.checkAlive();
    expect(told).toEqual([]);
  });
});

describe('room', () => {
  test('is there until too much waits, and again when all is taken', async () => {
    const { wire, take } = openWire(0);
    await wire.room();
    expect(wire.writeFrames(frames)).toBe(false);
    expect(wire.hasRoom).toBe(false);
    const rooms = [wire.room(), wire.room()];
    await take();
    await Promise.all(rooms);
    expect(wire.hasRoom).toBe(true);
  });

  test('nobody waits for it when the connection is closed', async () => {
    const { wire, stream } = openWire(0);
    wire.writeFrames(frames);
    const room = wire.room();
    stream.destroy();
    await room;
    await wire.room();
  });
});
