/**
 * A search as conditions on the version `v` in SQL. Whatever a person wrote reaches PostgreSQL as a parameter, with the
 * signs that mean something in LIKE escaped.
 */
import { sql, type RawBuilder } from 'kysely';
import {
  ageUnits,
  isGroup,
  type Compared,
  type Comparison,
  type Moment,
  type Pattern,
  type SearchNode,
  type SearchTerm,
  type TextField,
} from './search.tree.ts';

export type Condition = RawBuilder<boolean>;

/** Where and when a search is asked. */
export interface SearchScope {
  readonly projectId: string;
  /** What ages such as `7d` count from. */
  readonly now: Date;
}

/**
 * How metrics and aliases are looked up. `each`: for each version by its id; right where few versions are looked at.
 * `all`: PostgreSQL may read those of all versions first and keep them in a hash table; right where many are.
 */
export type Lookup = 'each' | 'all';

/**
 * The condition that a search is, on `version as v` alone. Each part is wrapped in IS TRUE, which keeps the planner from
 * turning it into a join or an index scan of its own: the statements that it stands in read the right versions by
 * themselves. It is never NULL.
 */
export function toCondition(node: SearchNode, scope: SearchScope, lookup: Lookup): Condition {
  switch (node.kind) {
    case 'and':
    case 'or': {
      // AND and OR inside others are evaluated as written: what needs no other table goes first.
      const parts = node.of.toSorted((a, b) => cost(a) - cost(b));
      const conditions = parts.map((part) => toCondition(part, scope, lookup));
      return sql`(${sql.join(conditions, node.kind === 'and' ? sql` and ` : sql` or `)})`;
    }
    case 'not':
      return sql`(${toCondition(node.of, scope, lookup)}) is not true`;
    default:
      return sql`(${termCondition(node, scope, lookup)}) is true`;
  }
}

/** The same as a part of WHERE that the planner may make use of: a join, an index scan; with what it knows of numbers. */
export function toPlainCondition(node: SearchNode, scope: SearchScope): Condition {
  if (isGroup(node) || (node.kind === 'not' && isGroup(node.of))) return toCondition(node, scope, 'all');
  if (node.kind !== 'not') return sql`(${termCondition(node, scope, 'all')})`;
  return sql`not (${termCondition(node.of as SearchTerm, scope, 'all')})`;
}

/** In comparison: whatever stands in the version, what is taken apart for it, what is looked up. */
function cost(node: SearchNode): number {
  switch (node.kind) {
    case 'and':
    case 'or':
      return node.of.reduce((sum, part) => sum + cost(part), 0);
    case 'not':
      return cost(node.of);
    case 'word':
    case 'tag':
      return 5;
    case 'metric':
      return 20;
    default:
      return 'field' in node ? ({ message: 5, alias: 20 }[node.field as string] ?? 1) : 1;
  }
}

function termCondition(term: SearchTerm, scope: SearchScope, lookup: Lookup): Condition {
  switch (term.kind) {
    case 'word':
      return sql`${inName(scope, holds(sql`n.name`, term.pattern))} or ${holds(sql`v.message`, term.pattern)}`;
    case 'text':
      return textCondition(term.field, term.pattern, scope, lookup);
    case 'tag':
      return tagCondition(term.key, term.value);
    case 'status':
      return sql`v.status = ${term.status}`;
    case 'flag':
      if (term.field === 'archived')
        return term.value ? sql`v.archived_at is not null` : sql`v.archived_at is null`;
      return term.value ? deployed(scope, sql`true`) : sql`not ${deployed(scope, sql`true`)}`;
    case 'created':
      return wasCreated(sql`v.created_at`, term.compared, scope.now);
    case 'amount':
      return compares(term.field === 'bytes' ? sql`v.bytes` : sql`v.number`, term.compared, sql`bigint`);
    default:
      return exists(
        sql`version_metric x where x.version_id = v.id and x.name = ${term.metric}`,
        ofMetric(scope, term),
        lookup,
      );
  }
}

function textCondition(field: TextField, pattern: Pattern, scope: SearchScope, lookup: Lookup): Condition {
  switch (field) {
    case 'name':
      return inName(scope, matches(sql`n.name`, pattern));
    case 'alias':
      return exists(sql`alias a where a.version_id = v.id`, ofAlias(scope, pattern), lookup);
    case 'author':
      return matches(sql`v.author_name`, pattern);
    case 'format':
      return sql`v.format ilike ${like(pattern)}`;
    case 'deployment':
      return deployed(scope, matches(sql`d.name`, pattern));
    case 'message':
      return holds(sql`v.message`, pattern);
    default:
      return hasDigest(sql`v.digest`, pattern);
  }
}

/**
 * A row of another table that is the version's.
 * Looked up for each version, it must be found by the version alone: within IS TRUE no condition can lead the planner to
 * another index, and of a subquery with OFFSET it makes no hash table.
 */
function exists(ofVersion: RawBuilder<unknown>, condition: Condition, lookup: Lookup): Condition {
  return lookup === 'each'
    ? sql`exists (select from ${ofVersion} and (${condition}) is true offset 0)`
    : sql`exists (select from ${ofVersion} and ${condition})`;
}

/** There are far fewer models than versions: those of a name are always read first, into a hash table. */
const inName = (scope: SearchScope, condition: Condition): Condition =>
  sql`v.model_id in (${modelsOf(scope, condition)})`;

