/** The api's memory while a file of 1 GB goes up, and how fast it goes, against `sha256sum` and `cp` of the same file. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream, rmSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import { post } from './graphql.ts';
import { cpuSeconds, residentBytes } from './process-usage.ts';
import type { Stack } from './stack.ts';
import { median, spreadOf, type Figure } from './table.ts';

const MB = 1e6;
const FILE_BYTES = 1000 * MB;
const WARM_UP_BYTES = 20 * MB;
const TARGET_MB = 64;
const SAMPLE_MS = 5;

const run = promisify(execFile);

/** Random bytes, a megabyte of them again and again. */
async function writeFile(path: string, bytes: number): Promise<void> {
  const chunk = randomBytes(MB);
  const file = await open(path, 'w');
  for (let written = 0; written < bytes; written += MB) await file.write(chunk);
  await file.sync();
  await file.close();
}

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
  const file = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="0"; filename="model.onnx"\r\ncontent-type: application/octet-stream\r\n\r\n`;
  const map = JSON.stringify({ 0: ['variables.input.files.0'] });
  return {
    before: field('operations', operations) + field('map', map) + file,
    after: `\r\n--${BOUNDARY}--\r\n`,
  };
}

/** Sends a file as the next version of a model; answers with the version's id. */
async function upload(url: string, model: string, path: string): Promise<string> {
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
    yield* createReadStream(path, { highWaterMark: 256 * 1024 });
    yield after;
  }, outgoing);
  const answer = await answered;
  const { data } = JSON.parse(answer) as { data?: { createVersion: { id?: string } } };
  if (!data?.createVersion.id) throw new Error(`Not a version: ${answer}`);
  return data.createVersion.id;
}

/** Waits until a version has been read (and rejected: it is no model), so that nothing of it disturbs what follows. */
async function settled(url: string, id: string): Promise<void> {
  const query = 'query Status($id: ID!) { node(id: $id) { ... on Version { status } } }';
  for (;;) {
    const { node } = await post<{ node: { status: string } }>(url, { query, variables: { id } });
    if (node.status !== 'PENDING' && node.status !== 'INGESTING') return;
    await delay(50);
  }
}

interface Sent {
  /** The api's resident memory at its highest, in bytes. */
  readonly peak: number;
  readonly seconds: number;
  readonly cpu: number;
}

/** One upload; the peak is by samples. */
async function measured(stack: Stack, model: string, path: string): Promise<Sent> {
  const api = stack.pid('api');
  let peak = residentBytes(api);
  const sampler = setInterval(() => (peak = Math.max(peak, residentBytes(api))), SAMPLE_MS);
  const [cpu, from] = [cpuSeconds([api]), performance.now()];
  try {
    const id = await upload(stack.url, model, path);
    const seconds = (performance.now() - from) / 1000;
    const used = cpuSeconds([api]) - cpu;
    await settled(stack.url, id);
    return { peak, seconds, cpu: used };
  } finally {
    clearInterval(sampler);
  }
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

export async function uploadFile(stack: Stack, rounds: number): Promise<Figure[]> {
  const [small, large] = [join(stack.dataDir, 'small.bin'), join(stack.dataDir, 'large.bin')];
  const { result } = await post<{ result: { id: string } }>(stack.url, {
    query:
      'mutation { result: createModel(input: { project: "demo", name: "upload" }) { ... on Model { id } } }',
  });
  await writeFile(small, WARM_UP_BYTES);
  await writeFile(large, FILE_BYTES);
  const sent: Sent[] = [];
  const limit: number[] = [];
  let before = 0;
  try {
    await measured(stack, result.id, small);
    before = residentBytes(stack.pid('api'));
    for (let round = 0; round < rounds; round++) {
      sent.push(await measured(stack, result.id, large));
      limit.push(await digestAndCopy(large));
    }
  } finally {
    rmSync(small);
    rmSync(large);
  }
  // Since before the first: what a round leaves behind counts in the next.
  const growth = sent.map(({ peak }) => (peak - before) / MB);
  const rate = (seconds: number): string => `${(FILE_BYTES / MB / seconds).toFixed(0)} MB/s`;
  return [
    {
      what: 'Memory of the api while a file of 1 GB is uploaded',
      measured: `+${Math.max(...growth).toFixed(0)} MB at most (${rate(median(sent.map(({ seconds }) => seconds)))})`,
      spread: spreadOf(growth, 0),
      cpu: `api ${median(sent.map(({ cpu }) => cpu)).toFixed(1)} s`,
      limit: `sha256sum and cp: ${rate(median(limit))}`,
      target: `≤ +${TARGET_MB} MB`,
      met: Math.max(...growth) <= TARGET_MB,
    },
  ];
}
