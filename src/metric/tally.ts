/**
 * What a window tells of an arm beside the counts of requests: what a rollout is judged by. The line that a window encodes
 * to has no room for it, so it travels beside that line, and only where there is anything.
 */
import { foreignText } from '../text/foreign.ts';
import { FARTHEST_BIN, valueBin } from './value-bin.ts';

/** What came of a request that was mirrored: both answers were compared, or it was left out to slow nobody. */
export type Verdict = 'agreed' | 'disagreed' | 'dropped';

/** Bounds of a window. What is beyond them is counted under `OTHER_LABELS`, or in the nearest bin. */
const MOST_LABELS = 50;
const MOST_VALUES = 400;
const MOST_EXAMPLES = 3;
const LONGEST_LABEL = 200;
/** A request's id and a row. */
const LONGEST_EXAMPLE = 48;
export const OTHER_LABELS = '…';

/** Counts, then labels and bins of values each followed by their count, then examples. */
export type EncodedTally = readonly [
  invalid: number,
  compared: number,
  disagreed: number,
  dropped: number,
  labels: readonly (string | number)[],
  values: readonly number[],
  examples: readonly string[],
];

export class Tally {
  /** Requests that were answered with invalid outputs: NaN, an infinity, a wrong shape. */
  invalid = 0;
  /** Mirrored requests whose answers were compared, and those of them that differed. */
  compared = 0;
  disagreed = 0;
  /** Mirrored requests that were left out, or not answered in time. */
  dropped = 0;
  /** How often each class was the answer; counted while a rollout runs, of one row a request. */
  readonly labels = new Map<string, number>();
  /** How often a number of each bin (`valueBin`) was a regression's answer; as `labels`. */
  readonly values = new Map<number, number>();
  /** Predictions (`<requestId>:<row>`) of the stable arm at which the arms differed. */
  readonly examples: string[] = [];

  /** Counts the answer for one row: its class, or a regression's number. */
  addAnswer(answer: string | number): void {
    if (typeof answer === 'string') this.#addLabel(answer, 1);
    else if (Number.isFinite(answer)) this.#addValues(valueBin(answer), 1);
  }

  /** @param example the prediction at which they differed. */
  addMirrored(verdict: Verdict, example?: string): void {
    if (verdict === 'dropped') this.dropped++;
    else this.compared++;
    if (verdict !== 'disagreed') return;
    this.disagreed++;
    if (example !== undefined) this.#addExample(example);
  }

  protected addTally(other: Tally): void {
    this.invalid += other.invalid;
    this.compared += other.compared;
    this.disagreed += other.disagreed;
    this.dropped += other.dropped;
    for (const [label, count] of other.labels) this.#addLabel(label, count);
    for (const [bin, count] of other.values) this.#addValues(bin, count);
    for (const example of other.examples) this.#addExample(example);
  }

  #addLabel(label: string, count: number): void {
    const { labels } = this;
    const known = labels.get(label);
    if (known !== undefined) {
      labels.set(label, known + count);
      return;
    }
    // A model may answer anything: what is kept can be stored, and is no longer than this.
    const kept = foreignText(label, LONGEST_LABEL - 1);
    const isFull = labels.size - (labels.has(OTHER_LABELS) ? 1 : 0) >= MOST_LABELS;
    const name = labels.has(kept) || !isFull ? kept : OTHER_LABELS;
    labels.set(name, (labels.get(name) ?? 0) + count);
  }

  #addValues(bin: number, count: number): void {
    const { values } = this;
    const place = values.has(bin) || values.size < MOST_VALUES ? bin : nearest(values.keys(), bin);
    values.set(place, (values.get(place) ?? 0) + count);
  }

  #addExample(example: string): void {
    if (this.examples.length < MOST_EXAMPLES) this.examples.push(example);
  }

  /** undefined where there is nothing to tell. */
  encodeTally(): EncodedTally | undefined {
    const { invalid, compared, disagreed, dropped, labels, values, examples } = this;
    if (invalid + compared + dropped + labels.size + values.size === 0) return undefined;
    return [invalid, compared, disagreed, dropped, [...labels].flat(), [...values].flat(), [...examples]];
  }

  /** Adds what `encodeTally` wrote. @throws Error where it is something else. */
  decodeTally(cell: unknown): void {
    const [invalid, compared, disagreed, dropped, labels, values, examples] = listOf(cell);
    this.invalid += countOf(invalid);
    this.compared += countOf(compared);
    this.disagreed += countOf(disagreed);
    this.dropped += countOf(dropped);
    for (const [label, count] of pairsOf(labels, MOST_LABELS + 1)) {
      this.#addLabel(textOf(label, LONGEST_LABEL), countOf(count));
    }
    for (const [bin, count] of pairsOf(values, MOST_VALUES)) this.#addValues(binOf(bin), countOf(count));
    for (const example of listOf(examples)) this.#addExample(textOf(example, LONGEST_EXAMPLE));
  }
}

function nearest(bins: Iterable<number>, bin: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (const each of bins) if (Math.abs(each - bin) < Math.abs(best - bin)) best = each;
  return best;
}

const refuse = (): never => {
  throw new Error('Not the tally of a metric window.');
};

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : refuse());

function pairsOf(value: unknown, most: number): [unknown, unknown][] {
  const list = listOf(value);
  if (list.length % 2 !== 0 || list.length > 2 * most) refuse();
  return Array.from({ length: list.length / 2 }, (_, at) => [list[2 * at], list[2 * at + 1]]);
}

const countOf = (value: unknown): number =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : refuse();
const binOf = (value: unknown): number =>
  Number.isInteger(value) && Math.abs(value as number) <= FARTHEST_BIN ? (value as number) : refuse();
const textOf = (value: unknown, longest: number): string =>
  typeof value === 'string' && value.length <= longest ? value : refuse();
