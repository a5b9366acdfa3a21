/** The body of an inference request: bounded in bytes, in time, and in what it unpacks to. */
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip, inflate } from 'node:zlib';
import { headerLengthOf } from '#src/inference/protocol.decode.ts';
import { ValidationError } from '#src/platform/errors.ts';
import { ClientGone, InferenceRefusal } from './inference-refusal.ts';

export interface BodyLimits {
  /** All of it, once unpacked (MAX_INFER_BYTES). */
  readonly bodyBytes: number;
  /** The JSON of it (MAX_BODY_BYTES): parsed JSON takes many times its bytes in memory, tensors none. */
  readonly jsonBytes: number;
  /** From the first byte of the request's body to the last (PREDICT_TIMEOUT_MS). */
  readonly withinMs: number;
}

export interface InferenceBody {
  readonly bytes: Buffer;
  /** Length of the JSON header in front of binary tensors; null when all is JSON. */
  readonly headerLength: number | null;
}

type Unpack = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const unpackers: Readonly<Record<string, Unpack>> = {
  gzip: promisify(gunzip) as Unpack,
  deflate: promisify(inflate) as Unpack,
};
const LENGTH_HEADER = 'Inference-Header-Content-Length';
/** Tensors are viewed in place where they begin at a multiple of this. */
const ALIGNMENT = 8;

const tooLarge = (what: string, most: number, variable: string): InferenceRefusal =>
  new InferenceRefusal(413, `${what}: expected at most ${most} bytes (${variable}), found more.`);

/** Length of the JSON header by the request's own headers. @throws InferenceRefusal, ValidationError */
function layoutOf({ headers }: IncomingMessage): number | null {
  const length = headerLengthOf(headers['inference-header-content-length']);
  const type = headers['content-type'];
  if (
    type === undefined ||
    type === '' ||
    type === 'application/json' ||
    type === 'application/octet-stream'
  ) {
    if (length === null && type === 'application/octet-stream') throw missingLength();
    return length;
  }
  const [media = ''] = type.split(';', 1);
  const plain = media.trim().toLowerCase();
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(type)?.[1] ?? 'utf-8';
  if (plain === 'application/octet-stream' && length === null) throw missingLength();
  if ((plain !== 'application/json' && plain !== 'application/octet-stream') || !/^utf-?8$/i.test(charset)) {
    const expected = 'application/json, or application/octet-stream where tensors are binary';
    throw new InferenceRefusal(
      415,
      `Content-Type: expected ${expected}, found ${JSON.stringify(type.slice(0, 80))}.`,
    );
  }
  return length;
}

const missingLength = (): ValidationError =>
  ValidationError.of(
    [LENGTH_HEADER],
    'the length of the JSON header, in bytes',
    'nothing beside Content-Type application/octet-stream',
  );

function unpackerOf(req: IncomingMessage): Unpack | null {
  const coding = req.headers['content-encoding']?.trim().toLowerCase();
  if (coding === undefined || coding === '' || coding === 'identity') return null;
  const known = Object.hasOwn(unpackers, coding) ? unpackers[coding] : undefined;
  if (known) return known;
  throw new InferenceRefusal(
    415,
    `Content-Encoding: expected gzip, deflate or identity, found ${JSON.stringify(coding.slice(0, 40))}.`,
    { 'accept-encoding': 'gzip, deflate, identity' },
  );
}

/** @throws InferenceRefusal, ValidationError, ClientGone */
export async function readInferenceBody(req: IncomingMessage, limits: BodyLimits): Promise<InferenceBody> {
  const headerLength = layoutOf(req);
  const unpack = unpackerOf(req);
  const json = 'JSON';
  if (headerLength !== null && headerLength > limits.jsonBytes)
    throw tooLarge(`${json} header`, limits.jsonBytes, 'MAX_BODY_BYTES');
  const [what, most, variable] =
    headerLength === null
      ? (['The JSON body', limits.jsonBytes, 'MAX_BODY_BYTES'] as const)
      : (['The body', limits.bodyBytes, 'MAX_INFER_BYTES'] as const);
  const refusal = (): InferenceRefusal => tooLarge(what, most, variable);
  const received = await receive(req, most, refusal, limits.withinMs, headerLength ?? 0);
  const bytes = unpack === null ? received : await unpacked(received, unpack, most, refusal);
  return { bytes, headerLength };
}

async function unpacked(
  bytes: Buffer,
  unpack: Unpack,
  most: number,
  refusal: () => InferenceRefusal,
): Promise<Buffer> {
  try {
    return await unpack(bytes, { maxOutputLength: most });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw refusal();
    throw ValidationError.of(['body'], 'what Content-Encoding says', (error as Error).message);
  }
}

function receive(
  req: IncomingMessage,
  most: number,
  refusal: () => InferenceRefusal,
  withinMs: number,
  headerLength: number,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (Number(req.headers['content-length'] ?? 0) > most) {
      reject(refusal());
      return;
    }
    let chunks: Buffer[] | null = [];
    let size = 0;
    const fail = (error: Error): void => {
      chunks = null;
      clearTimeout(timer);
      reject(error);
    };
    const timer = setTimeout(() => {
      const message = `The body: expected all of it within ${withinMs} ms (PREDICT_TIMEOUT_MS), found ${size} bytes by then.`;
      fail(new InferenceRefusal(408, message));
    }, withinMs);
    req.on('data', (chunk: Buffer) => {
      if (chunks === null) return;
      size += chunk.length;
      if (size > most) fail(refusal());
      else chunks.push(chunk);
    });
    req.on('end', () => {
      if (chunks === null) return;
      clearTimeout(timer);
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : joined(chunks, size, headerLength));
    });
    req.on('error', () => fail(new ClientGone('The request broke off.')));
    req.on('close', () => {
      if (!req.complete) fail(new ClientGone('The request broke off.'));
    });
  });
}

/** The pieces in one, so that what follows the JSON header begins aligned. */
function joined(chunks: readonly Buffer[], size: number, headerLength: number): Buffer {
  const lead = (ALIGNMENT - (headerLength % ALIGNMENT)) % ALIGNMENT;
  const all = Buffer.allocUnsafeSlow(lead + size);
  let at = lead;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all.subarray(lead);
}
