/** From a test at a level to its p: what is valid at each level at every moment gives a p that is, too. */

/** ln of the least level that is told apart from 0. */
const LEAST = -700;
/** To a millionth of the level: more than anybody reads. */
const WIDTH = 1e-6;

/**
 * The least level (0 to 1) at which `alarms` says yes, by bisection of its logarithm; 1 where it says no at every level.
 * `alarms` must stay at yes as the level grows. At the level that is answered it does alarm: rounding never makes a p
 * smaller than it is.
 */
export function leastLevel(alarms: (level: number) => boolean): number {
  if (!alarms(1)) return 1;
  let no = LEAST;
  let yes = 0;
  if (alarms(Math.exp(no))) return Math.exp(no);
  while (yes - no > WIDTH) {
    const middle = (no + yes) / 2;
    if (alarms(Math.exp(middle))) yes = middle;
    else no = middle;
  }
  return Math.exp(yes);
}
