/** Inspecting what a test has in memory, and the fixtures. */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import { bufferSource, fileSource } from '#src/safety/byte-source.ts';
import { inspectFile } from '#src/safety/inspect.ts';
import type { Inspection } from '#src/safety/inspect.ts';
import { defaultLimits } from '#src/safety/limits.ts';
import type { Limits } from '#src/safety/limits.ts';

export function inspectBytes(
  bytes: Uint8Array,
  name = 'file',
  limits: Partial<Limits> = {},
): Promise<Inspection> {
  return inspectFile(bufferSource(bytes), name, { ...defaultLimits, ...limits });
}

export async function inspectPath(path: string): Promise<Inspection> {
  const descriptor = openSync(path, 'r');
  try {
    return await inspectFile(fileSource(descriptor), basename(path));
  } finally {
    closeSync(descriptor);
  }
}

/** The rules that a file breaks, in the order of its findings. */
export function rulesOf(inspection: Inspection): string[] {
  return inspection.findings.map(({ rule }) => rule);
}

const folder = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}/`, import.meta.url));
const hostileFolder = folder('hostile');
export const picklesFolder = folder('pickles');

const word = z.enum(['READY', 'QUARANTINED', 'REJECTED', 'INVALID']);
const hostileFile = z.object({
  files: z.record(
    z.string(),
    z.object({
      verdict: word,
      acceptable: z.array(word),
      why: z.string(),
      onnxruntime: z.enum(['loads', 'refuses', 'crashes', 'timeout']).optional(),
      unpack: z.literal('gzip').optional(),
    }),
  ),
});

/** Every hostile fixture with the answers that pass, and its bytes as they are meant. */
export const hostileFixtures = Object.entries(
  hostileFile.parse(JSON.parse(readFileSync(`${hostileFolder}expected.json`, 'utf8'))).files,
).map(([id, expected]) => ({
  id,
  ...expected,
  path: `${hostileFolder}${id}`,
  bytes: (): Buffer => {
    const bytes = readFileSync(`${hostileFolder}${id}`);
    return expected.unpack === 'gzip' ? gunzipSync(bytes) : bytes;
  },
}));

export function hostile(id: string): Buffer {
  return readFileSync(`${hostileFolder}${id}`);
}
