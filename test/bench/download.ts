/** A stored file of 2 GB, taken by 8 clients at once, against bare node:http that streams the same file. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { startChild, type BenchChild } from './child.ts';
import { cpuSeconds } from './process-usage.ts';
import { MB, memoryOf, rateOf, writeRandom } from './large-file.ts';
import type { Stack } from './stack.ts';
import { median, spreadOf, type Figure } from './table.ts';
import { storeFile } from './upload.ts';

const FILE_BYTES = 2000 * MB;
const CLIENTS = 8;
const TARGET = 0.7;
const MOST_MB = 64;

async function seconds(client: BenchChild, url: string): Promise<number> {
  const order = { url, clients: CLIENTS, bytes: FILE_BYTES };
  return (await client.ask<{ seconds: number }>(order)).seconds;
}

export async function download(stack: Stack, rounds: number): Promise<Figure[]> {
  const path = join(stack.dataDir, 'download.bin');
  await writeRandom(path, FILE_BYTES);
  const ours = `${stack.url}/versions/${encodeURIComponent(await storeFile(stack, 'download', path))}/files/model.bin`;
  const [bare, client] = [startChild('stream.process.ts', [path]), startChild('fetch.process.ts')];
  const { port } = await bare.next<{ port: number }>();
  const limit = `http://127.0.0.1:${port}/`;
  const api = stack.pid('api');
  try {
    const [before] = [memoryOf(api).peak()];
    const taken: { ratio: number; seconds: number; limit: number; cpu: number; growth: number }[] = [];
    for (let round = 0; round < rounds; round++) {
      const [memory, cpu] = [memoryOf(api), cpuSeconds([api])];
      const own = await seconds(client, ours);
      const used = cpuSeconds([api]) - cpu;
      const growth = (memory.peak() - before) / MB;
      const bareSeconds = await seconds(client, limit);
      taken.push({ ratio: bareSeconds / own, seconds: own, limit: bareSeconds, cpu: used, growth });
    }
    const [ratios, growth] = [taken.map(({ ratio }) => ratio), taken.map((one) => one.growth)];
    const rate = (all: readonly number[]): string => rateOf(CLIENTS * FILE_BYTES, median(all));
    return [
      {
        what: 'A file of 2 GB to 8 clients at once',
        measured: `${median(ratios).toFixed(2)} × (${rate(taken.map((one) => one.seconds))})`,
        spread: spreadOf(ratios, 2),
        cpu: `api ${median(taken.map((one) => one.cpu)).toFixed(1)} s`,
        limit: `bare node:http, same file: ${rate(taken.map((one) => one.limit))}`,
        target: `≥ ${TARGET} ×`,
        met: median(ratios) >= TARGET,
      },
      {
        what: 'The same: memory of the api',
        measured: `+${Math.max(...growth).toFixed(0)} MB at most`,
        spread: spreadOf(growth, 0),
        cpu: '',
        limit: '',
        target: `≤ +${MOST_MB} MB`,
        met: Math.max(...growth) <= MOST_MB,
      },
    ];
  } finally {
    await Promise.all([bare.end(), client.end()]);
    rmSync(path);
  }
}
