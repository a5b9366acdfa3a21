/**
 * The child that looks into uploaded files without opening them as what they are: started by `safety.ts`, ended by it at
 * its limits. The request comes on stdin as JSON; the answer leaves on file descriptor 3, a line of JSON a file.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { json } from 'node:stream/consumers';
import { Worker } from 'node:worker_threads';
import { fileSource } from '../safety/byte-source.ts';
import type { ByteSource } from '../safety/byte-source.ts';
import { inspectFile } from '../safety/inspect.ts';
import type { Inspection } from '../safety/inspect.ts';
import { safetyRequest } from './safety.schema.ts';
import type { SafetyProgress } from './safety.schema.ts';

/** PostgreSQL keeps neither NUL nor half of a surrogate pair. */
const storable = (_key: string, value: unknown): unknown =>
  typeof value === 'string' ? value.toWellFormed().replaceAll('\0', '\ufffd') : value;

function answer(line: SafetyProgress | (Inspection & { readonly path: string })): void {
  const bytes = Buffer.from(`${JSON.stringify(line, storable)}\n`);
  for (let at = 0; at < bytes.length;) at += writeSync(3, bytes, at);
}

const PROGRESS_MS = 500;

/** Tells how far a file has been read, now and then. */
function watched(source: ByteSource): ByteSource {
  let [readBytes, toldAt] = [0, Date.now()];
  return {
    size: source.size,
    read(target, position) {
      const count = source.read(target, position);
      readBytes = Math.max(readBytes, position + count);
      const now = Date.now();
      if (now - toldAt < PROGRESS_MS) return count;
      toldAt = now;
      answer({ readBytes });
      return count;
    },
  };
}

// Whether the parent still lives is another thread's to watch: this one may be busy for long.
new Worker(new URL('./inspection.watchdog.ts', import.meta.url)).unref();
const { files } = safetyRequest.parse(await json(process.stdin));
for (const { path, storedAt } of files) {
  const descriptor = openSync(storedAt, 'r');
  try {
    answer({ path, ...(await inspectFile(watched(fileSource(descriptor)), path)) });
  } finally {
    closeSync(descriptor);
  }
}
process.exit(0);
