/**
 * Many followers of a project's ledger, each over a socket of its own, speaking graphql-transport-ws. A WebSocket
 * library would take more time than the server does; here the frames are looked through for the event's number and time,
 * which stand first in each message.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { connect, type Socket } from 'node:net';

/** Begin: connect that many. Reach: wait until everybody has that number. Report: what came since the last report. */
export type FollowersOrder =
  | {
      readonly type: 'begin';
      readonly url: string;
      readonly count: number;
      /** Global id. */
      readonly project: string;
      readonly after: number;
    }
  | { readonly type: 'reach'; readonly sequence: number }
  | { readonly type: 'report' };
export interface FollowersReport {
  readonly followers: number;
  readonly events: number;
  /** Events that did not come right after the one before them. */
  readonly outOfOrder: number;
  readonly bytes: number;
  /** How many came after so many milliseconds, by the index. */
  readonly latencies: number[];
  /** What went wrong, such as a closed socket. */
  readonly failures: string[];
}

const query = `subscription Follow($project: ID!, $after: BigInt) {
  ledger(project: $project, after: $after) { sequence at id type summary actor { name kind } data }
}`;

const [TEXT, CLOSE, PING, PONG] = [0x81, 0x88, 0x89, 0x8a];
const idLength = randomUUID().length;
const before = `{"id":"${'0'.repeat(idLength)}","type":"next","payload":{"data":{"ledger":{"sequence":`
  .length;
/** Where `next` stands. */
const typeAt = `{"id":"${'0'.repeat(idLength)}","type":"`.length;
const [N, ZERO, NINE] = [0x6e, 0x30, 0x39];
const timeOffset = ',"at":"'.length;
const timeLength = '2026-11-24T00:00:00.000Z'.length;

const LATEST = 20_000;
let latencies = new Uint32Array(LATEST + 1);
let [events, outOfOrder, bytes] = [0, 0, 0];
const failures: string[] = [];
const now = (): number => performance.timeOrigin + performance.now();

/** When each event happened: all followers get the same, so each time is read once. */
const times = new Map<number, number>();

/** A frame as a client sends it: masked, by a key that changes nothing. */
function masked(opcode: number, text: string): Buffer {
  const payload = Buffer.from(text);
  const { length } = payload;
  const head = length < 126 ? [opcode, 0x80 | length] : [opcode, 0x80 | 126, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), payload]);
}

class Follower {
  last: number;
  readonly #socket: Socket;
  readonly #start: string;
  readonly #onBegun: () => void;
  #rest: Buffer | undefined;
  #isUpgraded = false;

  constructor(order: FollowersOrder & { type: 'begin' }, onBegun: () => void) {
    const { hostname, port } = new URL(order.url);
    const { project, after } = order;
    this.last = after;
    this.#onBegun = onBegun;
    this.#start = JSON.stringify({
      id: randomUUID(),
      type: 'subscribe',
      payload: { query, variables: { project, after } },
    });
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.#socket.write(
      `GET /graphql HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n` +
        'Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n',
    );
    this.#socket.write(masked(TEXT, '{"type":"connection_init"}'));
    this.#socket.on('data', (chunk) => this.#read(chunk));
    this.#socket.on('error', (error) => failures.push(error.message));
    this.#socket.on('close', () => failures.push('closed'));
  }

  #read(chunk: Buffer): void {
    bytes += chunk.length;
    let data = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    this.#rest = undefined;
    if (!this.#isUpgraded) {
      const end = data.indexOf('\r\n\r\n');
      if (end < 0) {
        this.#rest = data;
        return;
      }
      this.#isUpgraded = true;
      data = data.subarray(end + 4);
    }
    const at = this.#frames(data, now());
    if (at < data.length) this.#rest = data.subarray(at);
  }

  /** Reads all whole frames; where the first begins that is not whole. */
  #frames(data: Buffer, received: number): number {
    let at = 0;
    while (at + 2 <= data.length) {
      const short = (data[at + 1] ?? 0) & 0x7f;
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (at + head > data.length) break;
      const length =
        short < 126
          ? short
          : short === 126
            ? data.readUInt16BE(at + 2)
            : Number(data.readBigUInt64BE(at + 2));
      const from = at + head;
      if (from + length > data.length) break;
      if (data[at] === TEXT && length > before && data[from + typeAt] === N)
        this.#event(data, from, received);
      else this.#other(data[at] ?? 0, data.toString('utf8', from, from + length));
      at = from + length;
    }
    return at;
  }

  #event(data: Buffer, from: number, received: number): void {
    let [at, sequence] = [from + before, 0];
    for (let digit = data[at] ?? 0; digit >= ZERO && digit <= NINE; digit = data[++at] ?? 0) {
      sequence = sequence * 10 + digit - ZERO;
    }
    if (sequence !== this.last + 1) outOfOrder++;
    this.last = sequence;
    events++;
    let time = times.get(sequence);
    if (time === undefined) {
      time = Date.parse(data.toString('latin1', at + timeOffset, at + timeOffset + timeLength));
      times.set(sequence, time);
    }
    const slot = Math.min(LATEST, Math.max(0, Math.round(received - time)));
    latencies[slot] = (latencies[slot] ?? 0) + 1;
  }

  #other(opcode: number, text: string): void {
    if (opcode === PING) this.#socket.write(masked(PONG, text));
    else if (opcode === CLOSE) failures.push(`told to go: ${text.slice(2)}`);
    else if (text === '{"type":"connection_ack"}') {
      this.#socket.write(masked(TEXT, this.#start));
      this.#onBegun();
    } else if (!text.startsWith('{"type":"ping"')) failures.push(text.slice(0, 300));
  }
}

const followers: Follower[] = [];
const TOGETHER = 50;

async function begin(order: FollowersOrder & { type: 'begin' }): Promise<void> {
  while (followers.length < order.count) {
    const group = Math.min(TOGETHER, order.count - followers.length);
    // Not all handshakes at once.
    const begun = Array.from(
      { length: group },
      () => new Promise<void>((resolve) => followers.push(new Follower(order, resolve))),
    );
    await Promise.all(begun);
  }
}

const PATIENCE_MS = 30_000;

async function reach(sequence: number): Promise<void> {
  const until = now() + PATIENCE_MS;
  while (followers.some(({ last }) => last < sequence) && now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function report(): FollowersReport {
  const said = {
    followers: followers.length,
    events,
    outOfOrder,
    bytes,
    latencies: [...latencies],
    failures: failures.splice(0),
  };
  [events, outOfOrder, bytes] = [0, 0, 0];
  latencies = new Uint32Array(LATEST + 1);
  times.clear();
  return said;
}

async function obey(order: FollowersOrder): Promise<void> {
  if (order.type === 'begin') await begin(order);
  if (order.type === 'reach') await reach(order.sequence);
}

process.on('message', (order: FollowersOrder) => {
  obey(order)
    .catch((error: Error) => failures.push(error.message))
    .finally(() => process.send?.(report()));
});
process.once('disconnect', () => process.exit());
