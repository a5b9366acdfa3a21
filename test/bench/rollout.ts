/**
 * Rollouts: what one that runs costs whoever predicts, how soon a bad version is taken back and how soon nobody hears of it
 * any more, and what many of them cost the worker.
 */
import { Agent, request } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { breastCancerSignature } from '#test/helpers/models.ts';
import { postForm } from '#test/helpers/client.ts';
import { patients } from '#test/rollout/patients.ts';
import { type Duration, type Contender } from './compare.ts';
import { create, deploy, models } from './deployed.ts';
import { post } from './graphql.ts';
import { cpuSeconds } from './process-usage.ts';
import { ratioFigure } from './ratio.ts';
import { predictRequest } from './predict.ts';
import type { Stack } from './stack.ts';
import { median, spreadOf, type Figure } from './table.ts';

const PER_SECOND = 100;
const MANY = 100;
const MANY_SECONDS = 20;
const LOOK_MS = 50;
/** Two arms and their callers take more processes than two cores have room for: single rounds differ by a quarter. */
const COST: Duration = { rounds: 15, seconds: 2, warmUpSeconds: 3 };

/** Versions of one model: the good one is 1, that which has learnt the wrong labels 2. */
async function register(stack: Stack): Promise<void> {
  const { id } = await create(
    stack,
    'createModel',
    { project: 'demo', name: 'rolled' },
    '... on Model { id }',
  );
  const query =
    'mutation ($input: CreateVersionInput!) { result: createVersion(input: $input) { ... on Version { id } ... on Error { message } } }';
  for (const [index, file] of ['v2.onnx', 'v4-wrong.onnx'].entries()) {
    const content = readFileSync(join(models, 'breast-cancer', file));
    const variables = { input: { model: id, files: [null], signature: breastCancerSignature } };
    await postForm(
      stack.url,
      { query, variables },
      { 'variables.input.files.0': { name: 'model.onnx', content } },
    );
    await until(stack, `{ version(ref: "demo/rolled:${index + 1}") { status } }`, (text) =>
      text.includes('READY'),
    );
  }
}

async function until(stack: Stack, query: string, isWanted: (text: string) => boolean): Promise<string> {
  for (;;) {
    const text = JSON.stringify(await post<unknown>(stack.url, { query }));
    if (isWanted(text)) return text;
    await delay(LOOK_MS);
  }
}

const start = (stack: Stack, input: object): Promise<{ readonly id?: string }> =>
  create(stack, 'startRollout', input, '... on Rollout { id }');

const stateOf = (id: string): string => `{ node(id: "${id}") { ... on Rollout { state } } }`;

/** A canary that bakes, with four gates and a tenth mirrored, against a deployment that has none. */
async function cost(stack: Stack): Promise<Figure> {
  for (const name of ['plain', 'watched']) await deploy(stack, { name, version: 'demo/rolled:1' });
  const gate = (metric: string, threshold: number, more: object = {}) => ({ metric, threshold, ...more });
  const { id = '' } = await start(stack, {
    deployment: 'demo/watched',
    version: 'demo/rolled:1',
    strategy: 'CANARY',
    steps: [{ weight: 0.1, bakeSeconds: 3_600 }],
    mirrorShare: 0.1,
    gates: [
      gate('ERROR_RATE', 0.02, { against: 'STABLE_ARM' }),
      // Against itself: on a machine that is full the two may differ in speed, which is not what is measured here.
      gate('LATENCY_P95_MS', 100, { against: 'STABLE_ARM' }),
      gate('DISAGREEMENT_RATE', 0.1),
      gate('OUTPUT_DRIFT', 0.1),
    ],
  });
  await until(stack, stateOf(id), (text) => text.includes('BAKING'));
  const { query, variables } = predictRequest();
  const of = (name: string): Contender => ({
    target: {
      port: Number(new URL(stack.url).port),
      bodies: [JSON.stringify({ query: query.replace('demo/breast-cancer', `demo/${name}`), variables })],
      mark: '"label":"malignant"',
    },
    cpu: () => ({ api: cpuSeconds([stack.pid('api')]), worker: cpuSeconds([stack.pid('worker')]) }),
  });
  const figure = await ratioFigure(
    'Predict with a canary at 0.1, four gates and a tenth mirrored',
    [of('watched'), of('plain')],
    'the same model without a rollout',
    0.85,
    COST,
  );
  await create(stack, 'abortRollout', { rollout: id }, '... on Rollout { id }');
  return figure;
}

/** Requests by the clock; remembers when the version was answered that is looked for, first and last. */
class Traffic {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 });
  readonly #timer: NodeJS.Timeout;
  readonly #began = performance.now();
  readonly #bodies = patients().map((body) => JSON.stringify(body));
  #sent = 0;
  readonly #url: URL;
  readonly #version: string;
  readonly #perSecond: number;
  /** Milliseconds since 1970. */
  first: number | undefined;
  last: number | undefined;
  answered = 0;
  ofVersion = 0;
  failed = 0;

  constructor(url: URL, version: number, perSecond: number) {
    this.#url = url;
    this.#version = `"model_version":"${version}"`;
    this.#perSecond = perSecond;
    this.#timer = setInterval(() => {
      while (this.#began + (this.#sent * 1000) / this.#perSecond <= performance.now()) this.#send();
    }, 1);
  }

  #send(): void {
    const body = this.#bodies[this.#sent++ % this.#bodies.length]!;
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const outgoing = request(this.#url, { agent: this.#agent, method: 'POST', headers }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.once('end', () => this.#take(answer.statusCode ?? 0, Buffer.concat(pieces).toString()));
    });
    outgoing.once('error', () => this.failed++);
    outgoing.end(body);
  }

  #take(status: number, text: string): void {
    if (status !== 200) this.failed++;
    this.answered++;
    if (!text.includes(this.#version)) return;
    this.ofVersion++;
    this.first ??= Date.now();
    this.last = Date.now();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#agent.destroy();
  }
}

