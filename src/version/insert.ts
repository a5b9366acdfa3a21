/** The last step of every new version. */
import type { Viewer } from '../access/access.ts';
import { appendTo } from '../ledger/ledger.ts';
import type { Model } from '../model/model.ts';
import type { Db } from '../platform/database.ts';
import { ConflictError } from '../platform/errors.ts';
import * as queries from './creation.queries.ts';
import { versionCreated } from './version.events.ts';
import type { VersionRow } from './version.row.ts';

/** Writes a version and its event; nothing may be locked after it. @throws ConflictError when a parent was deleted. */
export async function insertVersion(
  tx: Db,
  viewer: Viewer,
  model: Model,
  whole: queries.NewVersion,
): Promise<VersionRow> {
  const { row, parents } = await queries.insertWhole(tx, whole);
  if (whole.parents && parents.length < whole.parents.length) {
    throw new ConflictError('A parent was deleted meanwhile.', null, 'Look at the versions again.');
  }
  await appendTo(tx, model.projectId, viewer)(versionCreated(model, row, parents, whole.metrics));
  return row;
}

/** @throws ConflictError when somebody else was faster. */
export function checkExpected(expected: number | null, latest: number): void {
  if (expected === null || latest === expected) return;
  throw new ConflictError(
    `The latest version is ${latest === 0 ? 'none' : latest}, not ${expected}.`,
    String(latest),
    'Look at what is new, then try again with the present number.',
  );
}
