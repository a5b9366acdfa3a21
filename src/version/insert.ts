/** The last step of every new version. */
import type { Model } from '../model/model.ts';
import type { Db } from '../platform/database.ts';
import { ConflictError, ValidationError } from '../platform/errors.ts';
import * as queries from './creation.queries.ts';
import { versionCreated } from './version.events.ts';
import type { VersionRow } from './version.row.ts';

/** Writes a version and its event. Its parents are held by now, and nothing may be locked after it. */
export function insertVersion(tx: Db, model: Model, whole: queries.NewVersion): Promise<VersionRow> {
  return queries.insertWhole(tx, whole, versionCreated(model, whole));
}

/** @throws ConflictError when somebody else was faster, ValidationError for what is no number of a version. */
export function checkExpected(expected: number | null, latest: number): void {
  if (expected === null || latest === expected) return;
  if (expected < 0) throw ValidationError.of(['expectedLatest'], '0 or more', String(expected));
  throw new ConflictError(
    `The latest version is ${latest === 0 ? 'none' : latest}, not ${expected}.`,
    String(latest),
    'Look at what is new, then try again with the present number.',
  );
}
