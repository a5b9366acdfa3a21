/**
 * What a search means, as a tree. Normalised: `and` and `or` have at least two parts, none of them of the same kind;
 * `not` holds no `not`; `!=` is a `not` (but that of a metric, which must be there to differ).
 */
import type { VersionStatus } from '../platform/database.types.ts';

export type SearchNode = SearchGroup | SearchNot | SearchTerm;

export interface SearchGroup {
  readonly kind: 'and' | 'or';
  readonly of: readonly SearchNode[];
}

export interface SearchNot {
  readonly kind: 'not';
  readonly of: SearchTerm | SearchGroup;
}

export type SearchTerm =
  | { readonly kind: 'word'; readonly pattern: Pattern }
  | { readonly kind: 'text'; readonly field: TextField; readonly pattern: Pattern }
  | { readonly kind: 'tag'; readonly key: Pattern; readonly value: Pattern | null }
  | { readonly kind: 'status'; readonly status: VersionStatus }
  | { readonly kind: 'flag'; readonly field: FlagField; readonly value: boolean }
  | { readonly kind: 'created'; readonly compared: Compared<Moment> }
  | { readonly kind: 'amount'; readonly field: AmountField; readonly compared: Compared<number> }
  | { readonly kind: 'metric'; readonly metric: string; readonly compared: Compared<number> };

export const textFields = ['name', 'alias', 'author', 'format', 'deployment', 'message', 'digest'] as const;
export type TextField = (typeof textFields)[number];
export type FlagField = 'deployed' | 'archived';
export type AmountField = 'bytes' | 'number';

/** The literal pieces around wildcards: `fraud*` is `['fraud', '']`, a text without a wildcard is one piece. */
export type Pattern = readonly [string, ...string[]];

export type Comparison = '=' | '!=' | '>' | '>=' | '<' | '<=';

/** Against a value, or within a range with both ends in it; null leaves an end open. */
export type Compared<T> =
  | { readonly is: Comparison; readonly value: T }
  | { readonly is: 'range'; readonly from: T | null; readonly to: T | null };

/** A whole day in UTC, a millisecond, or the millisecond that was so long ago. */
export type Moment =
  | { readonly kind: 'day'; readonly day: string }
  | { readonly kind: 'time'; readonly time: Date }
  | { readonly kind: 'ago'; readonly count: number; readonly unit: AgeUnit };

export const ageUnits = { d: 86_400_000, h: 3_600_000, m: 60_000 } as const;
export type AgeUnit = keyof typeof ageUnits;

/** The group of some parts in normal form: without parts of its own kind, the part itself where it is the only one. */
export function group(kind: SearchGroup['kind'], parts: readonly [SearchNode, ...SearchNode[]]): SearchNode {
  const of = parts.flatMap((part) => (part.kind === kind ? part.of : [part]));
  return of.length === 1 ? (of[0] as SearchNode) : { kind, of };
}

export function isGroup(node: SearchNode): node is SearchGroup {
  return node.kind === 'and' || node.kind === 'or';
}

export function negation(node: SearchNode): SearchNode {
  return node.kind === 'not' ? node.of : { kind: 'not', of: node };
}

/** The same with every NOT at a term: what must be there is then told from what must not (De Morgan). */
export function withNotAtTerms(node: SearchNode, negated = false): SearchNode {
  switch (node.kind) {
    case 'and':
    case 'or': {
      const kind = (node.kind === 'and') === negated ? 'or' : 'and';
      const of = node.of.map((part) => withNotAtTerms(part, negated));
      return group(kind, of as [SearchNode, ...SearchNode[]]);
    }
    case 'not':
      return withNotAtTerms(node.of, !negated);
    case 'flag':
      return negated ? { ...node, value: !node.value } : node;
    default:
      return negated ? { kind: 'not', of: node } : node;
  }
}