interface TakenBack {
  readonly seconds: number;
  readonly untilLast: number;
  readonly share: number;
  readonly failed: number;
}

/** One canary of the version that has learnt the wrong labels, from its first answer to its last. */
async function takeBack(stack: Stack, round: number): Promise<TakenBack> {
  const name = `wrong-${round}`;
  await deploy(stack, { name, version: 'demo/rolled:1' });
  const traffic = new Traffic(new URL(`${stack.url}/v2/models/demo/${name}/infer`), 2, PER_SECOND);
  try {
    const { id = '' } = await start(stack, {
      deployment: `demo/${name}`,
      version: 'demo/rolled:2',
      strategy: 'CANARY',
      steps: [{ weight: 0.1, bakeSeconds: 600 }],
    });
    await until(stack, stateOf(id), (text) => text.includes('ROLLED_BACK'));
    const query = `{ project(name: "demo") { deployment(name: "${name}") { ledger: rollouts(first: 1) { edges { node { reason } } } } ledger(first: 20) { edges { node { type at data } } } } }`;
    const { project } = await post<{
      project: {
        ledger: { edges: { node: { type: string; at: string; data: { rollout?: { id: string } } } }[] };
      };
    }>(stack.url, { query });
    const events = project.ledger.edges.map(({ node }) => node);
    const decided = events.find(({ type }) => type === 'ROLLOUT_ROLLING_BACK');
    const at = new Date(decided?.at ?? Number.NaN).getTime();
    return {
      seconds: (at - (traffic.first ?? Number.NaN)) / 1000,
      untilLast: ((traffic.last ?? Number.NaN) - at) / 1000,
      share: traffic.ofVersion / traffic.answered,
      failed: traffic.failed,
    };
  } finally {
    traffic.stop();
    await create(stack, 'undeploy', { deployment: `demo/${name}` }, '... on Deployment { id }');
  }
}

async function detection(stack: Stack, rounds: number): Promise<Figure[]> {
  const all: TakenBack[] = [];
  for (let round = 0; round < rounds; round++) all.push(await takeBack(stack, round));
  const seconds = all.map((each) => each.seconds);
  const untilLast = all.map((each) => each.untilLast);
  const failed = all.reduce((sum, each) => sum + each.failed, 0);
  const share = (median(all.map((each) => each.share)) * 100).toFixed(1);
  const what = `A canary that has learnt the wrong labels, at 0.1 of ${PER_SECOND} requests a second, default gates`;
  return [
    {
      what: `${what}: from its first answer to ROLLING_BACK`,
      measured: `${median(seconds).toFixed(1)} s, worst ${Math.max(...seconds).toFixed(1)} s (it answered ${share} % of all; ${failed} failed)`,
      spread: spreadOf(seconds, 1),
      cpu: '',
      limit: '',
      target: '≤ 20 s, worst ≤ 60 s',
      met: median(seconds) <= 20 && Math.max(...seconds) <= 60 && failed === 0,
    },
    {
      what: `${what}: from the decision to its last answer`,
      measured: `${median(untilLast).toFixed(2)} s, worst ${Math.max(...untilLast).toFixed(2)} s`,
      spread: spreadOf(untilLast, 2),
      cpu: '',
      limit: '',
      target: '≤ 1.5 s',
      met: Math.max(...untilLast) <= 1.5,
    },
  ];
}

/** Many rollouts that bake at once, each with a little traffic. */
async function many(stack: Stack): Promise<Figure> {
  const names = Array.from({ length: MANY }, (_none, index) => `many-${index}`);
  for (const name of names) await deploy(stack, { name, version: 'demo/rolled:1' });
  const traffics = names.map(
    (name) => new Traffic(new URL(`${stack.url}/v2/models/demo/${name}/infer`), 2, 1),
  );
  try {
    const used = async (): Promise<number> => {
      const before = cpuSeconds([stack.pid('worker')]);
      await delay(MANY_SECONDS * 1000);
      return ((cpuSeconds([stack.pid('worker')]) - before) / MANY_SECONDS) * 100;
    };
    const idle = await used();
    for (const name of names) {
      await start(stack, {
        deployment: `demo/${name}`,
        version: 'demo/rolled:1',
        strategy: 'CANARY',
        steps: [{ weight: 0.5, bakeSeconds: 3_600 }],
      });
    }
    for (const name of names) {
      const query = `{ project(name: "demo") { deployment(name: "${name}") { rollout { state } } } }`;
      await until(stack, query, (text) => text.includes('BAKING'));
    }
    const busy = await used();
    return {
      what: `${MANY} rollouts that bake at once, a request a second each: CPU of the worker, which also keeps their ${2 * MANY} replicas`,
      measured: `${busy.toFixed(1)} % of a core`,
      spread: `${MANY_SECONDS} s`,
      cpu: '',
      limit: `without a rollout, with ${MANY} replicas: ${idle.toFixed(1)} %`,
      target: '≤ 20 %',
      met: busy <= 20,
    };
  } finally {
    for (const traffic of traffics) traffic.stop();
    for (const name of names)
      await create(stack, 'undeploy', { deployment: `demo/${name}` }, '... on Deployment { id }');
  }
}

/** @param rounds how often a bad version is taken back. */
export async function rollout(stack: Stack, rounds: number): Promise<Figure[]> {
  await register(stack);
  return [await cost(stack), ...(await detection(stack, rounds)), await many(stack)];
}
