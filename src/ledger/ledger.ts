/**
 * The ledger: everything that changes in a project, in the order in which it was committed, without a gap. An event is
 * written in the transaction of its change, last, because its counter is what everybody who changes something waits for.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Actor } from '../access/access.ts';
import { numberAfter, toPage, toPageRequest, type Page, type PageArgs } from '../paging/paging.ts';
import type { Db } from '../platform/database.ts';
import { ValidationError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { appendEvents, type LedgerEntry, type Moment } from './append.queries.ts';
import * as queries from './ledger.queries.ts';

export type LedgerEvent = queries.LedgerRow;
export type { LedgerEntry, Moment } from './append.queries.ts';
export type { EventFilter } from './ledger.queries.ts';

/** Modelarium itself, where nobody asked. */
export const system: Actor = { name: 'modelarium', kind: 'SYSTEM' };

/** Writes an event of the change that a transaction makes. To be called when nothing else is left to lock. */
export type Append = (...entries: readonly LedgerEntry[]) => Promise<Moment>;

/** How events get into a transaction that somebody else commits; who does, announces `ledger` afterwards. */
export function appendTo(tx: Db, projectId: string, actor: Actor): Append {
  return (...entries) => appendEvents(tx, projectId, actor, entries);
}

/**
 * Runs a change and the events that tell of it in one transaction, and tells who follows the ledger.
 * @example
 * await changing(platform, project.id, viewer, async (tx, append) => {
 *   await queries.archive(tx, version.id);
 *   await append({ type: 'VERSION_ARCHIVED', subject: { type: 'Version', id: version.id }, data: { … } });
 * });
 */
export async function changing<T>(
  platform: Platform,
  projectId: string,
  actor: Actor,
  work: (tx: Db, append: Append) => Promise<T>,
): Promise<T> {
  const value = await platform.database.db
    .transaction()
    .execute((tx) => work(tx, appendTo(tx, projectId, actor)));
  platform.announce('ledger', projectId);
  return value;
}

/** A page of a project's events, newest first. */
export async function listEvents(
  platform: Platform,
  projectId: string,
  args: PageArgs,
  filter: queries.EventFilter,
): Promise<Page<LedgerEvent>> {
  const request = toPageRequest(args, 1);
  const rows = await queries.listEvents(
    platform.db,
    projectId,
    filter,
    numberAfter(request, 0, 2n ** 63n - 1n),
    request.first + 1,
  );
  return toPage(rows, request);
}

/**
 * The last event that had happened in a project at a time. The answer never changes: where somebody may be writing at
 * that very time, this waits for them, milliseconds.
 * @throws ValidationError at `path` for a time that is still to come.
 */
export async function sequenceAt(
  platform: Platform,
  projectId: string,
  path: readonly string[],
  time: Date,
): Promise<bigint> {
  for (;;) {
    const moment = await queries.findMoment(platform.db, projectId, time);
    if (moment.settled) return moment.sequence;
    if (time.getTime() > moment.now.getTime()) {
      throw ValidationError.of(path, 'a time that has passed', time.toISOString(), {
        hint: `The server's clock says ${moment.now.toISOString()}.`,
      });
    }
    // Within this millisecond something may still be written.
    if (time.getTime() === moment.now.getTime()) {
      await delay(1);
      continue;
    }
    await queries.awaitWriters(platform.db, projectId);
    return (await queries.findMoment(platform.db, projectId, time)).sequence;
  }
}
