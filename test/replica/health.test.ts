/** When a replica that is silent, or large, is given up. */
import { describe, expect, test } from 'vitest';
import { hangs, memoryVerdict } from '#src/replica/health.ts';
import type { ProcessVitals } from '#src/platform/process-vitals.ts';

const idle: ProcessVitals = { cpuTicks: 100, residentBytes: 1, isStopped: false, isBusy: false };
const BUSY_MS = 60_000;

describe('a replica that does not answer', () => {
  test('that was stopped hangs at once', () => {
    const now = { ...idle, isStopped: true };
    expect(hangs({ forMs: 2_000, before: undefined, now }, BUSY_MS)).toMatch(/stopped.* 2 s/);
  });
  test('that does nothing hangs once that is known', () => {
    expect(hangs({ forMs: 2_000, before: undefined, now: idle }, BUSY_MS)).toBeUndefined();
    expect(hangs({ forMs: 4_000, before: idle, now: idle }, BUSY_MS)).toMatch(/does nothing/);
  });
  test.each([
    ['uses the processor', { ...idle, cpuTicks: 101 }],
    ['waits for it, or for a disk', { ...idle, isBusy: true }],
  ])('that %s is at work, up to the limit', (_what, now) => {
    expect(hangs({ forMs: 4_000, before: idle, now }, BUSY_MS)).toBeUndefined();
    expect(hangs({ forMs: 60_001, before: idle, now }, BUSY_MS)).toMatch(/REPLICA_BUSY_SECONDS/);
  });
});

describe('memory', () => {
  test.each([
    [100, null, true, 'fits'],
    [100, 100n, true, 'fits'],
    [101, 100n, true, 'replace'],
    [150, 100n, true, 'replace'],
    [151, 100n, true, 'end'],
    [101, 100n, false, 'end'],
  ] as const)('%d bytes of %s, spared: %s → %s', (bytes, limit, spared, verdict) => {
    expect(memoryVerdict(bytes, limit, spared)).toBe(verdict);
  });
});
