import type { Wire } from '#schema/live/seat.ts';
import type { Message } from './raw-client.ts';

/** A socket whose buffer the test fills. */
export class FakeWire implements Wire {
  readonly #written: (string | Buffer)[] = [];
  bufferedBytes = 0;
  open = true;
  closedWith: number | undefined;
  #hasRoom = true;
  #room = Promise.withResolvers<void>();

  write(message: string): void {
    this.#written.push(message);
  }

  writeAll(messages: readonly string[]): void {
    for (const message of messages) this.write(message);
  }

  /** As a socket does: what waits is not copied, so whoever changes it meanwhile spoils it. */
  writeFrames(frames: Buffer): boolean {
    if (this.#hasRoom) this.#written.push(Buffer.from(frames));
    else {
      this.#written.push(frames);
      this.bufferedBytes += frames.length;
    }
    return this.#hasRoom;
  }

  get hasRoom(): boolean {
    return this.#hasRoom;
  }

  room(): Promise<void> {
    return this.#hasRoom ? Promise.resolve() : this.#room.promise;
  }

  /** Its reader stops: so many bytes wait from now on. */
  fill(bytes: number): void {
    this.bufferedBytes = bytes;
    this.#hasRoom = false;
  }

  /** Its reader has read everything. */
  drain(): void {
    this.bufferedBytes = 0;
    this.#hasRoom = true;
    this.#room.resolve();
    this.#room = Promise.withResolvers();
  }

  close(code: number): void {
    this.open = false;
    this.closedWith = code;
    this.#room.resolve();
  }

  get messages(): Message[] {
    return this.#written
      .flatMap((part) => (typeof part === 'string' ? part : textsIn(part)))
      .map((text) => JSON.parse(text) as Message);
  }
}

/** The messages in frames as a server sends them. */
function textsIn(frames: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < frames.length;) {
    if (frames[at] !== 0x81) throw new Error(`No text frame begins at ${at}.`);
    const short = frames[at + 1] ?? 0;
    const [head, length] =
      short < 126
        ? [2, short]
        : short === 126
          ? [4, frames.readUInt16BE(at + 2)]
          : [10, Number(frames.readBigUInt64BE(at + 2))];
    texts.push(frames.toString('utf8', at + head, at + head + length));
    at += head + length;
    if (at > frames.length) throw new Error('The last frame is cut off.');
  }
  return texts;
}
