/**
 * What travels on a channel: a WebSocket between an api and a replica, on which many requests are under way at a time. Each
 * binary message begins with a request's number, all of whose integers and floats are little-endian:
 *
 * - a request: number u32, bytes of the JSON header u32, then the body as the Open Inference Protocol has it over HTTP;
 * - a request that nobody waits for any more: number u32, and nothing else;
 * - an answer: number u32, HTTP status u32, bytes of the JSON header u32 (0xFFFFFFFF: the body is nothing but JSON), rows of
 *   the run u32, rows that are best run together u32, 4 bytes of nothing, queueMs f64, computeMs f64, then the body.
 *
 * Measured with 300 bytes each way on a Unix socket: an exchange over HTTP takes each side 60 µs of CPU when it is alone and
 * 16 µs with 16 under way, one on a channel 35 and 5.
 */
import type { Answer } from './exchange.ts';

/** Where a replica takes channels. */
export const CHANNEL_PATH = '/channel';
/** Bytes of the longest request that is sent on one: what is longer would keep others waiting behind it. */
export const MOST_CHANNEL_BYTES = 64 * 1024;

const REQUEST_HEAD = 8;
const ANSWER_HEAD = 40;
const NO_HEADER = 0xff_ff_ff_ff;

export function requestFrame(id: number, headerLength: number, body: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(REQUEST_HEAD + body.length);
  frame.writeUInt32LE(id, 0);
  frame.writeUInt32LE(headerLength, 4);
  frame.set(body, REQUEST_HEAD);
  return frame;
}

export function cancelFrame(id: number): Buffer {
  const frame = Buffer.allocUnsafe(4);
  frame.writeUInt32LE(id, 0);
  return frame;
}

export interface RequestFrame {
  readonly id: number;
  /** null: nobody waits for the request any more. */
  readonly asked: { readonly headerLength: number; readonly body: Buffer } | null;
}

/** undefined for a message that is neither. */
export function readRequestFrame(frame: Buffer): RequestFrame | undefined {
  if (frame.length === 4) return { id: frame.readUInt32LE(0), asked: null };
  if (frame.length < REQUEST_HEAD) return undefined;
  const asked = { headerLength: frame.readUInt32LE(4), body: frame.subarray(REQUEST_HEAD) };
  return { id: frame.readUInt32LE(0), asked };
}

type Told = Pick<Answer, 'status' | 'timing'> & { readonly headerLength: number | null };

/** What stands before an answer's body. */
export function answerHead(id: number, { status, headerLength, timing }: Told): Buffer {
  const head = Buffer.alloc(ANSWER_HEAD);
  head.writeUInt32LE(id, 0);
  head.writeUInt32LE(status, 4);
  head.writeUInt32LE(headerLength ?? NO_HEADER, 8);
  head.writeUInt32LE(timing.batchSize, 12);
  head.writeUInt32LE(timing.sharedRows, 16);
  head.writeDoubleLE(timing.queueMs, 24);
  head.writeDoubleLE(timing.computeMs, 32);
  return head;
}

/** undefined for a message that is none. */
export function readAnswerFrame(frame: Buffer): { readonly id: number; readonly answer: Answer } | undefined {
  if (frame.length < ANSWER_HEAD) return undefined;
  const headerLength = frame.readUInt32LE(8);
  return {
    id: frame.readUInt32LE(0),
    answer: {
      status: frame.readUInt32LE(4),
      headerLength: headerLength === NO_HEADER ? undefined : headerLength,
      timing: {
        batchSize: frame.readUInt32LE(12),
        sharedRows: frame.readUInt32LE(16),
        queueMs: frame.readDoubleLE(24),
        computeMs: frame.readDoubleLE(32),
      },
      body: frame.subarray(ANSWER_HEAD),
    },
  };
}
