/** What the outputs of a run mean, row by row: label, probabilities and value as the signature names them. */
import type { Signature } from '../signature/signature.ts';
import { jsonNumber, jsonReader, type JsonElement } from './json.ts';
import { floats, rowSize, type NamedTensor } from './tensor.ts';

/** A number, or the name of one that JSON cannot hold ("NaN", "Infinity", "-Infinity"). */
export type JsonNumber = number | string;
export interface ClassProbability {
  readonly class: string;
  readonly probability: JsonNumber;
}

/** Reads element `at` of an output as a number: float16 is widened, 64-bit integers lose what a double cannot hold. */
type NumberReader = (at: number) => number;

function numberReader(tensor: NamedTensor): NumberReader {
  const numbers = floats(tensor);
  if (numbers !== null) return (at) => numbers[at]!;
  const { data } = tensor;
  return (at) => Number(data[at]);
}

/** Whether a tensor holds one entry of its first dimension per row. */
const perRow = (tensor: NamedTensor, rows: number): boolean => tensor.shape[0] === rows;

/** What all rows of one answer share. */
class Answer {
  readonly signature: Signature;
  readonly outputs: readonly NamedTensor[];
  readonly label: ((at: number) => JsonElement) | null;
  readonly probability: NumberReader | null;
  /** Probabilities per row; 1 is that of the positive class alone. */
  readonly width: number;
  readonly value: NumberReader | null;
  #readers: ((at: number) => JsonElement)[] | null = null;

  constructor(signature: Signature, outputs: readonly NamedTensor[], rows: number) {
    const named = (name: string | null) =>
      outputs.find((output) => output.name === name && perRow(output, rows));
    const label = named(signature.labelOutput);
    const probabilities = named(signature.probabilitiesOutput);
    const value = named(signature.valueOutput);
    this.signature = signature;
    this.outputs = outputs;
    this.label = label !== undefined && rowSize(label.shape) === 1 ? jsonReader(label) : null;
    this.probability = probabilities === undefined ? null : numberReader(probabilities);
    this.width = probabilities === undefined ? 0 : rowSize(probabilities.shape);
    this.value = value !== undefined && rowSize(value.shape) === 1 ? numberReader(value) : null;
  }

  /** Of each output; made when they are asked for, because a label needs only its own. */
  get readers(): ((at: number) => JsonElement)[] {
    return (this.#readers ??= this.outputs.map(jsonReader));
  }
}

/** One row of an answer. Everything is worked out when it is asked for. */
export class RowResult {
  readonly #answer: Answer;
  readonly #row: number;
  readonly #rows: number;

  constructor(answer: Answer, row: number, rows: number) {
    this.#answer = answer;
    this.#row = row;
    this.#rows = rows;
  }

