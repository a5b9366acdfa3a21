/**
 * Finds versions by a search such as `name:fraud* AND metric.accuracy > 0.93`, newest first.
 *
 * One statement cannot be right for all searches: PostgreSQL would have to know beforehand how many versions match and
 * where they are, and for conditions on other tables it guesses. So a search goes on only while it has to:
 *
 * 1. Walk down from the newest version. Most searches that match at all have a page of matches near.
 * 2. Count the candidates that indexes know of, and look at those if they are few.
 * 3. Walk on, if what was found promises the rest of the page within reach.
 * 4. Sweep all versions.
 *
 * The numbers below are from 100,000 versions of 10,000 models: to walk past a version takes 0.5 µs and 1.2 µs more for
 * each metric or alias, to look at a candidate 4 µs, to sweep 10 to 100 ms.
 */
import { toPage, toPageRequest, type Page, type PageArgs } from '../paging/paging.ts';
import type { Db } from '../platform/database.ts';
import { ValidationError } from '../platform/errors.ts';
import { isId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { candidatesOf, fewest, wanted, type Candidates } from './search.candidates.ts';
import { parseSearch } from './search.parse.ts';
import { countUpTo, gather, isNarrow, sweep, walk, type VersionSearch } from './search.queries.ts';
import { withNotAtTerms } from './search.tree.ts';

/** When to stop doing one thing and do another. */
export interface Reach {
  /** How far to walk, in versions: at first; where that promises a page near; and where nothing better is left. */
  readonly walks: readonly [first: number, near: number, far: number];
  /** More candidates are not looked at one by one. */
  readonly candidates: number;
}

/** A walk that needs no more than an index for most versions gets so much further in the same time. */
const NARROW_IS_LONGER = 5;

const usualReach: Reach = { walks: [4000, 8000, 25_000], candidates: 5000 };

/**
 * A page of ids of a project's versions, newest first; a cursor's key is the id.
 * @throws ValidationError for a search that is none (with its column), a page size or a cursor that cannot be.
 */
export async function searchVersionIds(
  platform: Platform,
  projectId: string,
  { query, ...args }: PageArgs & { readonly query: string },
): Promise<Page<string>> {
  const request = toPageRequest(args, 1);
  const [after] = request.after ?? [];
  if (after !== undefined && !isId(after)) {
    throw ValidationError.of(
      ['after'],
      'a cursor from pageInfo.endCursor of this connection',
      'something else',
    );
  }
  const node = parseSearch(['query'], query);
  const search = { projectId, now: new Date(), node, after, limit: request.first + 1 };
  return toPage(await searchVersions(platform.db, search), request);
}

/** Ids of the newest versions that match, up to the limit. */
export async function searchVersions(
  db: Db,
  search: VersionSearch,
  reach: Reach = usualReach,
): Promise<readonly string[]> {
  const normal = { ...search, node: withNotAtTerms(search.node) };
  const scale = isNarrow(normal.node) ? NARROW_IS_LONGER : 1;
  const [first, near, far] = reach.walks.map((steps) => steps * scale) as [number, number, number];
  let walked = await walkOn(db, normal, { ids: [], steps: 0, end: search.after, done: false }, first);
  if (promised(walked, search) <= near) walked = await walkOn(db, normal, walked, near);
  if (walked.done) return walked.ids;
  const candidates = await findCandidates(db, normal, reach.candidates);
  if (!candidates && promised(walked, search) <= far) walked = await walkOn(db, normal, walked, far);
  if (walked.done) return walked.ids;
  const rest = { ...normal, after: walked.end, limit: search.limit - walked.ids.length };
  return [...walked.ids, ...(candidates ? await gather(db, rest, candidates) : await sweep(db, rest))];
}

/** How far a walk has come. */
interface Walked {
  readonly ids: readonly string[];
  /** How many versions were looked at. */
  readonly steps: number;
  /** The last of them. */
  readonly end: string | undefined;
  /** Whether the page is full, or nothing is left to look at. */
  readonly done: boolean;
}

async function walkOn(db: Db, search: VersionSearch, walked: Walked, steps: number): Promise<Walked> {
  if (walked.done) return walked;
  const rest = { ...search, after: walked.end, limit: search.limit - walked.ids.length };
  const { ids, end } = await walk(db, rest, steps);
  return { ids: [...walked.ids, ...ids], steps: walked.steps + steps, end, done: end === undefined };
}

/** How many versions further the page is probably full: half as many again as at the density so far. */
function promised({ ids, steps }: Walked, { limit }: VersionSearch): number {
  return ids.length === 0 ? Number.POSITIVE_INFINITY : (1.5 * steps * (limit - ids.length)) / ids.length;
}

/** The sources of the fewest candidates; undefined where those are too many, or not known. */
async function findCandidates(
  db: Db,
  search: VersionSearch,
  most: number,
): Promise<Candidates[] | undefined> {
  const known = wanted(search.node).flatMap((term) => {
    const source = candidatesOf(term, search);
    return source ? [{ term, source }] : [];
  });
  if (known.length === 0) return undefined;
  const counts = await countUpTo(
    db,
    most + 1,
    known.map(({ source }) => source),
  );
  const sources = new Map(known.map(({ term, source }, index) => [term, { source, count: counts[index] }]));
  const choice = fewest(search.node, (term) => sources.get(term)?.count);
  if (!choice || choice.count > most) return undefined;
  return choice.terms.map((term) => sources.get(term)?.source as Candidates);
}
