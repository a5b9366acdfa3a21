/**
 * Candidates: versions among which all matches are, from indexes that know them without looking at the versions.
 * Every match of an `and` is among the candidates of any one of its parts; of an `or`, among those of all together.
 */
import { sql, type RawBuilder } from 'kysely';
import {
  deployedVersions,
  hasDigest,
  hasTag,
  holds,
  matches,
  modelsOf,
  ofAlias,
  ofMetric,
  wasCreated,
  type Condition,
  type SearchScope,
} from './search.sql.ts';
import { isGroup, type Pattern, type SearchNode, type SearchTerm, type TextField } from './search.tree.ts';

/** Rows with the `id` of a version; may hold one twice, deleted ones and those of other projects. */
export type Candidates = RawBuilder<{ id: string }>;

const versions = (condition: Condition): Candidates => sql`select v.id from version v where ${condition}`;

const ofProject = ({ projectId }: SearchScope, condition: Condition): Candidates =>
  versions(sql`v.project_id = ${projectId} and v.deleted_at is null and ${condition}`);

/** The candidates of a term; undefined where no index knows them. */
export function candidatesOf(term: SearchTerm, scope: SearchScope): Candidates | undefined {
  switch (term.kind) {
    case 'text':
      return textCandidates(term.field, term.pattern, scope);
    case 'word':
      if (!hasTrigram(term.pattern)) return undefined;
      return sql`${ofModels(scope, holds(sql`n.name`, term.pattern))} union all ${versions(holds(sql`v.message`, term.pattern))}`;
    case 'tag': {
      const tag = hasTag(term.key, term.value);
      return tag && versions(tag);
    }
    case 'metric':
      if (term.compared.is === '!=') return undefined;
      return sql`select x.version_id as id from version_metric x where ${ofMetric(scope, term)}`;
    case 'created':
      if (term.compared.is === '!=') return undefined;
      return ofProject(scope, wasCreated(sql`v.created_at`, term.compared, scope.now));
    case 'flag':
      return term.field === 'deployed' && term.value ? deployedVersions(scope, sql`true`) : undefined;
    default:
      return undefined;
  }
}

function textCandidates(field: TextField, pattern: Pattern, scope: SearchScope): Candidates | undefined {
  switch (field) {
    case 'name':
      return ofModels(scope, matches(sql`n.name`, pattern));
    case 'alias':
      return sql`select a.version_id as id from alias a where a.version_id is not null and ${ofAlias(scope, pattern)}`;
    case 'author':
      return ofProject(scope, matches(sql`v.author_name`, pattern));
    case 'deployment':
      return deployedVersions(scope, matches(sql`d.name`, pattern));
    case 'message':
      return hasTrigram(pattern) ? versions(holds(sql`v.message`, pattern)) : undefined;
    case 'digest':
      return ofProject(scope, hasDigest(sql`v.digest`, pattern));
    default:
      return undefined;
  }
}

const ofModels = (scope: SearchScope, condition: Condition): Candidates =>
  versions(sql`v.model_id in (${modelsOf(scope, condition)})`);

/** An index of trigrams has nothing to look for in a shorter piece. */
const hasTrigram = (pattern: Pattern): boolean => pattern.some((piece) => /[\p{L}\p{N}]{3}/u.test(piece));

/** Terms whose candidates together hold every match, and at most how many those are. */
export interface Choice {
  readonly terms: readonly SearchTerm[];
  readonly count: number;
}

/**
 * The fewest candidates for a search whose NOTs are all at terms; undefined where some match may be among none.
 * @param count how many candidates a term has, undefined where that is not known.
 */
export function fewest(
  node: SearchNode,
  count: (term: SearchTerm) => number | undefined,
): Choice | undefined {
  if (node.kind === 'not') return undefined;
  if (!isGroup(node)) {
    const known = count(node);
    return known === undefined ? undefined : { terms: [node], count: known };
  }
  const choices = node.of.map((part) => fewest(part, count));
  if (node.kind === 'and') {
    return choices
      .filter((choice) => choice !== undefined)
      .reduce<Choice | undefined>(
        (best, next) => (best && best.count <= next.count ? best : next),
        undefined,
      );
  }
  return choices.reduce(
    (all, next) => all && next && { terms: [...all.terms, ...next.terms], count: all.count + next.count },
    { terms: [], count: 0 },
  );
}

/** The terms of a search, each where it stands, without those under a NOT. */
export function wanted(node: SearchNode): SearchTerm[] {
  if (node.kind === 'not') return [];
  return isGroup(node) ? node.of.flatMap(wanted) : [node];
}
