/** Entry of `npm run demo:traffic`: people asking the demo, by chance, so many a second, until Ctrl-C. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { loadEnvironment } from '../platform/config.ts';
import { LocalError } from './local-error.ts';
import { holderOf } from './lock.ts';
import { drawRow, nextArrivalMs, traffics, type NumberRow, type Traffic } from './traffic-data.ts';

const usage = `npm run demo:traffic -- [--rate 20] [--data ${Object.keys(traffics).join('|')}] [--seconds n] [--deployment demo/breast-cancer] [--url http://127.0.0.1:4000]

  --rate     requests a second in the mean, up to 2000
  --data     ${Object.entries(traffics)
    .map(([name, what]) => `${name}: ${what}`)
    .join('\n             ')}
  --seconds  how long; without it until Ctrl-C`;

/** Requests under way, at most; what would come beside them is counted as left out. */
const MOST_IN_FLIGHT = 256;
const query = `mutation ($deployment: ID!, $rows: [Row!]) {
  predict(input: { deployment: $deployment, rows: $rows }) { __typename }
}`;
const answer = z.object({ data: z.object({ predict: z.object({ __typename: z.string() }) }) });

interface Options {
  readonly rate: number;
  readonly data: Traffic;
  readonly seconds: number;
  readonly deployment: string;
  readonly url: string;
  readonly token: string | undefined;
}

const isTraffic = (name: string): name is Traffic => Object.hasOwn(traffics, name);

/** @throws LocalError */
function optionsOf(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      rate: { type: 'string', default: '20' },
      data: { type: 'string', default: 'usual' },
      seconds: { type: 'string', default: 'Infinity' },
      deployment: { type: 'string', default: 'demo/breast-cancer' },
      url: { type: 'string' },
    },
  });
  const env = loadEnvironment();
  const url = values.url ?? holderOf(env.DATA_DIR)?.url;
  const [rate, seconds] = [Number(values.rate), Number(values.seconds)];
  if (!(rate > 0 && rate <= 2000))
    throw new LocalError(`--rate: expected 0 to 2000, found ${values.rate}\n\n${usage}`);
  if (!(seconds > 0))
    throw new LocalError(`--seconds: expected more than 0, found ${values.seconds}\n\n${usage}`);
  if (!isTraffic(values.data))
    throw new LocalError(
      `--data: expected ${Object.keys(traffics).join(', ')}, found ${values.data}\n\n${usage}`,
    );
  if (!url)
    throw new LocalError(`Nothing runs in ${env.DATA_DIR}: start it with \`npm start\`, or give --url.`);
  const token = env.ADMIN_TOKEN_FILE && readFileSync(env.ADMIN_TOKEN_FILE, 'utf8').trim();
  return { rate, seconds, data: values.data, deployment: values.deployment, url, token };
}

/** What came of the requests of a second, or of all. */
class Tally {
  readonly #outcomes = new Map<string, number>();
  readonly #latencies: number[] = [];

  add(outcome: string, latencyMs: number): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
    // Of a long run a sample is enough: the last hundred thousand.
    this.#latencies[this.#latencies.length % 100_000] = latencyMs;
  }

  toString(): string {
    const sorted = Float64Array.from(this.#latencies).toSorted();
    const at = (q: number): string => (sorted[Math.floor(q * sorted.length)] ?? 0).toFixed(1);
    const counts = [...this.#outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(', ');
    return counts === '' ? 'nothing' : `${counts}; p50 ${at(0.5)} ms, p95 ${at(0.95)} ms`;
  }
}

async function ask(options: Options, row: object): Promise<string> {
  const { url, token, deployment } = options;
  const headers = new Headers({ 'content-type': 'application/json' });
  if (token) headers.set('authorization', `Bearer ${token}`);
  const body = JSON.stringify({ query, variables: { deployment, rows: [row] } });
  try {
    const response = await fetch(`${url}/graphql`, { method: 'POST', headers, body });
    const read = answer.safeParse(await response.json());
    if (!read.success) return `HTTP ${response.status}`;
    const { __typename } = read.data.data.predict;
    return __typename === 'PredictPayload' ? 'answered' : __typename;
  } catch {
    return 'unreachable';
  }
}

async function send(options: Options, stop: AbortSignal): Promise<void> {
  const rows = JSON.parse(
    readFileSync(join(import.meta.dirname, 'demo/breast-cancer-rows.json'), 'utf8'),
  ) as NumberRow[];
  const all = new Tally();
  let second = new Tally();
  let inFlight = 0;
  const ended = new Set<Promise<void>>();
  const one = async (): Promise<void> => {
    const began = performance.now();
    inFlight += 1;
    const outcome = await ask(options, drawRow(rows, options.data, Math.random));
    inFlight -= 1;
    for (const tally of [all, second]) tally.add(outcome, performance.now() - began);
  };
  const timer = setInterval(() => {
    process.stdout.write(`${new Date().toISOString().slice(11, 19)}  ${String(second)}\n`);
    second = new Tally();
  }, 1000);
  const until = performance.now() + options.seconds * 1000;
  for (
    let due = performance.now();
    due < until && !stop.aborted;
    due += nextArrivalMs(options.rate, Math.random)
  ) {
    const wait = due - performance.now();
    if (wait > 1) await delay(wait, undefined, { signal: stop }).catch(() => undefined);
    if (stop.aborted) break;
    if (inFlight >= MOST_IN_FLIGHT) {
      for (const tally of [all, second]) tally.add('left out', 0);
      continue;
    }
    const work = one().finally(() => ended.delete(work));
    ended.add(work);
  }
  clearInterval(timer);
  await Promise.all(ended);
  process.stdout.write(`All: ${String(all)}\n`);
}

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
process.once('SIGTERM', () => stop.abort());
try {
  const options = optionsOf(process.argv.slice(2));
  process.stdout.write(
    `${options.rate} requests a second to ${options.deployment} at ${options.url}: ${traffics[options.data]}. Ctrl-C ends it.\n`,
  );
  await send(options, stop.signal);
} catch (error) {
  const isUsage = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS');
  if (!isUsage && !(error instanceof LocalError)) throw error;
  process.stdout.write(`${(error as Error).message}\n${isUsage ? `\n${usage}\n` : ''}`);
  process.exitCode = 1;
}
