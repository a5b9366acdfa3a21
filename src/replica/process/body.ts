import type { IncomingMessage } from 'node:http';

/** The request's body is larger than the limit. */
export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';
}

/**
 * The whole body, without a copy where it came in one piece.
 * @throws BodyTooLarge, or an Error when the caller went away before its end.
 */
export function readBody(request: IncomingMessage, mostBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const tooLarge = () => reject(new BodyTooLarge(`The request's body is larger than ${mostBytes} bytes.`));
    if (Number(request.headers['content-length'] ?? 0) > mostBytes) {
      tooLarge();
      return;
    }
    let size = 0;
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > mostBytes) {
        request.pause();
        tooLarge();
      } else chunks.push(chunk);
    });
    request.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size)));
    request.on('error', reject);
    request.on('close', () => {
      if (!request.complete) reject(new Error('The caller went away before the end of its request.'));
    });
  });
}
