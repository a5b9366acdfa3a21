/** Lineages to grow, and to read from a drawing as somebody would who follows its lines with a finger. */
import * as fc from 'fast-check';
import { done, type HeldFile } from './registry.ts';
import type { Stack } from './stack.ts';

/** The parents of each version by their numbers, the first entry being version 1's. */
export type Lineage = readonly (readonly number[])[];

export const lineages: fc.Arbitrary<Lineage> = fc
  .array(fc.array(fc.nat({ max: 1000 }), { maxLength: 4 }), { minLength: 2, maxLength: 14 })
  .map((all) => all.map((own, index) => (index === 0 ? [] : [...new Set(own.map((n) => 1 + (n % index)))])));

/** Makes a model whose versions have these parents; its id. */
export async function grow(stack: Stack, file: HeldFile, name: string, lineage: Lineage): Promise<string> {
  const model = await stack.model(name);
  for (const own of lineage) {
    const parents = own.map((number) => `${name}:${number}`);
    await done(stack, 'createVersion', { model, artifacts: [file], parents });
  }
  return model;
}

export interface DrawnRow {
  readonly number: number;
  readonly lane: number;
  readonly lines: readonly { readonly from: number; readonly to: number }[];
}

/**
 * The numbers that are reached from each version by following the lines from row to row.
 * @throws Error for a drawing that cannot be followed: a line that comes from nowhere, ends nowhere, or is there twice.
 */
export function followed(rows: readonly DrawnRow[]): Map<number, number[]> {
  rows.forEach((row, index) => checkRow(row, rows[index - 1]));
  return new Map(
    rows.map(({ number, lane, lines }, index) => [
      number,
      lines.filter(({ from }) => from === lane).map(({ to }) => reachedBy(rows, index + 1, to)),
    ]),
  );
}

function checkRow({ number, lane, lines }: DrawnRow, above: DrawnRow | undefined): void {
  const arriving = new Set(above?.lines.map(({ to }) => to));
  for (const { from } of lines) {
    if (from !== lane && !arriving.has(from)) throw new Error(`A line comes from nowhere beside ${number}.`);
  }
  if (new Set(lines.map(({ from, to }) => `${from} ${to}`)).size < lines.length) {
    throw new Error(`A line is there twice beside ${number}.`);
  }
}

function reachedBy(rows: readonly DrawnRow[], start: number, startLane: number): number {
  let lane = startLane;
  for (const row of rows.slice(start)) {
    if (row.lane === lane) return row.number;
    const [line, more] = row.lines.filter(({ from }) => from === lane);
    if (!line) throw new Error(`A line ends beside ${row.number}, which it does not lead to.`);
    if (more) throw new Error(`A line parts beside ${row.number}, where there is no version.`);
    lane = line.to;
  }
  throw new Error('A line leads out of the drawing.');
}
