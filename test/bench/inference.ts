/** The Open Inference Protocol at the public door, with a token and counted, against what it stands on. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { encodeRequest } from '#src/inference/protocol.ts';
import type { NamedTensor } from '#src/tensor/tensor.ts';
import { startChild } from './child.ts';
import { compare, type Contender, type Duration } from './compare.ts';
import { create, deployFixture, inputOf, models } from './deployed.ts';
import type { Target } from './load.process.ts';
import { cpuSeconds, family, pin } from './process-usage.ts';
import { ratioFigure } from './ratio.ts';
import type { SessionRuns } from './session.process.ts';
import type { Stack } from './stack.ts';
import { cpuText, median, spreadOf, type Figure } from './table.ts';

const BATCH = 1000;
/** Enough that the replica has the next batch when it is through with one. */
const BATCHES_IN_FLIGHT = 8;
const [SERVERS_CORE, LOAD_CORE] = [0, 1];

interface Model {
  readonly deployment: string;
  readonly modelPath: string;
  readonly input: NamedTensor;
  readonly mark: string;
}

class Door {
  readonly #stack: Stack;
  readonly #token: string;

  constructor(stack: Stack, token: string) {
    this.#stack = stack;
    this.#token = token;
  }

  target({ deployment, input, mark }: Model, binary: boolean): Target {
    const { body, headerLength } = encodeRequest([input], { binary });
    const head = [
      `authorization: Bearer ${this.#token}`,
      `content-type: application/${binary ? 'octet-stream' : 'json'}`,
    ];
    if (headerLength !== null) head.push(`inference-header-content-length: ${headerLength}`);
    return {
      port: Number(new URL(this.#stack.url).port),
      path: `/v2/models/${deployment}/infer`,
      head,
      bodies: [body.toString('base64')],
      encoding: 'base64',
      mark,
    };
  }

  ours(target: Target): Contender {
    const stack = this.#stack;
    const cpu = () => ({ api: cpuSeconds([stack.pid('api')]), replica: cpuSeconds(stack.replicaPids()) });
    return { target, cpu };
  }

  /** What it answers, in base64. */
  async answer({ port, path = '/', head = [], bodies }: Target): Promise<string> {
    const headers = head.map((line) => line.split(': ') as [string, string]);
    const body = Buffer.from(bodies[0] ?? '', 'base64');
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers, body });
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (answer.status !== 200) throw new Error(bytes.toString());
    return bytes.toString('base64');
  }
}

const rowsOf = ({ input }: Model): number => input.shape[0] as number;

function sessionOf({ modelPath, input }: Model): Contender {
  const { name, shape, data } = input;
  const target: SessionRuns = {
    modelPath,
    threads: 1,
    input: name,
    shape,
    values: Array.from(data as Float32Array),
  };
  return { target, cpu: () => ({}) };
}

/** The bare proxy in front of the same answer, as long as `use` takes. */
async function withProxy<T>(
  stack: Stack,
  door: Door,
  target: Target,
  use: (proxy: Contender) => Promise<T>,
): Promise<T> {
  const socket = join(stack.dataDir, 'run', 'bench-proxy.sock');
  rmSync(socket, { force: true });
  const behind = startChild('static.process.ts', [socket, await door.answer(target), 'base64']);
  try {
    await behind.next();
    const proxy = startChild('proxy.ts', [socket]);
    try {
      const { port } = await proxy.next<{ port: number }>();
      return await use({
        target: { ...target, port },
        cpu: () => ({ proxy: cpuSeconds([proxy.pid]), 'behind it': cpuSeconds([behind.pid]) }),
      });
    } finally {
      await proxy.end();
    }
  } finally {
    await behind.end();
  }
}

function againstProxy(
  stack: Stack,
  door: Door,
  model: Model,
  binary: boolean,
  duration: Duration,
): Promise<Figure> {
  const target = door.target(model, binary);
  const what = `Open Inference, ${binary ? 'binary' : 'JSON'}, 1 row of 30 features, with a token, counted`;
  return withProxy(stack, door, target, (proxy) =>
    ratioFigure(what, [door.ours(target), proxy], 'bare proxy, same bytes', binary ? 0.6 : 0.5, duration),
  );
}

