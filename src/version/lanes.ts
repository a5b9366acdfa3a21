/** Where the versions of a model stand when their lineage is drawn, newest on top, a row each. Pure. */

/** What each lane goes on to, from the left: a version's number, or null where nothing is drawn. */
export type Lanes = readonly (number | null)[];

export interface Line {
  /** Lane in this row. */
  readonly from: number;
  /** Lane in the row below. */
  readonly to: number;
}

export interface Row {
  /** Where the version itself stands. */
  readonly lane: number;
  /** What is drawn from this row to the next. */
  readonly lines: readonly Line[];
  /** The lanes below it. */
  readonly lanes: Lanes;
}

/**
 * Places the next version.
 * @param lanes those below the row above.
 * @param parents numbers of its parents in the same model; each is drawn further down.
 */
export function place(lanes: Lanes, number: number, parents: readonly number[]): Row {
  const next = [...lanes];
  const known = next.indexOf(number);
  const lane = known === -1 ? freeLane(next) : known;
  next[lane] = null;
  const through = next.flatMap((expected, index) => (expected === null ? [] : [{ from: index, to: index }]));
  const own = parents.map((parent, index) => {
    const there = next.indexOf(parent);
    const to = there !== -1 ? there : index === 0 && next[lane] === null ? lane : freeLane(next);
    next[to] = parent;
    return { from: lane, to };
  });
  while (next.length > 0 && next.at(-1) === null) next.pop();
  return { lane, lines: [...through, ...own], lanes: next };
}

function freeLane(lanes: (number | null)[]): number {
  const free = lanes.indexOf(null);
  if (free !== -1) return free;
  lanes.push(null);
  return lanes.length - 1;
}
