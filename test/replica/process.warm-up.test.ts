/** How many rows of different requests are worth a shared run, by what a run costs. */
import { describe, expect, test } from 'vitest';
import { worthSharing } from '#src/replica/process/warm-up.ts';

describe('worthSharing', () => {
  test.each([
    // A small network: a run costs 45 µs, a row 6 µs.
    [0.051, 0.093, 8, 333],
    // Rows one after the other, 50 ms each.
    [50, 100, 2, 1],
    [50, 400, 8, 1],
    // A large network on a wide machine: a run costs 20 ms, a row 1 ms.
    [21, 28, 8, 80],
    // A run costs as much as a row.
    [10, 45, 8, 4],
  ])('one row %d ms, many %d ms (%d rows): %d', (one, many, rows, worth) => {
    expect(worthSharing(one, many, rows)).toBe(worth);
  });
  test('rows that cost nothing that can be measured are all welcome', () => {
    expect(worthSharing(0.05, 0.05, 8)).toBe(Number.MAX_SAFE_INTEGER);
    expect(worthSharing(0.05, 0.04, 8)).toBe(Number.MAX_SAFE_INTEGER);
  });
});