async function batches(door: Door, model: Model, duration: Duration): Promise<Figure> {
  const contenders = [door.ours(door.target(model, true)), sessionOf(model)] as const;
  const [ours, raw] = await compare(contenders, duration, BATCHES_IN_FLIGHT);
  const ratios = ours.rates.map((rate, round) => rate / (raw.rates[round] ?? Number.NaN));
  const rows = (rates: readonly number[]): string =>
    `${Math.round(median(rates) * rowsOf(model)).toLocaleString('en')} rows/s`;
  return {
    what: `Open Inference, binary, ${BATCH.toLocaleString('en')} rows a request (CNN of 8 × 8 images), ${BATCHES_IN_FLIGHT} in flight`,
    measured: `${median(ratios).toFixed(3)} × (${rows(ours.rates)}, p99 ${median(ours.p99).toFixed(1)} ms)`,
    spread: spreadOf(ratios, 3),
    cpu: cpuText(ours.cpuMicros),
    limit: `the bare session, one thread as well: ${rows(raw.rates)}`,
    target: '≥ 0.7 ×',
    met: median(ratios) >= 0.7,
  };
}

async function latency(stack: Stack, door: Door, model: Model, duration: Duration): Promise<Figure[]> {
  const target = door.target(model, true);
  const [ours, raw] = await compare([door.ours(target), sessionOf(model)], duration, 1);
  // What two processes and a socket add by themselves on this machine, with nothing in them.
  const [bare] = await withProxy(stack, door, target, (proxy) => compare([proxy, proxy], duration, 1));
  const figure = (share: 'p50' | 'p99', most: number): Figure => {
    const added = ours[share].map((ms, round) => ms - (raw[share][round] ?? Number.NaN));
    return {
      what: `Open Inference, binary, 1 row, 1 in flight: what router and hop add, ${share}`,
      measured: `${median(added).toFixed(2)} ms (${median(ours[share]).toFixed(2)} ms)`,
      spread: spreadOf(added, 2),
      cpu: cpuText(ours.cpuMicros),
      limit: `the bare session: ${median(raw[share]).toFixed(3)} ms; a bare proxy takes ${median(bare[share]).toFixed(2)} ms`,
      target: `≤ ${most} ms`,
      met: median(added) <= most,
    };
  };
  return [figure('p50', 0.4), figure('p99', 2)];
}

/** Everything that serves on one core, whatever asks on the other. */
async function onOneCore(stack: Stack, door: Door, model: Model, duration: Duration): Promise<Figure> {
  const target = door.target(model, false);
  const bare = startChild('static.process.ts', ['0', await door.answer(target), 'base64']);
  const roles = ['api', 'worker', 'postgres', 'redis'] as const;
  const servers = [...new Set([...roles.flatMap((role) => family(stack.pid(role))), ...stack.replicaPids()])];
  try {
    const { port } = await bare.next<{ port: number }>();
    pin([...servers, bare.pid], SERVERS_CORE);
    const limit = {
      target: { ...target, port },
      cpu: () => ({ server: cpuSeconds([bare.pid]) }),
    };
    return await ratioFigure(
      'Open Inference, JSON, 1 row, every server process on one core, the load on the other',
      [door.ours(target), limit],
      'bare node:http on one core, same bytes',
      0.2,
      duration,
      undefined,
      LOAD_CORE,
    );
  } finally {
    pin(servers, null);
    await bare.end();
  }
}

export async function inference(stack: Stack, duration: Duration): Promise<Figure[]> {
  await deployFixture(stack, 'digits/v2.onnx', { name: 'digits' });
  const input = { project: 'demo', name: 'inference', role: 'READER' };
  const { secret } = await create(stack, 'createToken', input, '... on CreatedToken { secret }');
  const door = new Door(stack, secret as string);
  const patient: Model = {
    deployment: 'demo/breast-cancer',
    modelPath: join(models, 'breast-cancer/v2.onnx'),
    input: inputOf('breast-cancer', 1),
    mark: 'benign',
  };
  const digits: Model = {
    deployment: 'demo/digits',
    modelPath: join(models, 'digits/v2.onnx'),
    input: inputOf('digits', BATCH),
    mark: '"model_name":"demo/digits"',
  };
  return [
    await againstProxy(stack, door, patient, true, duration),
    await againstProxy(stack, door, patient, false, duration),
    await batches(door, digits, duration),
    ...(await latency(stack, door, patient, duration)),
    await onOneCore(stack, door, patient, duration),
  ];
}