  /** Class of the row: the label output (integers as decimal digits), else the most probable class. */
  get label(): string | null {
    const { label, signature } = this.#answer;
    if (label !== null) return String(label(this.#row));
    const best = this.#best();
    return best === null ? null : (signature.classes?.[best] ?? null);
  }

  /** Probability of the positive class where there are two, else of the label's class. */
  get probability(): JsonNumber | null {
    const probability = this.#probability();
    return probability === null ? null : jsonNumber(probability);
  }

  /** All classes in the signature's order; null where the version has no probabilities or no class names. */
  get probabilities(): ClassProbability[] | null {
    const { classes } = this.#answer.signature;
    if (classes === null || this.#answer.probability === null) return null;
    if (classes.length !== this.#classCount()) return null;
    return classes.map((name, index) => ({ class: name, probability: jsonNumber(this.#of(index)) }));
  }

  /** A regression's value. */
  get value(): JsonNumber | null {
    const value = this.#answer.value;
    return value === null ? null : jsonNumber(value(this.#row));
  }

  /** Every output's part of this row by name, nested as its dimensions behind the first; whole where it has no rows. */
  get outputs(): Record<string, unknown> {
    const { outputs, readers } = this.#answer;
    const entries = outputs.map((output, index): [string, unknown] => {
      const read = readers[index]!;
      if (!perRow(output, this.#rows)) return [output.name, nest(read, output.shape, 0)];
      return [output.name, nest(read, output.shape.slice(1), this.#row * rowSize(output.shape))];
    });
    return Object.fromEntries(entries);
  }

  /** With a single column the other of two classes has the rest. */
  #classCount(): number {
    const { width, signature } = this.#answer;
    return width === 1 && signature.classes?.length === 2 ? 2 : width;
  }

  #positive(): number {
    const { classes, positiveClass } = this.#answer.signature;
    const at = positiveClass === null ? -1 : (classes?.indexOf(positiveClass) ?? -1);
    return at === -1 ? 1 : at;
  }

  /** Probability of the class at an index. */
  #of(index: number): number {
    const { probability, width } = this.#answer;
    const read = probability as NumberReader;
    if (width !== 1 || this.#classCount() === 1) return read(this.#row * width + index);
    const positive = read(this.#row);
    return index === this.#positive() ? positive : 1 - positive;
  }

  /** Index of the most probable class, the first of equals; null where nothing compares (NaN). */
  #best(): number | null {
    if (this.#answer.probability === null) return null;
    let best: number | null = null;
    let most = Number.NEGATIVE_INFINITY;
    for (let index = 0; index < this.#classCount(); index++) {
      const probability = this.#of(index);
      if (probability > most) {
        best = index;
        most = probability;
      }
    }
    return best;
  }

  #probability(): number | null {
    const { signature, probability } = this.#answer;
    if (probability === null) return null;
    const classes = this.#classCount();
    if (signature.task === 'BINARY' && classes === 2) return this.#of(this.#positive());
    const label = this.label;
    let index = label === null ? -1 : (signature.classes?.indexOf(label) ?? -1);
    // An integer label that is no class name is an index into the classes (exporters of gradient boosting).
    if (index === -1)
      index = label !== null && /^\d{1,9}$/.test(label) ? Number(label) : (this.#best() ?? -1);
    return index >= 0 && index < classes ? this.#of(index) : null;
  }
}

function nest(read: (at: number) => JsonElement, shape: readonly number[], offset: number): unknown {
  const [length, ...inner] = shape;
  if (length === undefined) return read(offset);
  const step = rowSize(shape);
  return Array.from({ length }, (_, index) => nest(read, inner, offset + index * step));
}

/** The rows of an answer; outputs that were not fetched leave their fields null. */
export function rowResults(signature: Signature, outputs: readonly NamedTensor[], rows: number): RowResult[] {
  const answer = new Answer(signature, outputs, rows);
  return Array.from({ length: rows }, (_, row) => new RowResult(answer, row, rows));
}

/** One of them. */
export function resultAt(
  signature: Signature,
  outputs: readonly NamedTensor[],
  rows: number,
  row: number,
): RowResult {
  return new RowResult(new Answer(signature, outputs, rows), row, rows);
}

/** Whether a floating-point output holds NaN or an infinity. */
export function hasInvalidNumbers(outputs: readonly NamedTensor[]): boolean {
  for (const output of outputs) {
    const numbers = floats(output);
    if (numbers === null) continue;
    for (let at = 0; at < numbers.length; at++) {
      // NaN and the infinities are the only values whose difference with themselves is not 0.
      const value = numbers[at]!;
      if (value - value !== 0) return true;
    }
  }
  return false;
}

/** What makes outputs unusable for `rows` rows (NaN, an infinity, a missing row), in a sentence; else null. */
export function invalidOutput(
  signature: Signature,
  outputs: readonly NamedTensor[],
  rows: number,
): string | null {
  for (const output of outputs) {
    const { name, shape } = output;
    const isAnswer = [signature.labelOutput, signature.probabilitiesOutput, signature.valueOutput].includes(
      name,
    );
    if (isAnswer && shape[0] !== rows) {
      return `Output ${JSON.stringify(name)} has the shape [${shape.join(', ')}] for ${rows} rows.`;
    }
    if (hasInvalidNumbers([output])) return `Output ${JSON.stringify(name)} holds NaN or an infinity.`;
  }
  return null;
}
