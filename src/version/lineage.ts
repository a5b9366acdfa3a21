/** Where versions come from. */
import { toPageRequest, type Page, type PageArgs, type PageRequest } from '../paging/paging.ts';
import { ValidationError } from '../platform/errors.ts';
import { isId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import type { Model } from '../model/model.ts';
import { place, type Lanes, type Row } from './lanes.ts';
import * as queries from './lineage.queries.ts';
import { findPaged, listVersions } from './version.queries.ts';
import type { ListedVersion, PagedVersion } from './version.row.ts';

/** An ancestor, and what has to be visited after it: the cursor of its place. */
export interface Ancestor {
  readonly version: PagedVersion;
  readonly frontier: readonly string[];
}

/**
 * Everything that a version came from, each before its own parents. A cursor holds what is left to visit, so a page costs
 * the same however far back it lies.
 * @throws ValidationError for a page size or cursor that cannot be.
 */
export async function listAncestors(
  platform: Platform,
  version: ListedVersion,
  args: PageArgs,
): Promise<Page<Ancestor>> {
  const request = toPageRequest(args, 1);
  let frontier = frontierOf(request) ?? (await parentsOf(platform, version.id));
  const reached =
    frontier.length > 0
      ? await queries.listReached(platform.db, version.projectId, frontier, request.first)
      : [];
  const ids = reached.map(({ id }) => id);
  const versions = new Map((await findPaged(platform.database, ids)).map((found) => [found.id, found]));
  const items = reached.map(({ id, parents }) => {
    frontier = [...new Set([...frontier.filter((other) => other !== id), ...parents])];
    return { version: versions.get(id) as PagedVersion, frontier };
  });
  return { items, hasNextPage: frontier.length > 0, hasPreviousPage: request.after !== undefined };
}

async function parentsOf(platform: Platform, versionId: string): Promise<string[]> {
  return (await queries.listParents(platform.db, [versionId])).map(({ parentId }) => parentId);
}

function frontierOf({ after }: PageRequest): string[] | undefined {
  if (after === undefined) return undefined;
  const ids = after[0] === '' ? [] : (after[0] as string).split(' ');
  if (ids.every(isId)) return ids;
  throw ValidationError.of(['after'], 'a cursor of this connection', 'something else');
}

/** A version in its row of the drawing. */
export interface Placed extends Row {
  readonly version: PagedVersion;
}

/**
 * A model's versions, newest first, with the lanes that their lineage is drawn in. A cursor holds the lanes at its place,
 * so pages fit together.
 * @throws ValidationError for a page size or cursor that cannot be.
 */
export async function listGraph(platform: Platform, model: Model, args: PageArgs): Promise<Page<Placed>> {
  const request = toPageRequest(args, 2);
  let lanes = lanesOf(request);
  const rows = await listVersions(platform.database, model.id, null, request);
  const versions = rows.slice(0, request.first);
  const ids = versions.map(({ id }) => id);
  const parents = Map.groupBy(
    ids.length > 0 ? await queries.listParents(platform.db, ids) : [],
    ({ versionId }) => versionId,
  );
  const items = versions.map((version) => {
    const inModel = (parents.get(version.id) ?? []).filter(({ modelId }) => modelId === model.id);
    const row = place(
      lanes,
      version.number,
      inModel.map(({ number }) => number),
    );
    lanes = row.lanes;
    return { ...row, version };
  });
  return {
    items,
    hasNextPage: rows.length > request.first,
    hasPreviousPage: request.after !== undefined,
  };
}

/** The parts of a place's cursor. */
export function placeKey({ version, lanes }: Placed): readonly string[] {
  return [String(version.number), lanes.map((expected) => expected ?? '').join(',')];
}

function lanesOf({ after }: PageRequest): Lanes {
  const text = after?.[1] ?? '';
  if (text === '') return [];
  const lanes = text.split(',');
  if (!lanes.every((lane) => /^\d{0,9}$/.test(lane))) {
    throw ValidationError.of(['after'], 'a cursor of this connection', 'something else');
  }
  return lanes.map((lane) => (lane === '' ? null : Number(lane)));
}
