/** What a search means, without SQL: the plain reading of the tree, for comparison. */
import {
  ageUnits,
  type Compared,
  type Moment,
  type Pattern,
  type SearchNode,
  type SearchTerm,
  type TextField,
} from '#src/search/search.tree.ts';

/** All that a search may ask about a version. */
export interface Searched {
  readonly id: string;
  readonly model: string;
  readonly number: number;
  readonly status: string;
  readonly message: string | null;
  readonly author: string;
  /** Microseconds since 1970. */
  readonly created: bigint;
  readonly format: string;
  readonly bytes: number;
  readonly digest: string;
  readonly tags: readonly { readonly key: string; readonly value: string }[];
  readonly archived: boolean;
  readonly metrics: Readonly<Record<string, number>>;
  readonly aliases: readonly string[];
  /** Names of deployments that are not STOPPED. */
  readonly deployments: readonly string[];
}

export function isMatch(node: SearchNode, version: Searched, now: Date): boolean {
  switch (node.kind) {
    case 'and':
      return node.of.every((part) => isMatch(part, version, now));
    case 'or':
      return node.of.some((part) => isMatch(part, version, now));
    case 'not':
      return !isMatch(node.of, version, now);
    default:
      return isTermMatch(node, version, now);
  }
}

function isTermMatch(term: SearchTerm, version: Searched, now: Date): boolean {
  switch (term.kind) {
    case 'word':
      return holds(version.model, term.pattern) || holds(version.message, term.pattern);
    case 'text':
      return textsOf(version)[term.field](term.pattern);
    case 'tag':
      return version.tags.some(
        ({ key, value }) => equals(key, term.key) && (term.value === null || equals(value, term.value)),
      );
    case 'status':
      return version.status === term.status;
    case 'flag':
      return (term.field === 'archived' ? version.archived : version.deployments.length > 0) === term.value;
    case 'created':
      return isWithin(version.created, term.compared, now);
    case 'amount':
      return compare(version[term.field], term.compared);
    default: {
      const value = version.metrics[term.metric];
      return value !== undefined && compare(value, term.compared);
    }
  }
}

const textsOf = (version: Searched): Record<TextField, (pattern: Pattern) => boolean> => ({
  name: (pattern) => equals(version.model, pattern),
  author: (pattern) => equals(version.author, pattern),
  alias: (pattern) => version.aliases.some((alias) => equals(alias, pattern)),
  deployment: (pattern) => version.deployments.some((name) => equals(name, pattern)),
  format: (pattern) => expression(pattern, 'i').test(version.format),
  message: (pattern) => holds(version.message, pattern),
  digest: (pattern) => equals(version.digest, pattern),
});

function expression(pattern: Pattern, flags = ''): RegExp {
  const pieces = pattern.map((piece) => piece.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${pieces.join('[^]*')}$`, flags);
}

const equals = (text: string, pattern: Pattern): boolean => expression(pattern).test(text);

function holds(text: string | null, pattern: Pattern): boolean {
  if (text === null) return false;
  const [first, ...rest] = pattern;
  return expression(['', first, ...rest, ''], 'i').test(text);
}

function compare<T extends number | bigint>(value: T, compared: Compared<T>): boolean {
  switch (compared.is) {
    case 'range':
      return (
        (compared.from === null || value >= compared.from) && (compared.to === null || value <= compared.to)
      );
    case '=':
      return value === compared.value;
    case '!=':
      return value !== compared.value;
    case '>':
      return value > compared.value;
    case '>=':
      return value >= compared.value;
    case '<':
      return value < compared.value;
    default:
      return value <= compared.value;
  }
}

/** Compares in whole days or milliseconds, as people see them. */
function isWithin(created: bigint, compared: Compared<Moment>, now: Date): boolean {
  const against = (moment: Moment): number => {
    const unit = moment.kind === 'day' ? ageUnits.d : 1;
    const at =
      moment.kind === 'day'
        ? Date.parse(moment.day)
        : moment.kind === 'time'
          ? moment.time.getTime()
          : now.getTime() - moment.count * ageUnits[moment.unit];
    const units = (ms: number): number => Math.floor(ms / unit);
    return units(Number(created / 1000n)) - units(at);
  };
  if (compared.is !== 'range') return compare(against(compared.value), { is: compared.is, value: 0 });
  const { from, to } = compared;
  return (from === null || against(from) >= 0) && (to === null || against(to) <= 0);
}
