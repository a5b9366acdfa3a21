/** A file's bytes sent on: all of them, in order, whatever the reader's pace, and none when it leaves. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { pourFile } from '#src/platform/pour.ts';
import { newFolder } from '#test/helpers/services.ts';

const folder = newFolder();
const path = join(folder, 'file.bin');
const content = randomBytes(1_000_003);
let file: FileHandle;
beforeEach(async () => {
  writeFileSync(path, content);
  file = await open(path, 'r');
});
afterEach(() => file.close());
afterAll(() => rmSync(folder, { recursive: true }));

test.each([
  [0, content.length - 1],
  [0, 0],
  [content.length - 1, content.length - 1],
  [262_143, 262_144],
  [5, 800_000],
])('bytes %d to %d', async (start, end) => {
  const server = createServer((_request, response) => {
    void pourFile(file, start, end, response).then(() => response.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const read = Buffer.from(await answer.arrayBuffer());
  server.close();
  expect(read.equals(content.subarray(start, end + 1))).toBe(true);
});

test('a slow reader sees each byte as it was: no buffer is used again before it has left', async () => {
  const seen: Buffer[] = [];
  const into = new Writable({
    highWaterMark: 1,
    write: (chunk: Buffer, _encoding, done) => {
      // Looked at only when it is about to be over.
      setImmediate(() => {
        seen.push(Buffer.from(chunk));
        done();
      });
    },
  });
  await pourFile(file, 0, content.length - 1, into);
  expect(Buffer.concat(seen).equals(content)).toBe(true);
});

test('a reader that leaves: it ends at once, as pipeline says it', async () => {
  const into = new Writable({ write: () => undefined });
  const pouring = pourFile(file, 0, content.length - 1, into);
  into.destroy();
  await expect(pouring).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
});

test('a file that is shorter than was said', async () => {
  await expect(pourFile(file, 0, content.length, new PassThrough().resume())).rejects.toThrow(
    `The file ends at byte ${content.length}, before ${content.length + 1}.`,
  );
});
