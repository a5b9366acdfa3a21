/** What a deployment does with many callers: batches, overload, and many deployments on one worker. */
import { readFileSync } from 'node:fs';
import { encodeRequest } from '#src/inference/protocol.ts';
import { startChild } from './child.ts';
import { compare, type Contender, type Duration } from './compare.ts';
import { deploy, deployFixture, inputOf, registerFixture } from './deployed.ts';
import type { Target } from './load.process.ts';
import type { Opened } from './open-loop.process.ts';
import { cpuSeconds } from './process-usage.ts';
import type { Stack } from './stack.ts';
import { cpuText, median, spreadOf, type Figure } from './table.ts';

const CALLERS = 64;
const DEPLOYMENTS = 40;
const OVERLOAD = 3;

const portOf = (stack: Stack): number => Number(new URL(stack.url).port);

function target(stack: Stack, deployment: string, model: string, mark: string): Target {
  const { body, headerLength } = encodeRequest([inputOf(model, 1)], { binary: true });
  return {
    port: portOf(stack),
    path: `/v2/models/demo/${deployment}/infer`,
    head: ['content-type: application/octet-stream', `inference-header-content-length: ${headerLength}`],
    bodies: [body.toString('base64')],
    encoding: 'base64',
    mark,
  };
}

const contender = (stack: Stack, asked: Target): Contender => ({
  target: asked,
  cpu: () => ({ api: cpuSeconds([stack.pid('api')]), replica: cpuSeconds(stack.replicaPids()) }),
});

/** The same model twice: with batches, and with every request alone. */
async function batching(stack: Stack, duration: Duration): Promise<Figure[]> {
  await deployFixture(stack, 'digits/v2.onnx', { name: 'batched' });
  await deploy(stack, { name: 'alone', version: 'demo/batched:1', batching: { maxRows: 1 } });
  const of = (name: string) => contender(stack, target(stack, name, 'digits', '"model_name"'));
  const [on, off] = await compare([of('batched'), of('alone')], duration, CALLERS);
  const ratios = on.rates.map((rate, round) => rate / (off.rates[round] ?? Number.NaN));
  const slower = on.p50.map((ms, round) => ms - (off.p50[round] ?? Number.NaN));
  const what = `${CALLERS} callers, 1 row each (CNN of 8 × 8 images): batching on against off`;
  const rows = (rates: readonly number[]): string =>
    `${Math.round(median(rates)).toLocaleString('en')} rows/s`;
  return [
    {
      what,
      measured: `${median(ratios).toFixed(2)} × (${rows(on.rates)})`,
      spread: spreadOf(ratios, 2),
      cpu: cpuText(on.cpuMicros),
      limit: `off: ${rows(off.rates)}, ${cpuText(off.cpuMicros)}`,
      target: '≥ 1.5 ×',
      met: median(ratios) >= 1.5,
    },
    {
      what: `${what}, p50`,
      measured: `${median(slower).toFixed(2)} ms more (${median(on.p50).toFixed(2)} ms)`,
      spread: spreadOf(slower, 2),
      cpu: '',
      limit: `off: ${median(off.p50).toFixed(2)} ms`,
      target: '≤ 0 ms more',
      met: median(slower) <= 0,
    },
  ];
}

