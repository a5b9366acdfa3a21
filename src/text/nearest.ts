/** Edit distance (Levenshtein 1965, two-row form). O(|a|·|b|): for error messages only. */
function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = above[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, above[column]! + 1, current[column - 1]! + 1));
    }
    above = current;
  }
  return above[b.length]!;
}

const LONGEST = 200;

/** The name that was probably meant, or null when none is close: at most a third of it differs, ignoring case. */
function nearest(name: string, names: Iterable<string>): string | null {
  if (name.length > LONGEST) return null;
  let best: string | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of names) {
    const longest = Math.max(name.length, candidate.length);
    if (longest > LONGEST || Math.abs(name.length - candidate.length) > longest / 3) continue;
    const edits = distance(name.toLowerCase(), candidate.toLowerCase());
    if (edits < least && edits <= longest / 3) {
      best = candidate;
      least = edits;
    }
  }
  return best;
}

/** ` Did you mean "x"?`, or nothing. */
export function suggestion(name: string, names: Iterable<string>): string {
  const meant = nearest(name, names);
  return meant === null ? '' : `Did you mean ${JSON.stringify(meant)}?`;
}
