/**
 * Many subscribers of one deployment's metrics, each over a socket of its own, speaking graphql-transport-ws. What
 * arrives is only noted with its time; it is read when it is asked for, so that reading delays nobody's receipt.
 */
import { WebSocket } from 'ws';

/** Begin: connect that many. Report: what came since the last report. */
export type SubscribersOrder =
  | { readonly type: 'begin'; readonly url: string; readonly count: number; readonly deployment: string }
  | { readonly type: 'report' };
export interface SubscribersReport {
  readonly subscribers: number;
  /** Frames that came. */
  readonly frames: number;
  /** Frames missing between the first and the last of each subscriber, and subscribers without any. */
  readonly missing: number;
  /** From a window's closing to its receipt, in milliseconds, sorted. */
  readonly latencies: number[];
  /** What went wrong, such as a closed socket. */
  readonly failures: string[];
}

const query = `subscription Live($deployment: ID!) {
  deploymentMetrics(deployment: $deployment, backfillSeconds: 0) {
    at closedAt gapBefore
    arms { arm requests requestsPerSecond errorRate inFlight latencyMs { p50 p90 p95 p99 max } errors { client model server shed } }
  }
}`;

interface Subscriber {
  readonly socket: WebSocket;
  received: { readonly data: Buffer; readonly at: number }[];
}

const subscribers: Subscriber[] = [];
const failures: string[] = [];
const now = (): number => performance.timeOrigin + performance.now();

/** Resolves with the subscriber once its first frame is there. */
function subscribe(url: string, deployment: string): Promise<Subscriber> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, 'graphql-transport-ws', { perMessageDeflate: false });
    const subscriber: Subscriber = { socket, received: [] };
    socket.once('open', () => socket.send('{"type":"connection_init"}'));
    socket.once('message', () => {
      socket.send(
        JSON.stringify({ id: '1', type: 'subscribe', payload: { query, variables: { deployment } } }),
      );
      socket.once('message', () => resolve(subscriber));
      socket.on('message', (data: Buffer) => subscriber.received.push({ data, at: now() }));
    });
    socket.on('error', reject);
    socket.on('close', (code, reason) => failures.push(`closed: ${code} ${String(reason)}`));
  });
}

const TOGETHER = 50;

async function begin({ url, count, deployment }: SubscribersOrder & { type: 'begin' }): Promise<void> {
  const waiting: Promise<Subscriber>[] = [];
  for (let first = 0; first < count; first += TOGETHER) {
    const group = Array.from({ length: Math.min(TOGETHER, count - first) }, () => subscribe(url, deployment));
    waiting.push(...group);
    // Not all handshakes at once; the first frame comes within a second or two, so nobody waits for that here.
    await Promise.all(group.map(async (one) => Promise.race([one, new Promise((go) => setTimeout(go, 25))])));
  }
  subscribers.push(...(await Promise.all(waiting)));
}

interface Frame {
  readonly at: string;
  readonly closedAt: string;
}

function framesOf({ received }: Subscriber): { second: number; latency: number }[] {
  return received.flatMap(({ data, at }) => {
    const text = data.toString();
    const message = JSON.parse(text) as { type: string; payload?: { data?: { deploymentMetrics: Frame } } };
    const frame = message.payload?.data?.deploymentMetrics;
    if (message.type !== 'next' || !frame) {
      if (message.type !== 'ping') failures.push(text.slice(0, 200));
      return [];
    }
    return [{ second: Date.parse(frame.at) / 1000, latency: at - Date.parse(frame.closedAt) }];
  });
}

function report(): SubscribersReport {
  let [frames, missing] = [0, 0];
  const latencies: number[] = [];
  for (const subscriber of subscribers) {
    const got = framesOf(subscriber);
    subscriber.received = [];
    const seconds = new Set(got.map(({ second }) => second));
    const expected = seconds.size === 0 ? 1 : Math.max(...seconds) - Math.min(...seconds) + 1;
    frames += seconds.size;
    missing += expected - seconds.size;
    for (const { latency } of got) latencies.push(latency);
  }
  latencies.sort((a, b) => a - b);
  return { subscribers: subscribers.length, frames, missing, latencies, failures: failures.splice(0) };
}

process.on('message', (order: SubscribersOrder) => {
  if (order.type === 'report') {
    process.send?.(report());
    return;
  }
  begin(order).then(
    () => process.send?.(report()),
    (error: Error) => {
      failures.push(error.message);
      process.send?.(report());
    },
  );
});
process.once('disconnect', () => process.exit());