export const modelsOf = ({ projectId }: SearchScope, condition: Condition): RawBuilder<unknown> =>
  sql`select n.id from model n where n.project_id = ${projectId} and n.deleted_at is null and ${condition}`;

/** As with models: what is deployed is little. */
const deployed = (scope: SearchScope, condition: Condition): Condition =>
  sql`v.id in (${deployedVersions(scope, condition)})`;

export const deployedVersions = (
  { projectId }: SearchScope,
  condition: Condition,
): RawBuilder<{ id: string }> =>
  sql`select arm.version_id as id from deployment d join arm on arm.deployment_id = d.id
      where d.project_id = ${projectId} and d.state <> 'STOPPED' and ${condition}`;

export const ofAlias = (scope: SearchScope, pattern: Pattern): Condition =>
  sql`a.project_id = ${scope.projectId} and ${matches(sql`a.name`, pattern)}`;

export const ofMetric = (scope: SearchScope, term: Extract<SearchTerm, { kind: 'metric' }>): Condition =>
  sql`x.project_id = ${scope.projectId} and x.name = ${term.metric} and ${compares(sql`x.value`, term.compared, sql`double precision`)}`;

/** The key is always known to the index where it is literal, so that only versions with it are taken apart. */
function tagCondition(key: Pattern, value: Pattern | null): Condition {
  const literal = hasTag(key, value);
  if (literal && (value === null || value.length === 1)) return literal;
  const matching = sql`${matches(sql`t.tag ->> 'key'`, key)} and ${value ? matches(sql`t.tag ->> 'value'`, value) : sql`true`}`;
  const any = sql`exists (select from jsonb_array_elements(v.tags) as t (tag) where ${matching})`;
  return literal ? sql`${literal} and ${any}` : sql`${any}`;
}

/** What of a tag an index can answer: nothing where the key has wildcards. */
export function hasTag(key: Pattern, value: Pattern | null): Condition | undefined {
  if (key.length > 1) return undefined;
  const tag = value?.length === 1 ? { key: key[0], value: value[0] } : { key: key[0] };
  return sql`v.tags @> ${JSON.stringify([tag])}::jsonb`;
}

/** By range, which an index serves in any collation: hex digits sort alike in all of them, and before `g`. */
export function hasDigest(column: RawBuilder<unknown>, [digits, rest]: Pattern): Condition {
  if (rest === undefined) return sql`${column} = ${digits}`;
  return sql`${column} >= ${digits} and ${column} < ${`${digits}g`}`;
}

/** The whole text is as the pattern says. */
export function matches(column: RawBuilder<unknown>, pattern: Pattern): Condition {
  return pattern.length === 1 ? sql`${column} = ${pattern[0]}` : sql`${column} like ${like(pattern)}`;
}

/** The text holds what the pattern says, in any case. */
export function holds(column: RawBuilder<unknown>, pattern: Pattern): Condition {
  return sql`${column} ilike ${`%${like(pattern)}%`}`;
}

const like = (pattern: Pattern): string =>
  pattern.map((piece) => piece.replaceAll(/[\\%_]/g, String.raw`\$&`)).join('%');

function compares(
  column: RawBuilder<unknown>,
  compared: Compared<number>,
  type: RawBuilder<unknown>,
): Condition {
  const value = (number: number): RawBuilder<unknown> => sql`${String(number)}::${type}`;
  if (compared.is !== 'range')
    return sql`${column} ${sql.raw(operators[compared.is])} ${value(compared.value)}`;
  return both(
    compared.from === null ? null : sql`${column} >= ${value(compared.from)}`,
    compared.to === null ? null : sql`${column} <= ${value(compared.to)}`,
  );
}

const operators = { '=': '=', '!=': '<>', '>': '>', '>=': '>=', '<': '<', '<=': '<=' } as const;

/** Every moment lasts: a day, or the millisecond that times are shown to while PostgreSQL keeps microseconds. */
export function wasCreated(column: RawBuilder<unknown>, compared: Compared<Moment>, now: Date): Condition {
  if (compared.is === 'range') {
    const [first, last] = [compared.from, compared.to].map((moment) => moment && span(moment, now));
    return both(first && sql`${column} >= ${first.from}`, last && sql`${column} < ${last.until}`);
  }
  const { from, until } = span(compared.value, now);
  const conditions: Record<Comparison, Condition> = {
    '=': sql`${column} >= ${from} and ${column} < ${until}`,
    '!=': sql`(${column} < ${from} or ${column} >= ${until})`,
    '>': sql`${column} >= ${until}`,
    '>=': sql`${column} >= ${from}`,
    '<': sql`${column} < ${from}`,
    '<=': sql`${column} < ${until}`,
  };
  return conditions[compared.is];
}

const both = (one: Condition | null | undefined, other: Condition | null | undefined): Condition =>
  sql`${one ?? sql`true`} and ${other ?? sql`true`}`;

/** From its first instant until, but without, the next one after it. */
function span(moment: Moment, now: Date): { from: Date; until: Date } {
  const [from, ms] =
    moment.kind === 'day'
      ? [Date.parse(`${moment.day}T00:00Z`), ageUnits.d]
      : moment.kind === 'time'
        ? [moment.time.getTime(), 1]
        : [now.getTime() - moment.count * ageUnits[moment.unit], 1];
  return { from: new Date(from), until: new Date(from + ms) };
}
