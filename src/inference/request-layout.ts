/** Requests that differ in nothing but their rows: their JSON header is built once per number of rows. */
import { stackable } from '../tensor/batch.ts';
import { elementBytes, rowSize, sameNames, wireSize, writeWire, type NamedTensor } from '../tensor/tensor.ts';
import { assemble, requestHeader, type Encoded } from './protocol.ts';

/** Bytes from which a copy costs more than writing in pieces: its memory has to be collected, too. */
const IN_PIECES = 64 * 1024;
/** Headers that a layout keeps: those of single requests and of all merged ones. */
const MOST_HEADERS = 256;
/** Layouts that are kept. A version has one, unless its inputs have further variable dimensions. */
const MOST_LAYOUTS = 16;

export class RequestLayout {
  readonly outputs: readonly string[] | null;
  /** Inputs without their data. */
  readonly #inputs: readonly NamedTensor[];
  /** Bytes of a row of each input; null when one holds text, whose size varies. */
  readonly #rowBytes: readonly number[] | null;
  readonly #headers = new Map<number, Buffer>();

  constructor(inputs: readonly NamedTensor[], outputs: readonly string[] | null) {
    this.outputs = outputs;
    this.#inputs = inputs.map((input) => ({ ...input, data: [] }));
    const hasText = inputs.some((input) => input.datatype === 'BYTES');
    this.#rowBytes = hasText
      ? null
      : inputs.map((input) => rowSize(input.shape) * elementBytes(input.datatype));
  }

  matches(inputs: readonly NamedTensor[], outputs: readonly string[] | null): boolean {
    if (outputs === null || this.outputs === null) {
      if (outputs !== this.outputs) return false;
    } else if (!sameNames(outputs, this.outputs)) return false;
    return stackable(this.#inputs, inputs);
  }

  /** One request with the rows of all calls, in their order; a large one of a single call is not copied. */
  encode(calls: readonly (readonly NamedTensor[])[], rows: number): Encoded {
    const sizes =
      this.#rowBytes?.map((bytes) => bytes * rows) ??
      this.#inputs.map((_, index) => calls.reduce((sum, inputs) => sum + wireSize(inputs[index]!.data), 0));
    const header = this.#header(rows, sizes);
    const [only] = calls;
    if (calls.length === 1 && only !== undefined && this.#rowBytes !== null) {
      let size = 0;
      for (const bytes of sizes) size += bytes;
      if (size >= IN_PIECES) return { body: header, headerLength: header.length, tail: only.map(bytesOf) };
    }
    return assemble(header, sizes, (body, offset) => {
      let at = offset;
      for (let index = 0; index < this.#inputs.length; index++) {
        for (const inputs of calls) at = writeWire(inputs[index]!.data, body, at);
      }
    });
  }

  #header(rows: number, sizes: readonly number[]): Buffer {
    const known = this.#headers.get(rows);
    if (known !== undefined) return known;
    const inputs = this.#inputs.map((input) => ({ ...input, shape: [rows, ...input.shape.slice(1)] }));
    const header = requestHeader(inputs, sizes, this.outputs);
    if (this.#rowBytes !== null && rows <= MOST_HEADERS) this.#headers.set(rows, header);
    return header;
  }
}

function bytesOf({ data }: NamedTensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = data as Uint8Array;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The layouts that were met lately. */
export class RequestLayouts {
  #layouts: RequestLayout[] = [];

  /** The same object for the same layout, as long as it is kept. Every input needs a first dimension. */
  of(inputs: readonly NamedTensor[], outputs: readonly string[] | null): RequestLayout {
    for (const layout of this.#layouts) if (layout.matches(inputs, outputs)) return layout;
    const layout = new RequestLayout(inputs, outputs);
    this.#layouts = [...this.#layouts.slice(1 - MOST_LAYOUTS), layout];
    return layout;
  }
}
