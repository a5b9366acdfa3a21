/** Whether a tensor has as many bytes as its type and dimensions need (onnx.proto: TensorProto). */
import { wireTypes } from './onnx-walk.ts';
import type { OnnxField } from './onnx-walk.ts';

/** Bits of an element by TensorProto.DataType: undefined, float, uint8, …; 0 for text. */
const elementBits = [
  0, 32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8, 2, 2,
];
const textType = 8;
const [complex64, complex128] = [14, 15];

/** Fields of values: float, int32, string, int64, raw, double, uint64. */
const [floats, strings, raw, doubles] = [4, 6, 9, 10];
const integers = new Set([5, 7, 11]);

export class TensorCheck {
  #type = 0;
  #elements = 1;
  #hasNegative = false;
  #rawBytes: number | undefined;
  #values = 0;
  #isExternal = false;

  field({ number, wire, value, length, count }: OnnxField): void {
    const isPacked = wire === wireTypes.bytes;
    if (number === 1 && !isPacked) {
      this.#hasNegative ||= !(value >= 0);
      this.#elements *= value;
    } else if (number === 2) this.#type = value;
    else if (number === raw) this.#rawBytes = (this.#rawBytes ?? 0) + length;
    else if (number === floats) this.#values += isPacked ? length / 4 : 1;
    else if (number === doubles) this.#values += isPacked ? length / 8 : 1;
    else if (number === strings) this.#values += 1;
    else if (integers.has(number)) this.#values += isPacked ? count : 1;
  }

  markExternal(): void {
    this.#isExternal = true;
  }

  /** What is wrong, as a sentence; undefined: nothing. To be asked at the tensor's end. */
  problem(): string | undefined {
    const bits = elementBits[this.#type];
    if (bits === undefined) return `A tensor has the type ${this.#type}, which does not exist.`;
    if (this.#hasNegative) return 'A tensor has a dimension that is negative or too large.';
    if (!Number.isSafeInteger(this.#elements)) return 'A tensor has more elements than can be counted.';
    // An attribute may hold a tensor of no type at all, which is none.
    if (this.#isExternal || this.#type === 0) return undefined;
    if (this.#rawBytes !== undefined) {
      const bytes = Math.ceil((this.#elements * bits) / 8);
      const isText = this.#type === textType;
      if (!isText && bytes === this.#rawBytes) return undefined;
      return `A tensor has ${this.#rawBytes} bytes where its type and dimensions need ${isText ? 'texts' : bytes}.`;
    }
    return this.#valuesProblem(bits);
  }

  #valuesProblem(bits: number): string | undefined {
    const isComplex = this.#type === complex64 || this.#type === complex128;
    const needed = this.#elements * (isComplex ? 2 : 1);
    // Several elements of less than a byte may share a value.
    const fits = bits > 0 && bits < 8 ? this.#values <= needed : this.#values === needed;
    return fits ? undefined : `A tensor has ${this.#values} values where its dimensions need ${needed}.`;
  }
}
