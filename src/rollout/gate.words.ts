/** Numbers as a gate's explanation writes them. */
import type { Comparison } from './gate.ts';

/** Made once: to make one takes longer than all that a gate computes. */
const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });
const hundredths = new Intl.NumberFormat('en-US', { maximumFractionDigits: 2 });
const threeDigits = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 });

export function count(n: number): string {
  return whole.format(n);
}

/** `1 request`, `1,200 requests`. */
export function counted(n: number, noun: string): string {
  return `${count(n)} ${noun}${n === 1 ? '' : 's'}`;
}

/** A share from 0 to 1 as `12.3 %`; near 0 and 1, where one decimal tells little, with two. */
export function percent(share: number): string {
  return `${hundred(share)} %`;
}

/** A difference of shares as `12.3 percentage points`. */
export function points(difference: number): string {
  const shown = hundred(difference);
  return `${shown} percentage point${shown === '1' ? '' : 's'}`;
}

function hundred(share: number): string {
  const near = Math.min(Math.abs(share), Math.abs(1 - share));
  return (near > 0 && near < 0.01 ? hundredths : tenths).format(100 * share);
}

/** Milliseconds with three significant digits. */
export function milliseconds(ms: number): string {
  return `${threeDigits.format(ms)} ms`;
}

/** `p = 0.0004`; below what four decimals tell, `p < 0.0001`. */
export function pValue(p: number): string {
  return p < 0.0001 ? 'p < 0.0001' : `p = ${p.toFixed(4)}`;
}

/** The level at which a gate alarms. */
export function level(alpha: number): string {
  return alpha < 0.001 ? alpha.toPrecision(2) : alpha.toFixed(4);
}

/** Before the limit: `at most`, and so on. */
export const limitWords = {
  LESS_THAN: 'less than',
  AT_MOST: 'at most',
  AT_LEAST: 'at least',
  GREATER_THAN: 'more than',
} as const satisfies Record<Comparison, string>;