/** Three times as many as it can answer, by the clock. */
async function overload(stack: Stack, duration: Duration): Promise<Figure[]> {
  await deployFixture(stack, 'breast-cancer/v5-slow.onnx', { name: 'slow' });
  const asked = contender(stack, target(stack, 'slow', 'breast-cancer', '"model_name"'));
  // Twice the same: what it answers when one asks at a time is both its rate and its unloaded latency.
  const [one, two] = await compare([asked, asked], duration, 1);
  const rates = [...one.rates, ...two.rates];
  const [sustained, unloaded] = [median(rates), median([...one.p99, ...two.p99])];
  const { body } = encodeRequest([inputOf('breast-cancer', 1)], { binary: false });
  const child = startChild('open-loop.process.ts');
  try {
    const seconds = Math.max(10, duration.rounds * duration.seconds);
    const opened = await child.ask<Opened>({
      port: portOf(stack),
      path: '/v2/models/demo/slow/infer',
      body: body.toString(),
      perSecond: OVERLOAD * sustained,
      seconds,
    });
    const kept = opened.answered / seconds / sustained;
    const slower = opened.p99 / unloaded;
    const what = `Overload: ${OVERLOAD} × what a slow model (50 ms a row) answers, by the clock`;
    const spread = `${seconds} s: ${opened.answered} answered, ${opened.refused} refused, ${opened.failed} failed`;
    return [
      {
        what: `${what}: throughput that is kept`,
        measured: `${kept.toFixed(2)} × (${(opened.answered / seconds).toFixed(1)}/s)`,
        spread,
        cpu: '',
        limit: `one at a time: ${sustained.toFixed(1)}/s`,
        target: '≥ 0.9 ×',
        met: kept >= 0.9 && opened.failed === 0,
      },
      {
        what: `${what}: p99 of what was accepted`,
        measured: `${slower.toFixed(2)} × (${opened.p99.toFixed(0)} ms, p50 ${opened.p50.toFixed(0)} ms)`,
        spread,
        cpu: '',
        limit: `one at a time, p99: ${unloaded.toFixed(0)} ms`,
        target: '≤ 5 ×',
        met: slower <= 5,
      },
    ];
  } finally {
    await child.end();
  }
}

/** Memory of a process that it shares with no other, in bytes. */
function privateBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kilobytes = [...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)].map(([, size]) =>
    Number(size),
  );
  return kilobytes.reduce((sum, size) => sum + size, 0) * 1024;
}

async function manyDeployments(stack: Stack, duration: Duration): Promise<Figure[]> {
  const before = new Set(stack.replicaPids());
  await registerFixture(stack, 'iris/v2.onnx', 'small');
  const [first = '', ...others] = Array.from({ length: DEPLOYMENTS }, (_none, index) => `small-${index}`);
  await deploy(stack, { name: first, version: 'demo/small:1' });
  const one = contender(stack, target(stack, first, 'iris', '"model_name"'));
  const alone = (await compare([one, one], duration)).map(({ cpuMicros }) => cpuMicros['api'] ?? Number.NaN);
  for (const name of others) await deploy(stack, { name, version: 'demo/small:1' });
  const among = (await compare([one, one], duration)).map(({ cpuMicros }) => cpuMicros['api'] ?? Number.NaN);
  const cost = median(among) / median(alone);
  const memory = stack
    .replicaPids()
    .filter((pid) => !before.has(pid))
    .map((pid) => privateBytes(pid) / 1e6);
  return [
    {
      what: `${DEPLOYMENTS} deployments of a small model on one worker: private memory of a replica`,
      measured: `${median(memory).toFixed(0)} MB`,
      spread: `${Math.min(...memory).toFixed(0)}–${Math.max(...memory).toFixed(0)} MB (${memory.length} replicas)`,
      cpu: '',
      limit: '',
      target: '≤ 60 MB',
      met: median(memory) <= 60,
    },
    {
      what: `Routing to one of ${DEPLOYMENTS} deployments against the only one: the api's CPU of a request`,
      measured: `${cost.toFixed(2)} ×`,
      spread: `${duration.rounds} rounds, twice each`,
      cpu: `api ${median(among).toFixed(0)} µs`,
      limit: `the only one: api ${median(alone).toFixed(0)} µs`,
      target: '≤ 1.2 ×',
      met: cost <= 1.2,
    },
  ];
}

export async function serving(stack: Stack, duration: Duration): Promise<Figure[]> {
  return [
    ...(await batching(stack, duration)),
    ...(await overload(stack, duration)),
    ...(await manyDeployments(stack, duration)),
  ];
}
