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
  const passing = next.flatMap((expected, index) => (expected === null ? [] : [index]));
  // The first parent goes on in this lane, also where another lane further right was on its way to it: that one ends here.
  const [trunk] = parents;
  const joined = trunk === undefined ? -1 : next.indexOf(trunk);
  if (trunk !== undefined && (joined === -1 || joined > lane)) {
    if (joined !== -1) next[joined] = null;
    next[lane] = trunk;
  }
  const through = passing.map((from) => ({
    from,
    to: from === joined && next[lane] === trunk ? lane : from,
  }));
  const own = parents.map((parent) => {
    const there = next.indexOf(parent);
    const to = there === -1 ? freeLane(next) : there;
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
