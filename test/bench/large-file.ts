/** Large files, how fast they go, and what of memory a process takes meanwhile. */
import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { residentBytes } from './process-usage.ts';

export const MB = 1e6;
const SAMPLE_MS = 5;

/** Random bytes, a megabyte of them again and again. */
export async function writeRandom(path: string, bytes: number): Promise<void> {
  const chunk = randomBytes(MB);
  const file = await open(path, 'w');
  for (let written = 0; written < bytes; written += MB) await file.write(chunk);
  await file.sync();
  await file.close();
}

export const rateOf = (bytes: number, seconds: number): string => `${(bytes / MB / seconds).toFixed(0)} MB/s`;

/** Watches a process's resident memory, by samples, until its peak (in bytes) is asked for. */
export function memoryOf(pid: number): { peak(): number } {
  let peak = residentBytes(pid);
  const sampler = setInterval(() => (peak = Math.max(peak, residentBytes(pid))), SAMPLE_MS);
  return {
    peak: () => {
      clearInterval(sampler);
      return Math.max(peak, residentBytes(pid));
    },
  };
}
