/**
 * Messages for many operations as WebSocket text frames (RFC 6455, 5.2: not masked, not compressed). Only the id of
 * the operation differs, so the bytes are laid out once for ids of a length, and each operation's id is written over the
 * one before it.
 */
import type { Wire } from './seat.ts';

const HEAD = Buffer.from('{"id":');
const TEXT_FRAME = 0x81;

/** The bytes for ids of one length. */
interface Layout {
  bytes: Buffer;
  /** Where each message's frame starts. */
  readonly starts: readonly number[];
  /** Where the id goes in each message. */
  readonly ids: readonly number[];
}

export class Frames {
  readonly #tails: readonly Buffer[];
  readonly #layouts = new Map<number, Layout>();

  /** @param payloads of the messages, as JSON; at least one. */
  constructor(payloads: readonly string[]) {
    this.#tails = payloads.map((json) => Buffer.from(`,"type":"next","payload":${json}}`));
  }

  /** Writes the messages to an operation, whose id is given as JSON; without the first ones, where it has those. */
  writeTo(wire: Wire, id: Buffer, skip = 0): void {
    const layout = this.#layoutOf(id.length);
    const { bytes, starts, ids } = layout;
    for (let index = skip; index < ids.length; index++) bytes.set(id, ids[index]);
    const isTaken = wire.writeFrames(skip === 0 ? bytes : bytes.subarray(starts[skip]));
    // They wait for a slow reader: the next id goes into a copy.
    if (!isTaken) layout.bytes = Buffer.from(bytes);
  }

  #layoutOf(idLength: number): Layout {
    const known = this.#layouts.get(idLength);
    if (known) return known;
    const parts: Buffer[] = [];
    const [starts, ids]: [number[], number[]] = [[], []];
    const room = Buffer.alloc(idLength);
    let length = 0;
    for (const tail of this.#tails) {
      const head = frameHead(HEAD.length + idLength + tail.length);
      parts.push(head, HEAD, room, tail);
      starts.push(length);
      ids.push(length + head.length + HEAD.length);
      length += head.length + HEAD.length + idLength + tail.length;
    }
    const layout = { bytes: Buffer.concat(parts, length), starts, ids };
    this.#layouts.set(idLength, layout);
    return layout;
  }
}

function frameHead(length: number): Buffer {
  if (length < 126) return Buffer.from([TEXT_FRAME, length]);
  if (length < 65_536) return Buffer.from([TEXT_FRAME, 126, length >> 8, length & 0xff]);
  const head = Buffer.alloc(10);
  head.set([TEXT_FRAME, 127]);
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}
