/** The statements that find versions, newest first; search.ts says when which one is right. */
import { sql, type RawBuilder } from 'kysely';
import type { Db } from '../platform/database.ts';
import type { Candidates } from './search.candidates.ts';
import { toCondition, toPlainCondition, type Condition, type SearchScope } from './search.sql.ts';
import type { SearchNode } from './search.tree.ts';

export interface VersionSearch extends SearchScope {
  readonly node: SearchNode;
  /** Id of a version; only older ones are looked for. */
  readonly after: string | undefined;
  readonly limit: number;
}

/**
 * Versions of the project below `after`, for `newestFirst`. Both write an equality as a range, and so an order by two
 * columns: of an equality the planner would know that the order by id is enough, and take the primary key's index through
 * the versions of all projects. It guesses from the first column how many there are, hence no `<`.
 */
const isBelow = ({ projectId, after }: VersionSearch): Condition => {
  const below =
    after === undefined
      ? sql`v.project_id <= ${projectId}`
      : sql`(v.project_id, v.id) <= (${projectId}, ${after}) and v.id <> ${after}`;
  return sql`v.project_id >= ${projectId} and ${below} and v.deleted_at is null`;
};
const newestFirst = sql`order by v.project_id desc, v.id desc`;

/** What conditions look at: the other columns are large. */
const searchedColumns = sql`v.project_id, v.id, v.model_id, v.number, v.status, v.message, v.author_name, v.created_at,
  v.format, v.bytes, v.digest, v.tags, v.archived_at`;

/**
 * Matches among so many versions after `after`. `end` is the last of these, for going on; undefined where the limit was
 * reached or the project has no more.
 * The LIMIT within keeps the planner from any other way than this.
 */
export async function walk(
  db: Db,
  search: VersionSearch,
  steps: number,
): Promise<{ ids: string[]; end: string | undefined }> {
  const { rows } = await sql<{ ids: string[]; end: string | null }>`
    with hit as materialized (${walkedHits(search, steps)} ${newestFirst} limit ${search.limit})
    select array(select id from hit order by id desc) as ids,
      case when (select count(*) from hit) < ${search.limit}
        then (select v.id from version v where ${isBelow(search)} ${newestFirst} offset ${steps - 1} limit 1)
      end as "end"`.execute(db);
  return { ids: rows[0]?.ids ?? [], end: rows[0]?.end ?? undefined };
}

/** Of a narrow search, only versions are read that are left when index version_search_idx was asked: OFFSET is a fence. */
function walkedHits(search: VersionSearch, steps: number): RawBuilder<unknown> {
  const [inIndex, others] = isNarrow(search.node) ? split(search.node) : [partsOf(search.node), []];
  const where = (parts: readonly SearchNode[]): Condition =>
    every(parts.map((part) => toCondition(part, search, 'each')));
  const first = sql`
    select v.project_id, v.id from (
      select ${searchedColumns} from version v where ${isBelow(search)} ${newestFirst} limit ${steps}
    ) v
    where ${where(inIndex)}`;
  if (others.length === 0) return first;
  return sql`
    select v.project_id, v.id from (${first} ${newestFirst} offset 0) v
    cross join lateral (select from (select w.* from version w where w.id = v.id) v where ${where(others)} offset 0) w`;
}

/** How many rows each source has, counted up to a limit. */
export async function countUpTo(db: Db, most: number, sources: readonly Candidates[]): Promise<number[]> {
  const counts = sources.map(
    (source) => sql`(select count(*) from (select from (${source}) c limit ${most}) c)::int`,
  );
  const { rows } = await sql<{ counts: number[] }>`select array[${sql.join(counts)}] as counts`.execute(db);
  return rows[0]?.counts ?? [];
}

/** Matches among candidates, which are looked at one by one, newest first, until there are enough. */
export async function gather(
  db: Db,
  search: VersionSearch,
  sources: readonly Candidates[],
): Promise<string[]> {
  const { after } = search;
  const { rows } = await sql<{ id: string }>`
    select c.id from (
      select distinct c.id from (${sql.join(sources, sql` union all `)}) c
      where ${after === undefined ? sql`true` : sql`c.id < ${after}`} order by c.id desc
    ) c
    where exists (
      select from version v
      where v.id = c.id and v.project_id = ${search.projectId} and v.deleted_at is null
        and ${toCondition(search.node, search, 'each')} offset 0
    )
    order by c.id desc limit ${search.limit}`.execute(db);
  return rows.map(({ id }) => id);
}

/**
 * Matches among all versions. What index version_search_idx holds is asked first, there alone, as its entries are a tenth
 * of a version's size; only versions that are left then are read.
 */
export async function sweep(db: Db, search: VersionSearch): Promise<string[]> {
  const [inIndex, others] = split(search.node);
  const first = every(inIndex.map((part) => toPlainCondition(part, search)));
  const second = every(others.map((part) => toCondition(part, search, 'all')));
  const { rows } = await (
    inIndex.length === 0 || others.length === 0
      ? sql<{ id: string }>`select v.id from version v where ${isBelow(search)} and ${first} and ${second}
          ${newestFirst} limit ${search.limit}`
      : // The OFFSET keeps the planner from making one query of both.
        sql<{ id: string }>`select v.id from (
            select v.project_id, v.id from version v where ${isBelow(search)} and ${first} ${newestFirst} offset 0
          ) s join version v on v.id = s.id where ${second}
          order by s.project_id desc, s.id desc limit ${search.limit}`
  ).execute(db);
  return rows.map(({ id }) => id);
}

const every = (conditions: readonly Condition[]): Condition =>
  conditions.length === 0 ? sql`true` : sql`(${sql.join(conditions, sql` and `)})`;

const partsOf = (node: SearchNode): readonly SearchNode[] => (node.kind === 'and' ? node.of : [node]);

/** What index version_search_idx can be asked, together with other tables, and what only the version knows. */
function split(node: SearchNode): [inIndex: SearchNode[], others: SearchNode[]] {
  const parts = partsOf(node);
  return [parts.filter(isInIndex), parts.filter((part) => !isInIndex(part))];
}

/** Whether the index probably leaves few versions: those of models whose names begin alike, which may be many models. */
export function isNarrow(node: SearchNode): boolean {
  switch (node.kind) {
    case 'and':
      return node.of.some(isNarrow);
    case 'or':
      return node.of.every(isNarrow);
    case 'text':
      return node.field === 'name' && node.pattern.length > 1 && node.pattern[0] !== '';
    default:
      return false;
  }
}

function isInIndex(node: SearchNode): boolean {
  switch (node.kind) {
    case 'and':
    case 'or':
      return node.of.every(isInIndex);
    case 'not':
      return isInIndex(node.of);
    case 'word':
    case 'tag':
      return false;
    case 'text':
      return node.field !== 'message' && node.field !== 'digest';
    default:
      return true;
  }
}
