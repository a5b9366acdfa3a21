/** 2,000 subscribers of one deployment's metrics, a frame a second, while predictions trickle in. */
import { setTimeout as delay } from 'node:timers/promises';
import { startChild } from './child.ts';
import { post } from './graphql.ts';
import { predictRequest } from './predict.ts';
import { cpuSeconds } from './process-usage.ts';
import type { Stack } from './stack.ts';
import type { SubscribersOrder, SubscribersReport } from './subscribers.process.ts';
import type { Figure } from './table.ts';

const SUBSCRIBERS = 2_000;
const DEPLOYMENT = 'demo/breast-cancer';
const PREDICT_EVERY_MS = 50;

/** Predicts now and then until `over`. */
async function trickle(url: string, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await post(url, predictRequest());
    await delay(PREDICT_EVERY_MS);
  }
}

interface Watched extends SubscribersReport {
  /** Share of a core that the api used. */
  readonly core: number;
}

async function watch(stack: Stack, seconds: number): Promise<Watched> {
  const child = startChild('subscribers.process.ts');
  const ask = (order: SubscribersOrder) => child.ask<SubscribersReport>(order);
  const over = new AbortController();
  const traffic = trickle(stack.url, over.signal);
  try {
    const url = `${stack.url.replace('http', 'ws')}/graphql`;
    const begun = await ask({ type: 'begin', url, count: SUBSCRIBERS, deployment: DEPLOYMENT });
    if (begun.subscribers !== SUBSCRIBERS) throw new Error(begun.failures.slice(0, 3).join('; '));
    // Reading the first frames takes the client's time: what is measured begins behind it.
    await delay(2_000);
    await ask({ type: 'report' });
    const [cpu, from] = [cpuSeconds([stack.pid('api')]), performance.now()];
    await delay(seconds * 1000);
    const core = (cpuSeconds([stack.pid('api')]) - cpu) / ((performance.now() - from) / 1000);
    const report = await ask({ type: 'report' });
    if (report.failures.length > 0) throw new Error(report.failures.slice(0, 3).join('; '));
    return { ...report, core };
  } finally {
    over.abort();
    await Promise.allSettled([traffic]);
    await child.end();
  }
}

export async function live(stack: Stack, seconds: number): Promise<Figure[]> {
  const { frames, missing, latencies, core } = await watch(stack, seconds);
  const delivered = (100 * frames) / (frames + missing);
  const at = (share: number): number => latencies[Math.floor(share * latencies.length)] ?? Number.NaN;
  const one = { spread: `${seconds} s`, cpu: '', limit: '' };
  const who = `${SUBSCRIBERS.toLocaleString('en')} subscribers of one deployment`;
  const [p50, p99, most] = [at(0.5), at(0.99), at(1 - 1 / latencies.length)].map((ms) => ms.toFixed(1));
  return [
    {
      what: `${who}: frames delivered`,
      measured: `${delivered.toFixed(delivered === 100 ? 0 : 3)} % (${frames.toLocaleString('en')})`,
      ...one,
      target: '100 %',
      met: missing === 0,
    },
    {
      what: `${who}: p99 from a window's closing to the client`,
      measured: `${p99} ms (p50 ${p50} ms, most ${most} ms)`,
      ...one,
      target: '≤ 80 ms',
      met: at(0.99) <= 80,
    },
    {
      what: `${who}: CPU of the api`,
      measured: `${(100 * core).toFixed(1)} % of a core`,
      ...one,
      target: '≤ 15 %',
      met: core <= 0.15,
    },
  ];
}
