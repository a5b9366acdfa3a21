/** Writes a search so that it reads back as the same tree. */
import { keywords } from './search.reader.ts';
import {
  isGroup,
  type Compared,
  type Moment,
  type Pattern,
  type SearchNode,
  type SearchTerm,
} from './search.tree.ts';

export function printSearch(node: SearchNode): string {
  switch (node.kind) {
    case 'or':
      return node.of.map(printSearch).join(' OR ');
    case 'and':
      return node.of
        .map((part) => (part.kind === 'or' ? `(${printSearch(part)})` : printSearch(part)))
        .join(' AND ');
    case 'not':
      return isGroup(node.of) ? `NOT (${printSearch(node.of)})` : `NOT ${printSearch(node.of)}`;
    default:
      return printTerm(node);
  }
}

function printTerm(term: SearchTerm): string {
  switch (term.kind) {
    case 'word':
      return printPattern(term.pattern, (text) => keywords.test(text) || /[:=!<>]/.test(text));
    case 'text':
      return `${term.field}:${printPattern(term.pattern)}`;
    case 'tag': {
      const key = printPattern(term.key, (text) => /[=!<>]/.test(text));
      return term.value === null ? `tag:${key}` : `tag:${key}=${printPattern(term.value)}`;
    }
    case 'status':
      return `status:${term.status}`;
    case 'flag':
      return `${term.field}:${term.value}`;
    case 'created':
      return `created${printCompared(term.compared, printMoment)}`;
    case 'amount':
      return `${term.field}${printCompared(term.compared, String)}`;
    default:
      return `metric.${term.metric}${printCompared(term.compared, String)}`;
  }
}

/** Text with wildcards can only have been a word; other text is quoted where it would be read as something else. */
function printPattern(pattern: Pattern, misleads: (text: string) => boolean = () => false): string {
  const [text, ...more] = pattern;
  if (more.length > 0) return pattern.join('*');
  const isPlain = /^[^\s()"*=!<>][^\s()"*]*$/.test(text) && !misleads(text);
  return isPlain ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

function printCompared<T>(compared: Compared<T>, print: (value: T) => string): string {
  if (compared.is === 'range') {
    const [from, to] = [compared.from, compared.to].map((end) => (end === null ? '*' : print(end)));
    return `:${from}..${to}`;
  }
  return compared.is === '=' ? `:${print(compared.value)}` : ` ${compared.is} ${print(compared.value)}`;
}

function printMoment(moment: Moment): string {
  if (moment.kind === 'ago') return `${moment.count}${moment.unit}`;
  return moment.kind === 'day' ? moment.day : moment.time.toISOString();
}
