/**
 * A file of 2 GB on its way in, by multipart and by tus: how fast, and what of memory the api takes, against `sha256sum`
 * and `cp` of the same file.
 */
import { execFile } from 'node:child_process';
import { createReadStream, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import { post } from './graphql.ts';
import { cpuSeconds } from './process-usage.ts';
import { MB, memoryOf, rateOf, writeRandom } from './large-file.ts';
import type { Stack } from './stack.ts';
import { median, spreadOf, type Figure } from './table.ts';

const FILE_BYTES = 2000 * MB;
const WARM_UP_BYTES = 20 * MB;
const MOST_MB = 64;

const run = promisify(execFile);

const createVersion = `mutation Upload($input: CreateVersionInput!) {
  createVersion(input: $input) { ... on Version { id } ... on Error { code message } }
}`;

const BOUNDARY = 'modelarium-bench';

/** Text of a form up to the file's first byte, and behind its last. */
function formAround(model: string): { before: string; after: string } {
  const field = (name: string, value: string): string =>
    `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const operations = JSON.stringify({
    query: createVersion,
    variables: { input: { model, files: [null] } },
  });
  const file = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="0"; filename="model.bin"\r\ncontent-type: application/octet-stream\r\n\r\n`;
  const map = JSON.stringify({ 0: ['variables.input.files.0'] });
  return {
    before: field('operations', operations) + field('map', map) + file,
    after: `\r\n--${BOUNDARY}--\r\n`,
  };
}

const READ_BYTES = 256 * 1024;

/** Sends a file as the next version of a model; answers with the version's id. */
async function byMultipart(url: string, model: string, path: string): Promise<string> {
  const { before, after } = formAround(model);
  const bytes = (await stat(path)).size;
  const outgoing = request(`${url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': `multipart/form-data; boundary=${BOUNDARY}`,
      'content-length': Buffer.byteLength(before) + bytes + Buffer.byteLength(after),
    },
  });
  const answered = new Promise<string>((resolve, reject) => {
    outgoing.once('error', reject);
    outgoing.once('response', (incoming) => void text(incoming).then(resolve, reject));
  });
  await pipeline(async function* () {
    yield before;
    yield* createReadStream(path, { highWaterMark: READ_BYTES });
    yield after;
  }, outgoing);
  const answer = await answered;
  const { data } = JSON.parse(answer) as { data?: { createVersion: { id?: string } } };
  if (!data?.createVersion.id) throw new Error(`Not a version: ${answer}`);
  return data.createVersion.id;
}

/** Waits until a version has been read, so that nothing of it disturbs what follows. */
async function settled(url: string, id: string): Promise<void> {
  const query = 'query Status($id: ID!) { node(id: $id) { ... on Version { status } } }';
  for (;;) {
    const { node } = await post<{ node: { status: string } }>(url, { query, variables: { id } });
    if (node.status !== 'PENDING' && node.status !== 'INGESTING') return;
    await delay(50);
  }
}

/** Sends a file to an upload, in one request; it is whole and stored when that is answered. */
async function byTus(url: string, path: string): Promise<string> {
  const bytes = (await stat(path)).size;
  const { made } = await post<{ made: { id: string; url: string } }>(url, {
    query: `mutation Begin($bytes: BigInt!) {
      made: createUpload(input: { project: "demo", path: "large.bin", bytes: $bytes }) { ... on ResumableUpload { id url } } }`,
    variables: { bytes },
  });
  const outgoing = request(new URL(made.url, url), {
    method: 'PATCH',
    headers: {
      'tus-resumable': '1.0.0',
      'upload-offset': '0',
      'content-type': 'application/offset+octet-stream',
      'content-length': bytes,
    },
  });
  const answered = new Promise<number | undefined>((resolve, reject) => {
    outgoing.once('error', reject);
    outgoing.once('response', (incoming) => resolve(incoming.resume().statusCode));
  });
  await pipeline(createReadStream(path, { highWaterMark: READ_BYTES }), outgoing);
  const status = await answered;
  if (status !== 204) throw new Error(`tus answers ${status}.`);
  return made.id;
}

/** Stores a file as a version of a model of its own; answers with the version's id. */
export async function storeFile(stack: Stack, model: string, path: string): Promise<string> {
  const { result } = await post<{ result: { id: string } }>(stack.url, {
    query: `mutation { result: createModel(input: { project: "demo", name: "${model}" }) { ... on Model { id } } }`,
  });
  const id = await byMultipart(stack.url, result.id, path);
  await settled(stack.url, id);
  return id;
}

interface Way {
  readonly name: string;
  readonly target: number;
  /** Answers how to clean up after it. */
  send(stack: Stack, path: string): Promise<() => Promise<void>>;
}

async function ways(stack: Stack): Promise<Way[]> {
  const { result } = await post<{ result: { id: string } }>(stack.url, {
    query:
      'mutation { result: createModel(input: { project: "demo", name: "upload" }) { ... on Model { id } } }',
  });
  const cancel = (id: string) => async (): Promise<void> => {
    const query = 'mutation Cancel($id: ID!) { cancelUpload(input: { upload: $id }) { __typename } }';
    await post(stack.url, { query, variables: { id } });
  };
  return [
    {
      name: 'tus',
      target: 0.5,
      send: async ({ url }, path) => cancel(await byTus(url, path)),
    },
    {
      name: 'multipart',
      target: 0.6,
      send: async ({ url }, path) => {
        const id = await byMultipart(url, result.id, path);
        return () => settled(url, id);
      },
    },
  ];
}

/** Seconds of reading it for its digest and of copying it. */
async function digestAndCopy(path: string): Promise<number> {
  const copy = `${path}.copy`;
  const from = performance.now();
  await run('sha256sum', [path]);
  await run('cp', [path, copy]);
  const seconds = (performance.now() - from) / 1000;
  rmSync(copy);
  return seconds;
}

interface Sent {
  readonly ratio: number;
  readonly seconds: number;
  readonly limitSeconds: number;
  readonly cpu: number;
  readonly growth: number;
}

async function measured(stack: Stack, way: Way, path: string, before: number): Promise<Sent> {
  const api = stack.pid('api');
  const memory = memoryOf(api);
  const [cpu, from] = [cpuSeconds([api]), performance.now()];
  const cleanUp = await way.send(stack, path);
  const seconds = (performance.now() - from) / 1000;
  const used = cpuSeconds([api]) - cpu;
  const peak = memory.peak();
  await cleanUp();
  const limitSeconds = await digestAndCopy(path);
  const growth = (peak - before) / MB;
  return { ratio: limitSeconds / seconds, seconds, limitSeconds, cpu: used, growth };
}

export async function uploadFile(stack: Stack, rounds: number): Promise<Figure[]> {
  const [small, large] = [join(stack.dataDir, 'small.bin'), join(stack.dataDir, 'large.bin')];
  await writeRandom(small, WARM_UP_BYTES);
  await writeRandom(large, FILE_BYTES);
  try {
    const all = await ways(stack);
    for (const way of all) await (await way.send(stack, small))();
    // Since before the first: what a round leaves behind counts in the next.
    const before = memoryOf(stack.pid('api')).peak();
    const sent = all.map((): Sent[] => []);
    for (let round = 0; round < rounds; round++) {
      for (const [index, way] of all.entries()) {
        sent[index]?.push(await measured(stack, way, large, before));
      }
    }
    return all.flatMap((way, index) => figuresOf(way, sent[index] ?? []));
  } finally {
    rmSync(small);
    rmSync(large);
  }
}

function figuresOf({ name, target }: Way, sent: readonly Sent[]): Figure[] {
  const ratios = sent.map(({ ratio }) => ratio);
  const growth = sent.map((one) => one.growth);
  const rate = (seconds: readonly number[]): string => rateOf(FILE_BYTES, median(seconds));
  const cpu = `api ${median(sent.map((one) => one.cpu)).toFixed(1)} s`;
  return [
    {
      what: `A file of 2 GB by ${name}`,
      measured: `${median(ratios).toFixed(2)} × (${rate(sent.map(({ seconds }) => seconds))})`,
      spread: spreadOf(ratios, 2),
      cpu,
      limit: `sha256sum and cp: ${rate(sent.map(({ limitSeconds }) => limitSeconds))}`,
      target: `≥ ${target} ×`,
      met: median(ratios) >= target,
    },
    {
      what: `The same: memory of the api (${name})`,
      measured: `+${Math.max(...growth).toFixed(0)} MB at most`,
      spread: spreadOf(growth, 0),
      cpu: '',
      limit: '',
      target: `≤ +${MOST_MB} MB`,
      met: Math.max(...growth) <= MOST_MB,
    },
  ];
}
