/**
 * A second, simple reader of pickles to hold the first one against: the whole file in memory, no limits, no judgement.
 * It follows an unpickler up to the first thing that none would bear, and tells the names that were looked up.
 */
import { op } from './assemble.ts';

const names = new Map(Object.entries(op).map(([name, code]) => [code as number, name]));

/** Widths of arguments; negative: a length of that width, then so many bytes. */
const widths: Readonly<Record<string, number>> = {
  BININT: 4,
  BININT1: 1,
  BININT2: 2,
  BINGET: 1,
  LONG_BINGET: 4,
  BINPUT: 1,
  LONG_BINPUT: 4,
  BINFLOAT: 8,
  PROTO: 1,
  EXT1: 1,
  EXT2: 2,
  EXT4: 4,
  FRAME: 8,
  LONG1: -1,
  LONG4: -4,
  SHORT_BINSTRING: -1,
  BINSTRING: -4,
  SHORT_BINUNICODE: -1,
  BINUNICODE: -4,
  BINUNICODE8: -8,
  SHORT_BINBYTES: -1,
  BINBYTES: -4,
  BINBYTES8: -8,
  BYTEARRAY8: -8,
};
const inLines = new Set(['FLOAT', 'INT', 'LONG', 'PERSID', 'STRING', 'UNICODE', 'GET', 'PUT']);
const texts = /^(SHORT_)?BIN(STRING|UNICODE)8?$/;

/** Text is itself; all else is `object`. */
type Item = string | object;
const object = {};

class Reader {
  readonly looked: string[] = [];
  at = 0;
  readonly #bytes: Buffer;
  #stack: Item[] = [];
  #marks: number[] = [];
  #memo = new Map<number, Item>();

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** One pickle. Throws where it breaks. */
  load(): void {
    [this.#stack, this.#marks, this.#memo] = [[], [], new Map()];
    for (;;) {
      const name = names.get(this.#take(1)[0] ?? -1);
      if (name === undefined) throw new Error('no opcode');
      if (name === 'STOP') {
        this.#pop();
        return;
      }
      this.#follow(name);
    }
  }

  #take(count: number): Buffer {
    if (count < 0 || this.at + count > this.#bytes.length) throw new Error('end');
    this.at += count;
    return this.#bytes.subarray(this.at - count, this.at);
  }

  /** Unpicklers refuse what is no UTF-8. */
  #nameLine(): string {
    const line = Buffer.from(this.#line(), 'latin1').toString('utf8');
    if (line.includes('\ufffd')) throw new Error('not UTF-8');
    return line;
  }

  #line(): string {
    const end = this.#bytes.indexOf(10, this.at);
    if (end === -1) throw new Error('end');
    const line = this.#bytes.toString('latin1', this.at, end);
    this.at = end + 1;
    return line;
  }

  #number(width: number): number {
    const bytes = this.#take(width);
    return width === 8 ? Number(bytes.readBigUInt64LE()) : bytes.readUIntLE(0, width);
  }

  #pop(): Item {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw new Error('underflow');
    return this.#stack.pop() ?? object;
  }

  #group(): Item[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw new Error('no mark');
    return this.#stack.splice(mark);
  }

  #look(module: Item, name: Item): void {
    if (typeof module !== 'string' || typeof name !== 'string') throw new Error('not text');
    this.looked.push(`${module}.${name}`);
    this.#stack.push(object);
  }

  #follow(name: string): void {
    const width = widths[name];
    if (inLines.has(name)) return this.#literal(name, this.#line());
    if (width === undefined) return this.#plain(name);
    const number = this.#number(Math.abs(width));
    if (name.endsWith('GET') || name.endsWith('PUT')) return this.#memory(name, number);
    if (name === 'PROTO' || name === 'FRAME') return undefined;
    const body = width < 0 ? this.#take(number) : undefined;
    this.#stack.push(body !== undefined && texts.test(name) ? body.toString('utf8') : object);
    return undefined;
  }

  #memory(name: string, place: number): void {
    if (name.endsWith('PUT')) {
      const value = this.#pop();
      this.#memo.set(place, value);
      this.#stack.push(value);
      return;
    }
    const value = this.#memo.get(place);
    if (value === undefined) throw new Error('empty place');
    this.#stack.push(value);
  }

  #literal(name: string, line: string): void {
    if (name === 'GET' || name === 'PUT') {
      if (!/^\d+$/.test(line)) throw new Error('no place');
      return this.#memory(name, Number(line));
    }
    // Literals that a loader might refuse are taken for read: this may tell more names than are looked up, not fewer.
    this.#stack.push(name === 'UNICODE' ? line : name === 'STRING' ? line.slice(1, -1) : object);
    return undefined;
  }

  #plain(name: string): void {
    if (name === 'GLOBAL') return this.#look(this.#nameLine(), this.#nameLine());
    if (name === 'STACK_GLOBAL') {
      const own = this.#pop();
      return this.#look(this.#pop(), own);
    }
    if (name === 'INST') {
      this.#look(this.#nameLine(), this.#nameLine());
      this.#stack.pop();
      this.#group();
    } else if (['OBJ', 'TUPLE', 'LIST', 'DICT', 'FROZENSET'].includes(name)) this.#group();
    else if (['APPENDS', 'SETITEMS', 'ADDITEMS'].includes(name)) {
      this.#group();
      this.#pop();
    } else if (name === 'MARK') {
      this.#marks.push(this.#stack.length);
      return undefined;
    } else if (name === 'POP_MARK') {
      this.#group();
      return undefined;
    } else if (name === 'POP') {
      if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
      else this.#pop();
      return undefined;
    } else if (name === 'DUP' || name === 'MEMOIZE' || name === 'READONLY_BUFFER') {
      const value = this.#pop();
      if (name === 'MEMOIZE') this.#memo.set(this.#memo.size, value);
      this.#stack.push(value);
      if (name === 'DUP') this.#stack.push(value);
      return undefined;
    } else {
      const takes: Record<string, number> = {
        REDUCE: 2,
        NEWOBJ: 2,
        NEWOBJ_EX: 3,
        BUILD: 2,
        APPEND: 2,
        SETITEM: 3,
        TUPLE1: 1,
        TUPLE2: 2,
        TUPLE3: 3,
        BINPERSID: 1,
      };
      for (let i = 0; i < (takes[name] ?? 0); i++) this.#pop();
    }
    this.#stack.push(object);
    return undefined;
  }
}

/** The names that unpicklers look up in a file of one or more pickles, each as `module.name`. */
export function lookedUp(bytes: Buffer): string[] {
  const reader = new Reader(bytes);
  try {
    while (reader.at < bytes.length) reader.load();
  } catch {
    // Broken: what was found up to here is what counts.
  }
  return reader.looked;
}
