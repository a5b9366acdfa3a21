import { expect, test } from 'vitest';
import { progressLine, shownBytes } from '#src/local/progress.ts';

test('progress tells how much, how fast and how long', () => {
  expect(progressLine('Copying files', 250e6, 1e9, 2)).toBe(
    'Copying files: 250.0 MB of 1.00 GB (25 %), 125.0 MB/s, 6 s left',
  );
  expect(progressLine('Copying files', 1e9, 1e12, 10)).toMatch(/100\.0 MB\/s, 2\.8 h left$/);
  expect(progressLine('Copying files', 5, 5, 0)).toMatch(/\(100 %\), 5 kB\/s$/);
  expect(progressLine('Copying files', 0, 0, 0)).toMatch(/0 kB of 0 kB \(100 %\)/);
  expect(shownBytes(1)).toBe('1 kB');
});
