/**
 * The load: a closed loop of some connections, each sending its next request when its answer is whole. It speaks HTTP
 * over bare sockets, because every microsecond that a client takes is missing from the limit that it measures.
 */
import { connect, type Socket } from 'node:net';

/** What to send, where to, and how to tell a right answer. */
export interface Target {
  readonly port: number;
  /** Where to; `/graphql` where nothing is said. */
  readonly path?: string;
  /** Lines of the request's head; JSON in and out where nothing is said. */
  readonly head?: readonly string[];
  /** Sent one after the other, again and again. */
  readonly bodies: readonly string[];
  /** How bodies are written here; texts where nothing is said. */
  readonly encoding?: 'base64';
  /** Stands in every right answer. */
  readonly mark: string;
}
export interface Order extends Target {
  readonly connections: number;
  readonly seconds: number;
}
export type Loaded =
  | { readonly requests: number; readonly seconds: number; readonly p50: number; readonly p99: number }
  | { readonly failure: string };

const jsonHead = ['content-type: application/json', 'accept: application/json'];

function requestOf({ port, path = '/graphql', head = jsonHead, encoding }: Target, body: string): Buffer {
  const bytes = Buffer.from(body, encoding ?? 'utf8');
  const lines = [
    `POST ${path} HTTP/1.1`,
    `host: 127.0.0.1:${port}`,
    ...head,
    `content-length: ${bytes.length}`,
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), bytes]);
}

/** Where the answer that begins a buffer ends; undefined while its head is not whole. */
function endOf(answer: Buffer): number | undefined {
  const head = answer.indexOf('\r\n\r\n');
  if (head === -1) return undefined;
  const text = answer.toString('latin1', 0, head);
  const [, length] = /^HTTP\/1\.1 200 [^]*^content-length: (\d+)\r?$/im.exec(text) ?? [];
  if (length === undefined) throw new Error(`Not an answer of known length: ${text}`);
  return head + 4 + Number(length);
}

/** Sends until the deadline; calls `answered` with each answer's latency in milliseconds. */
function loop(
  socket: Socket,
  next: () => Buffer,
  mark: string,
  until: number,
  answered: (ms: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let sentAt = performance.now();
    let received: Buffer | undefined;
    let end: number | undefined;
    socket.setNoDelay(true);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('The server closed a connection.')));
    socket.on('data', (chunk) => {
      try {
        received = received ? Buffer.concat([received, chunk]) : chunk;
        end ??= endOf(received);
      } catch (error) {
        reject(error);
        return;
      }
      if (end === undefined || received.length < end) return;
      if (!received.includes(mark)) {
        reject(new Error(`Not the answer that was expected: ${received.toString()}`));
        return;
      }
      received = end = undefined;
      const now = performance.now();
      if (now >= until) return resolve();
      answered(now - sentAt);
      sentAt = now;
      socket.write(next());
    });
    socket.write(next());
  });
}

async function run(order: Order): Promise<Loaded> {
  const sockets = Array.from({ length: order.connections }, () => connect(order.port, '127.0.0.1'));
  const requests = order.bodies.map((body) => requestOf(order, body));
  let sent = 0;
  const next = (): Buffer => requests[sent++ % requests.length]!;
  const latencies: number[] = [];
  const until = performance.now() + order.seconds * 1000;
  try {
    await Promise.all(
      sockets.map((socket) => loop(socket, next, order.mark, until, (ms) => latencies.push(ms))),
    );
  } catch (error) {
    return { failure: (error as Error).message };
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * sorted.length)] ?? Number.NaN;
  return { requests: sorted.length, seconds: order.seconds, p50: at(0.5), p99: at(0.99) };
}

process.on('message', (order: Order) => void run(order).then((loaded) => process.send?.(loaded)));
process.once('disconnect', () => process.exit());
