/** A prediction's request as a digest, and its answer as bytes: a JSON head with its length, then the tensors. */
import { createHash, type Hash } from 'node:crypto';
import { packTensors, unpackTensors } from '../tensor/packed.ts';
import type { Version } from '../version/version.ts';
import type { Predicted, PredictInput } from './prediction.ts';

/** SHA-256 of all that decides the answer: not of how long to wait. Columns may come in any order. */
export function digestOf({ rows, tensors, outputs, labels, routingKey, version }: PredictInput): Buffer {
  const hash = createHash('sha256');
  digest(hash, { rows, tensors, outputs, labels, routingKey, version });
  return hash.digest();
}

/** No tensor is nested that deep: it is refused, so that no answer is ever kept for it. */
const MAX_DEPTH = 64;

/** Nothing of what one value says can be taken for the end of it, or for another one's. */
function digest(hash: Hash, value: unknown, depth = 0): void {
  if (depth > MAX_DEPTH) hash.update('d;');
  else if (value === null || value === undefined) hash.update('n;');
  else if (ArrayBuffer.isView(value)) {
    hash.update(`${value.constructor.name}${value.byteLength};`);
    hash.update(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  } else if (Array.isArray(value)) {
    hash.update(`a${value.length};`);
    for (const item of value as unknown[]) digest(hash, item, depth + 1);
  } else if (typeof value === 'object') {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined && item !== null);
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    hash.update(`o${entries.length};`);
    for (const [key, item] of entries) {
      digest(hash, key);
      digest(hash, item, depth + 1);
    }
  } else {
    const text =
      typeof value === 'string' ? value : typeof value === 'bigint' ? String(value) : JSON.stringify(value);
    hash.update(`${typeof value}${Buffer.byteLength(text)};${text}`);
  }
}

interface Head extends Pick<Predicted, 'requestId' | 'arm' | 'rowCount' | 'warnings' | 'latency'> {
  readonly versionId: string;
}

export function encodeAnswer(predicted: Predicted): Buffer {
  const { requestId, version, arm, signature, rowCount, tensors, warnings, latency } = predicted;
  const { totalMs, queueMs, computeMs, batchSize } = latency;
  const head: Head = {
    requestId,
    versionId: version.id,
    arm,
    rowCount,
    warnings,
    latency: { totalMs, queueMs, computeMs, batchSize },
  };
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text, packTensors(signature.outputs, tensors)]);
}

/** @param find the version that answered, which may have been deleted since. */
export async function decodeAnswer(
  bytes: Buffer,
  find: (versionId: string) => Promise<Version | undefined>,
): Promise<Predicted> {
  const end = 4 + bytes.readUInt32LE(0);
  const { versionId, ...head } = JSON.parse(bytes.toString('utf8', 4, end)) as Head;
  const version = await find(versionId);
  const signature = version?.signature;
  if (!version || !signature) throw new Error(`Version ${versionId} of a kept answer is not there.`);
  return { ...head, version, signature, tensors: unpackTensors(signature.outputs, bytes.subarray(end)) };
}
