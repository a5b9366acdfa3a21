/** Rows like those that the demo's model was made for, and unlike them. Pure. */

export const traffics = {
  usual: 'rows like those the model was trained on',
  shifted: 'the same, measured a fifth too large: what drift looks like',
  bad: 'usual ones, one request in ten without a column',
} as const;
export type Traffic = keyof typeof traffics;

export type NumberRow = Readonly<Record<string, number>>;

const SHIFT = 1.2;
const BAD_SHARE = 0.1;

/**
 * A row between two real ones, column by column at the same place, so that columns go together as they do in people.
 * @param random draws from 0 to 1.
 */
export function drawRow(
  rows: readonly NumberRow[],
  traffic: Traffic,
  random: () => number,
): Record<string, number> {
  const one = rows[Math.floor(random() * rows.length)] as NumberRow;
  const other = rows[Math.floor(random() * rows.length)] as NumberRow;
  const at = random() * 0.3;
  const factor = traffic === 'shifted' ? SHIFT : 1;
  const row = Object.fromEntries(
    Object.entries(one).map(([name, value]) => [
      name,
      (value + at * ((other[name] ?? value) - value)) * factor,
    ]),
  );
  const [first] = Object.keys(row);
  if (traffic === 'bad' && random() < BAD_SHARE && first !== undefined) delete row[first];
  return row;
}

/** Milliseconds until the next of requests that come by chance, `perSecond` in the mean (a Poisson process). */
export function nextArrivalMs(perSecond: number, random: () => number): number {
  return (-Math.log(1 - random()) / perSecond) * 1000;
}
