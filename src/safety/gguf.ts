/** GGUF: counts, metadata, descriptions of tensors, then the tensors (github.com/ggml-org/ggml: docs/gguf.md). */
import type { ByteStream } from './byte-stream.ts';
import { EndOfBytes } from './byte-stream.ts';
import type { Content } from './content.ts';
import type { Rule } from './finding.ts';
import { typeSizes } from './gguf-types.ts';
import type { Scan } from './scan.ts';

const valueTypes = { uint32: 4, text: 8, array: 9 } as const;

/** Bytes of a metadata value by its type; 0 for text and arrays, which tell their own. */
const valueBytes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

/** Keys and names of tensors are short; metadata may hold a whole chat template. */
const maxName = 65_535;
const shownName = 100;
const maxTemplate = 1024 * 1024;
const maxDimensions = 4;
const maxArrayDepth = 3;
const defaultAlignment = 32;

/** What no chat template needs: Python's internals, by which a template becomes a program (CVE-2024-34359). */
const internals = /__\w+__|\battr\s*\(|\|\s*attr\b/;

class BrokenGguf extends Error {
  override readonly name = 'BrokenGguf';
  readonly rule: Rule;

  constructor(message: string, rule: Rule = 'gguf.broken') {
    super(message);
    this.rule = rule;
  }
}

interface Tensor {
  readonly name: string;
  readonly offset: number;
  /** undefined for a type that is not known. */
  readonly bytes: number | undefined;
}

class GgufFile {
  readonly #scan: Scan;
  readonly #content: Content;
  readonly #stream: ByteStream;
  #version = 0;
  #alignment = defaultAlignment;

  constructor(scan: Scan, content: Content) {
    this.#scan = scan;
    this.#content = content;
    this.#stream = content.open();
  }

  async check(): Promise<void> {
    await this.#stream.need(8);
    this.#stream.at += 4;
    this.#version = this.#stream.uint32();
    if (this.#version < 1 || this.#version > 3) {
      throw new BrokenGguf(`The version ${this.#version} of the format does not exist.`);
    }
    const tensors = await this.#count('tensors', this.#scan.limits.tensors);
    const entries = await this.#count('metadata entries', this.#scan.limits.tensors);
    for (let i = 0; i < entries; i++) await this.#entry();
    const found: Tensor[] = [];
    for (let i = 0; i < tensors; i++) found.push(await this.#tensor());
    await this.#checkPlaces(found);
  }

  /** Version 1 counts in 32 bits, later ones in 64. */
  async #size(): Promise<number> {
    const isNarrow = this.#version === 1;
    await this.#stream.need(isNarrow ? 4 : 8);
    return isNarrow ? this.#stream.uint32() : this.#stream.uint64();
  }

  async #count(what: string, limit: number): Promise<number> {
    const count = await this.#size();
    if (count <= limit) return count;
    throw new BrokenGguf(`The file says that it has ${count} ${what}.`);
  }

  /** @param held bytes of it that are wanted: there may be a million names, each as long as a name may be. */
  async #text(limit: number, held = limit): Promise<string> {
    const length = await this.#size();
    if (length > limit) throw new BrokenGguf(`A text of the file says that it has ${length} bytes.`);
    const text = (await this.#stream.take(Math.min(length, held))).toString('utf8');
    await this.#stream.skip(length - Math.min(length, held));
    return text;
  }

  async #type(): Promise<number> {
    await this.#stream.need(4);
    return this.#stream.uint32();
  }

  async #entry(): Promise<void> {
    const key = await this.#text(maxName);
    const type = await this.#type();
    if (key === 'general.alignment' && type === valueTypes.uint32) {
      await this.#stream.need(4);
      this.#alignment = this.#stream.uint32();
      const isPower = this.#alignment > 0 && Number.isInteger(Math.log2(this.#alignment));
      if (!isPower) throw new BrokenGguf(`The alignment ${this.#alignment} is no power of two.`);
    } else if (key.includes('chat_template') && type === valueTypes.text) {
      const at = this.#stream.position;
      if (internals.test(await this.#text(maxTemplate))) {
        const message =
          "The chat template reaches for Python's internals, which runs code where it is rendered.";
        this.#scan.findings.add(this.#content.path, at, 'gguf.template', message);
      }
    } else await this.#passValue(type, 0);
  }

  async #passValue(type: number, depth: number): Promise<void> {
    const bytes = valueBytes[type];
    if (bytes === undefined) throw new BrokenGguf(`The metadata type ${type} does not exist.`);
    if (type === valueTypes.text) await this.#stream.skip(await this.#size());
    else if (type === valueTypes.array) await this.#passArray(depth + 1);
    else await this.#stream.skip(bytes);
  }

  async #passArray(depth: number): Promise<void> {
    if (depth > maxArrayDepth) throw new BrokenGguf('The metadata nest arrays within arrays.');
    const type = await this.#type();
    const count = await this.#size();
    const bytes = valueBytes[type] ?? 0;
    if (bytes > 0) return this.#stream.skip(count * bytes);
    // Each has a length of its own: the file ends before a false count does.
    for (let i = 0; i < count; i++) await this.#passValue(type, depth);
  }

  async #tensor(): Promise<Tensor> {
    const name = await this.#text(maxName, shownName);
    const dimensions = await this.#type();
    if (dimensions > maxDimensions) {
      throw new BrokenGguf(
        `A tensor has ${dimensions} dimensions; at most ${maxDimensions} exist.`,
        'gguf.tensors',
      );
    }
    let elements = 1;
    for (let i = 0; i < dimensions; i++) elements *= await this.#size();
    const type = await this.#type();
    await this.#stream.need(8);
    const offset = this.#stream.uint64();
    const size = typeSizes[type];
    if (size === undefined) {
      const message = `The tensor ${JSON.stringify(name)} is of the type ${type}, which is not known here.`;
      this.#scan.findings.add(this.#content.path, null, 'gguf.tensor-type', message);
      return { name, offset, bytes: undefined };
    }
    return { name, offset, bytes: (elements / size.elements) * size.bytes };
  }

  /** Every tensor lies in the file, where the alignment allows, and shares no bytes with another. */
  async #checkPlaces(tensors: Tensor[]): Promise<void> {
    const start = Math.ceil(this.#stream.position / this.#alignment) * this.#alignment;
    let covered = 0;
    for (const { name, offset, bytes = 0 } of tensors.toSorted((a, b) => a.offset - b.offset)) {
      const shown = JSON.stringify(name);
      const fail = (problem: string) => new BrokenGguf(`The tensor ${shown} ${problem}.`, 'gguf.tensors');
      if (!Number.isSafeInteger(bytes)) throw fail('has a size that is no count of whole blocks');
      if (offset % this.#alignment !== 0) throw fail('does not lie where the alignment allows');
      if (offset < covered) throw fail('shares bytes with another');
      covered = offset + bytes;
      const missing = start + covered - this.#stream.position;
      if (covered > 0 && missing > 0 && (await this.#stream.pass(missing)) < missing) {
        throw fail('reaches beyond the end of the file');
      }
    }
  }
}

/** Judges a GGUF file. */
export async function inspectGguf(scan: Scan, content: Content): Promise<void> {
  try {
    await new GgufFile(scan, content).check();
  } catch (error) {
    if (error instanceof BrokenGguf) scan.findings.add(content.path, null, error.rule, error.message);
    else if (error instanceof EndOfBytes) {
      scan.findings.add(content.path, null, 'gguf.broken', 'The file ends within its header.');
    } else throw error;
  }
}
