/** JSON read token by token from a stream, so that a header of a hundred megabytes costs no more than one of a few. */
import type { ByteStream } from './byte-stream.ts';
import { EndOfBytes } from './byte-stream.ts';

/** The bytes are no JSON, or not the JSON that was expected. The message is a sentence for people. */
export class BrokenJson extends Error {
  override readonly name = 'BrokenJson';
}

export type JsonToken =
  | { readonly kind: 'mark'; readonly mark: '{' | '}' | '[' | ']' | ':' | ',' }
  | { readonly kind: 'text'; readonly value: string }
  /** As written. */
  | { readonly kind: 'number'; readonly digits: string }
  | { readonly kind: 'word'; readonly word: 'true' | 'false' | 'null' };

const utf8 = new TextDecoder('utf-8', { fatal: true });
const longestText = 64 * 1024;
const maxKeys = 2_000_000;
/** Of all keys of one object, in characters: they are kept to find one that is given twice. */
const maxKeyText = 64 * 2 ** 20;
const longestWord = 32;
/** Bytes that hold any token but a text. */
const shortToken = 64;
const marks = '{}[]:,';
const numberForm = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

export class JsonStream {
  readonly #stream: ByteStream;
  /** Where the JSON ends. */
  readonly #end: number;

  constructor(stream: ByteStream, length: number) {
    this.#stream = stream;
    this.#end = stream.position + length;
  }

  /** The next byte, which the window has if the JSON has it; undefined at its end. */
  #peek(): number | undefined {
    const { window, at, position } = this.#stream;
    return position >= this.#end ? undefined : window[at];
  }

  /** Has the next byte and some more in the window, so that short tokens are read without waiting. */
  async #ready(): Promise<void> {
    if (this.#stream.buffered >= shortToken || this.#stream.position >= this.#end) return;
    if (!(await this.#stream.fill(shortToken)) && this.#stream.buffered === 0) throw new EndOfBytes();
  }

  /** @returns the byte behind white space, which is not taken; undefined at the end. */
  async #skipSpace(): Promise<number | undefined> {
    for (;;) {
      await this.#ready();
      const byte = this.#peek();
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte;
      this.#stream.at += 1;
    }
  }

  /** The next token; undefined at the end. @throws BrokenJson, EndOfBytes */
  async next(): Promise<JsonToken | undefined> {
    const byte = await this.#skipSpace();
    if (byte === undefined) return undefined;
    await this.#ready();
    const character = String.fromCharCode(byte);
    if (marks.includes(character)) {
      this.#stream.at += 1;
      return { kind: 'mark', mark: character as '{' };
    }
    if (character === '"') return { kind: 'text', value: await this.#text() };
    const word = this.#word();
    if (word === 'true' || word === 'false' || word === 'null') return { kind: 'word', word };
    if (numberForm.test(word)) return { kind: 'number', digits: word };
    throw new BrokenJson('The header is no JSON.');
  }

  /** Text with its escapes, which JSON.parse knows best, once the end is found. */
  async #text(): Promise<string> {
    const parts: Buffer[] = [];
    let length = 0;
    // The opening quote counts as escaped, so that it does not end the text.
    for (let escaped = true, ended = false; !ended;) {
      await this.#ready();
      const { window, at, end, position } = this.#stream;
      const last = Math.min(end, at + this.#end - position);
      let next = at;
      for (; next < last && !ended; next++) {
        ended = window[next] === 0x22 && !escaped;
        escaped = window[next] === 0x5c && !escaped;
      }
      parts.push(Buffer.from(window.subarray(at, next)));
      this.#stream.at = next;
      length += next - at;
      if (next === at || length > longestText) throw new BrokenJson('A text of the header does not end.');
    }
    try {
      return String(JSON.parse(utf8.decode(Buffer.concat(parts))));
    } catch {
      throw new BrokenJson('A text of the header is damaged.');
    }
  }

  #word(): string {
    let word = '';
    for (;;) {
      const byte = this.#peek();
      const character = byte === undefined || this.#stream.buffered === 0 ? '' : String.fromCharCode(byte);
      if (!/^[\w+.-]$/.test(character) || word.length > longestWord) return word;
      word += character;
      this.#stream.at += 1;
    }
  }

  async mark(expected: string): Promise<void> {
    const token = await this.next();
    if (token?.kind !== 'mark' || token.mark !== expected) {
      throw new BrokenJson(`The header has no "${expected}" where one is due.`);
    }
  }

  async text(): Promise<string> {
    const token = await this.next();
    if (token?.kind === 'text') return token.value;
    throw new BrokenJson('The header has something else where a text is due.');
  }

  /** A whole number from 0 to 2^53 - 1. */
  async count(): Promise<number> {
    const token = await this.next();
    const value = token?.kind === 'number' && /^\d+$/.test(token.digits) ? Number(token.digits) : NaN;
    if (Number.isSafeInteger(value)) return value;
    throw new BrokenJson('The header has something else where a count is due.');
  }

  /** Calls `each` for every key of an object, which reads its value. @throws BrokenJson also for a key given twice */
  async object(each: (key: string) => Promise<void>): Promise<void> {
    await this.mark('{');
    const seen = new Set<string>();
    let length = 0;
    if (await this.#isNext(0x7d)) return this.mark('}');
    for (;;) {
      const key = await this.text();
      if (seen.has(key)) throw new BrokenJson(`The header gives ${JSON.stringify(key.slice(0, 100))} twice.`);
      seen.add(key);
      length += key.length;
      if (seen.size > maxKeys || length > maxKeyText) throw new BrokenJson('The header has too many keys.');
      await this.mark(':');
      await each(key);
      if (await this.#isNext(0x7d)) return this.mark('}');
      await this.mark(',');
    }
  }

  /** An array of whole numbers. */
  async counts(atMost: number): Promise<number[]> {
    const values: number[] = [];
    await this.mark('[');
    if (await this.#isNext(0x5d)) {
      await this.mark(']');
      return values;
    }
    for (;;) {
      if (values.length >= atMost)
        throw new BrokenJson(`The header has a list of more than ${atMost} numbers.`);
      values.push(await this.count());
      if (await this.#isNext(0x5d)) break;
      await this.mark(',');
    }
    await this.mark(']');
    return values;
  }

  async #isNext(byte: number): Promise<boolean> {
    return (await this.#skipSpace()) === byte;
  }
}
