import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ProcessIdentity } from '../platform/process-identity.ts';
import { tailOf, type Child } from './child.ts';
import { LocalError } from './local-error.ts';

export interface ServiceOptions {
  /** Absolute; the service keeps its files in folders of its own below it. */
  readonly dataDir: string;
  /** The surrounding environment: PATH, HOME and the like. */
  readonly env: NodeJS.ProcessEnv;
  /** The port to listen on; without it a free one. */
  readonly port?: number | undefined;
  /** false trades safety against power loss for speed; for tests. */
  readonly durable?: boolean | undefined;
  readonly onSpawn?: ((identity: ProcessIdentity) => void) | undefined;
  /** Gives the start up; what it has started by then is ended. */
  readonly signal?: AbortSignal | undefined;
  /** Told about what takes long, such as a download. */
  readonly log?: ((line: string) => void) | undefined;
}

/** A running PostgreSQL or Redis. */
export interface Service {
  readonly url: string;
  readonly port: number;
  readonly child: Child;
  stop(hurry?: AbortSignal): Promise<void>;
}

/** Sends `hello` over a new connection and answers with what comes back, once it is `whole`; undefined when it never is. */
export async function ask(
  port: number,
  hello: Uint8Array | string,
  whole: (answer: Buffer) => boolean = (answer) => answer.length > 0,
): Promise<Buffer | undefined> {
  let socket: Socket | undefined;
  const answer = await new Promise<Buffer | undefined>((resolve) => {
    let received = Buffer.alloc(0);
    socket = connect({ port, host: '127.0.0.1', timeout: 2_000 });
    socket.once('connect', () => socket?.write(hello));
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
      if (whole(received)) resolve(received);
    });
    for (const event of ['error', 'timeout', 'close']) socket.once(event, () => resolve(undefined));
  });
  socket?.destroy();
  return answer;
}

const startLimit = 120_000;

/**
 * Waits until a service answers as it should.
 * @throws LocalError with the end of its log when it ends first, or does not get there in two minutes.
 */
export async function answering(
  what: string,
  child: Child,
  log: string,
  isReady: () => Promise<boolean>,
  signal?: AbortSignal,
): Promise<void> {
  const ended = child.exited.then((how) => {
    throw new LocalError(`${what} ended while starting (${how}). The end of ${log}:\n${tailOf(log)}`);
  });
  // Once it is ready nobody waits for this any more, and its end is not an error of the start.
  ended.catch(() => {});
  const limit = Date.now() + startLimit;
  while (!(await Promise.race([isReady(), ended]))) {
    signal?.throwIfAborted();
    if (Date.now() > limit)
      throw new LocalError(`${what} does not answer after two minutes. Its log: ${log}`);
    await Promise.race([delay(10), ended]);
  }
  // It may have been given up while the last question was under way.
  signal?.throwIfAborted();
}
