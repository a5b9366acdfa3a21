/** Width of a bin, relative to the numbers in it. */
const WIDTH = 0.05;
const LOG_WIDTH = Math.log1p(WIDTH);
const LEAST = 1e-9;
const LOG_LEAST = Math.log(LEAST);

/** Of a number from LEAST on. */
const binOf = (size: number): number => Math.max(0, Math.floor((Math.log(size) - LOG_LEAST) / LOG_WIDTH)) + 1;

/** No finite number has a bin further from 0. */
export const FARTHEST_BIN = binOf(Number.MAX_VALUE);

/**
 * The bin of a number, for histograms that add up: a whole number, in the numbers' order, with their sign; numbers of one
 * bin differ by 5 % at most. 0 is the bin of what is closer to 0 than 1e-9, and of NaN.
 *
 *     valueBin(100) === valueBin(101); valueBin(-100) === -valueBin(100); valueBin(100) < valueBin(106)
 */
export function valueBin(value: number): number {
  const size = Math.min(Math.abs(value), Number.MAX_VALUE);
  if (!(size >= LEAST)) return 0;
  return value < 0 ? -binOf(size) : binOf(size);
}
