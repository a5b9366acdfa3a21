import { expect, test } from 'vitest';
import type { Manifest } from '#src/backup/manifest.ts';
import { checkMigrations } from '#src/backup/restore.ts';

const known = ['20260101T0000_a', '20260102T0000_b', '20260103T0000_c'];
const backupWith = (...migrations: string[]): Manifest => ({ migrations }) as Manifest;

test('a backup of this program or an older one can be restored', () => {
  for (const count of [1, 2, 3]) checkMigrations(backupWith(...known.slice(0, count)), known);
});

test('a newer one, or one of another line, is refused with what to do', () => {
  expect(() => checkMigrations(backupWith(...known, '20260104T0000_d'), known)).toThrow(
    /newer Modelarium: its migration 20260104T0000_d is not known here/,
  );
  expect(() => checkMigrations(backupWith('20260101T0000_a', '20260103T0000_c'), known)).toThrow(
    /lacks migration 20260102T0000_b/,
  );
});
