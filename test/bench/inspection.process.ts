/**
 * Inspects a file, or reads it once, as it is told, and tells its parent how long that took and what its memory came to
 * at most since it began.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { fileSource } from '#src/safety/byte-source.ts';
import { inspectFile } from '#src/safety/inspect.ts';

interface Order {
  readonly path: string;
  readonly what: 'read' | 'inspect';
}

const READ_BYTES = 1024 ** 2;

function readAll(descriptor: number): string {
  const buffer = Buffer.alloc(READ_BYTES);
  while (readSync(descriptor, buffer) > 0);
  return 'read';
}

process.on('message', ({ path, what }: Order) => {
  const descriptor = openSync(path, 'r');
  const from = performance.now();
  void (async () => {
    const inspected =
      what === 'inspect' ? await inspectFile(fileSource(descriptor), basename(path)) : undefined;
    const verdict = inspected ? `${inspected.verdict} ${inspected.format}` : readAll(descriptor);
    const seconds = (performance.now() - from) / 1000;
    closeSync(descriptor);
    process.send?.({ seconds, verdict, peak: process.resourceUsage().maxRSS * 1024 });
  })();
});
process.once('disconnect', () => process.exit());
