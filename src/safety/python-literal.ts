/** Python's literals, as far as NumPy writes them into headers: dicts, tuples, lists, text, whole numbers, constants. */

export type Literal = string | number | boolean | null | Literal[] | Map<string, Literal>;

/** Deeper than any header; keeps a hostile one from exhausting the call stack. */
const maxDepth = 16;

const token =
  /\s*(?:([[\](){},:])|'((?:[^'\\\n]|\\[\\'])*)'|"((?:[^"\\\n]|\\[\\"])*)"|(-?\d+)L?(?![\w.])|([A-Za-z]+))/y;

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The next token: a mark, or a value. undefined: there is none. */
  next(): { readonly mark?: string; readonly value?: Literal } | undefined {
    token.lastIndex = this.#at;
    const found = token.exec(this.#text);
    if (found === null) return undefined;
    this.#at = token.lastIndex;
    const [, mark, single, double, number, word] = found;
    if (mark !== undefined) return { mark };
    const quoted = single ?? double;
    if (quoted !== undefined) return { value: quoted.replace(/\\(.)/g, '$1') };
    if (number !== undefined) return { value: Number(number) };
    if (word === 'True' || word === 'False') return { value: word === 'True' };
    return word === 'None' ? { value: null } : undefined;
  }

  skip(mark: string): boolean {
    const before = this.#at;
    if (this.next()?.mark === mark) return true;
    this.#at = before;
    return false;
  }

  get isAtEnd(): boolean {
    return this.#text.slice(this.#at).trim() === '';
  }

  /** @returns undefined where no literal stands */
  literal(depth = 0): Literal | undefined {
    const first = this.next();
    if (first === undefined || depth > maxDepth) return undefined;
    if (first.value !== undefined) return first.value;
    if (first.mark === '{') return this.#dict(depth);
    if (first.mark === '(') return this.#items(')', depth);
    return first.mark === '[' ? this.#items(']', depth) : undefined;
  }

  #items(close: string, depth: number): Literal[] | undefined {
    const items: Literal[] = [];
    while (!this.skip(close)) {
      if (items.length > 0 && !this.skip(',')) return undefined;
      if (this.skip(close)) break;
      const item = this.literal(depth + 1);
      if (item === undefined) return undefined;
      items.push(item);
    }
    return items;
  }

  #dict(depth: number): Map<string, Literal> | undefined {
    const entries = new Map<string, Literal>();
    while (!this.skip('}')) {
      if (entries.size > 0 && !this.skip(',')) return undefined;
      if (this.skip('}')) break;
      const key = this.next()?.value;
      if (typeof key !== 'string' || entries.has(key) || !this.skip(':')) return undefined;
      const value = this.literal(depth + 1);
      if (value === undefined) return undefined;
      entries.set(key, value);
    }
    return entries;
  }
}

/** Reads one literal that is all of the text; undefined where it is none. */
export function pythonLiteral(text: string): Literal | undefined {
  const reader = new Reader(text);
  const found = reader.literal();
  return reader.isAtEnd ? found : undefined;
}
