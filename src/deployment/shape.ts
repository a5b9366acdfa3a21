/** What is wanted of a deployment's replicas: how many, with what, and which versions with which shares. */
import { ValidationError } from '../platform/errors.ts';

const MAX_REPLICAS = 64;
const MAX_THREADS = 256;
const MIN_MEMORY = 64 * 1024 ** 2;
const MAX_MEMORY = 1024 ** 5;
const MAX_BATCH_ROWS = 4096;
const MAX_BATCH_DELAY_MS = 1_000;
export const MAX_ARMS = 10;

export interface Resources {
  /** Threads that each replica runs the model with. */
  readonly threads: number;
  /** Resident memory of a replica, in bytes; one that takes more is replaced. null: no limit. */
  readonly memoryLimitBytes: bigint | null;
}

/** Those parts of a shape that are given. */
export interface GivenShape {
  readonly replicas?: number | null | undefined;
  readonly threads?: number | null | undefined;
  readonly memoryLimitBytes?: bigint | null | undefined;
  readonly batching?:
    | { readonly maxRows?: number | null | undefined; readonly maxDelayMs?: number | null | undefined }
    | null
    | undefined;
}

/** @throws ValidationError for the first that is out of range. */
export function checkShape({ replicas, threads, memoryLimitBytes, batching }: GivenShape): void {
  checkRange(['replicas'], replicas, 1, MAX_REPLICAS);
  checkRange(['resources', 'threads'], threads, 1, MAX_THREADS);
  checkRange(['batching', 'maxRows'], batching?.maxRows, 1, MAX_BATCH_ROWS);
  checkRange(['batching', 'maxDelayMs'], batching?.maxDelayMs, 0, MAX_BATCH_DELAY_MS);
  checkMemory(memoryLimitBytes ?? null);
}

function checkMemory(bytes: bigint | null): void {
  if (bytes === null) return;
  const path = ['resources', 'memoryLimitBytes'];
  if (bytes < BigInt(MIN_MEMORY)) {
    throw ValidationError.of(path, `${MIN_MEMORY} bytes or more`, String(bytes), {
      hint: 'An empty replica takes about 60 MB.',
    });
  }
  if (bytes > BigInt(MAX_MEMORY))
    throw ValidationError.of(path, `at most ${MAX_MEMORY} bytes`, String(bytes));
}

function checkRange(
  path: readonly string[],
  value: number | null | undefined,
  least: number,
  most: number,
): void {
  if (value === null || value === undefined) return;
  if (!(value >= least && value <= most))
    throw ValidationError.of(path, `${least} to ${most}`, String(value));
}

/** Weights in millionths are exact; what a sum of them misses is rounding. */
const ROUNDING = 1e-6;

/**
 * @param at where a weight stands in the input.
 * @throws ValidationError unless each is from 0 to 1 and all of them add up to 1.
 */
export function checkWeights(
  weights: readonly number[],
  at: (index: number) => readonly (string | number)[],
  all: string,
): void {
  weights.forEach((weight, index) => {
    if (!(weight >= 0 && weight <= 1)) throw ValidationError.of(at(index), '0 to 1', String(weight));
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (Math.abs(sum - 1) > ROUNDING) {
    throw ValidationError.of([all], 'weights that add up to 1', `${weights.join(' + ')} = ${sum}`);
  }
}
