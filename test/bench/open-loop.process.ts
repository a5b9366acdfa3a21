/**
 * Requests that come by the clock, whether or not those before them are answered: what overload is. Tells its parent how
 * many were answered and how fast, and how many were refused (429 or 503).
 */
import { Agent, request } from 'node:http';

interface Order {
  readonly port: number;
  readonly path: string;
  readonly body: string;
  readonly perSecond: number;
  /** Measured; those of the first second are not. */
  readonly seconds: number;
}
export interface Opened {
  readonly answered: number;
  readonly refused: number;
  readonly failed: number;
  /** Milliseconds of those that were answered. */
  readonly p50: number;
  readonly p99: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: 1000 });
const headers = { 'content-type': 'application/json' };

function ask({ port, path, body }: Order): Promise<{ status: number; ms: number }> {
  return new Promise((resolve) => {
    const from = performance.now();
    const done = (status: number): void => resolve({ status, ms: performance.now() - from });
    const outgoing = request({ agent, host: '127.0.0.1', port, path, method: 'POST', headers }, (answer) => {
      answer.resume();
      answer.once('end', () => done(answer.statusCode ?? 0));
    });
    outgoing.once('error', () => done(0));
    outgoing.end(body);
  });
}

async function run(order: Order): Promise<Opened> {
  const outcomes: Promise<{ status: number; ms: number }>[] = [];
  const began = performance.now();
  const measuredFrom = began + 1000;
  const until = measuredFrom + order.seconds * 1000;
  let sent = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const now = performance.now();
      for (; began + (sent * 1000) / order.perSecond <= now; sent++) {
        const outcome = ask(order);
        if (now >= measuredFrom) outcomes.push(outcome);
      }
      if (now < until) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
  const all = await Promise.all(outcomes);
  const answered = all.filter(({ status }) => status === 200).map(({ ms }) => ms);
  const refused = all.filter(({ status }) => status === 429 || status === 503).length;
  const sorted = answered.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * sorted.length)] ?? Number.NaN;
  const failed = all.length - answered.length - refused;
  return { answered: answered.length, refused, failed, p50: at(0.5), p99: at(0.99) };
}

process.on('message', (order: Order) => void run(order).then((opened) => process.send?.(opened)));
process.once('disconnect', () => process.exit());
