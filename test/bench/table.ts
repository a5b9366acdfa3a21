/** Figures as rows of one Markdown table, and the little statistics they need. */

export interface Figure {
  readonly what: string;
  readonly measured: string;
  /** Least and most of the rounds. */
  readonly spread: string;
  readonly cpu: string;
  /** The limit's own figure. */
  readonly limit: string;
  readonly target: string;
  /** Undefined where nothing is asked for. */
  readonly met: boolean | undefined;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** `least–most of n` with as many decimals as the figure has. */
export function spreadOf(values: readonly number[], decimals: number): string {
  const [least, most] = [Math.min(...values), Math.max(...values)].map((value) => value.toFixed(decimals));
  return values.length === 1 ? '1 round' : `${least}–${most} (${values.length} rounds)`;
}

/** `api 120 µs, replica 30 µs`. */
export function cpuText(cpuMicros: Readonly<Record<string, number>>): string {
  return Object.entries(cpuMicros)
    .map(([name, micros]) => `${name} ${micros.toFixed(0)} µs`)
    .join(', ');
}

export function tableOf(figures: readonly Figure[]): string {
  const rows = figures.map(({ what, measured, spread, cpu, limit, target, met }) => [
    what,
    measured,
    spread,
    cpu,
    limit,
    target,
    met === undefined ? '' : met ? 'yes' : '**no**',
  ]);
  const head = ['What', 'Measured (median)', 'Spread', 'CPU per request', 'Limit', 'Target', 'Met'];
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
