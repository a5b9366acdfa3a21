/** A search's text while it is read: where the reader stands, and what it can take there. */
import type { ValidationError } from '../platform/errors.ts';
import { characterAt, syntaxError } from '../text/syntax.ts';
import type { Operator } from './search.fields.ts';

export interface Reader {
  readonly path: readonly (string | number)[];
  readonly text: string;
  at: number;
  terms: number;
  /** Parentheses that are open. */
  depth: number;
}

/** A word as it stands, or what a quoted text says. */
export interface Word {
  readonly text: string;
  readonly quoted: boolean;
  /** Where it starts. */
  readonly at: number;
}

export function fault(
  reader: Reader,
  expected: string,
  options: { readonly at?: number; readonly found?: string; readonly hint?: string | undefined } = {},
): ValidationError {
  return syntaxError(reader.path, reader.text, options.at ?? reader.at, expected, options);
}

export const keywords = /^(and|or|not)$/i;

/** What a sticky expression matches where the reader stands, taken; undefined leaves the reader where it is. */
function take(reader: Reader, what: RegExp): string | undefined {
  what.lastIndex = reader.at;
  const taken = what.exec(reader.text)?.[0];
  reader.at += taken?.length ?? 0;
  return taken;
}

export function skipSpace(reader: Reader): void {
  take(reader, /\s*/y);
}

export function takeCharacter(reader: Reader, character: '(' | ')' | '='): boolean {
  if (reader.text[reader.at] !== character) return false;
  reader.at += 1;
  return true;
}

const bare = /[^\s()"]+/y;

/** Takes one of the keywords, in any case, after spaces. */
export function takeKeyword(reader: Reader, keyword: 'and' | 'or' | 'not'): boolean {
  skipSpace(reader);
  const start = reader.at;
  if (take(reader, bare)?.toLowerCase() === keyword) return true;
  reader.at = start;
  return false;
}

/** Takes a field's name with the operator behind it; undefined where none stands. */
export function takeField(reader: Reader): { name: string; at: number; operator: Operator } | undefined {
  const at = reader.at;
  const name = take(reader, /[^\s()":=!<>*]*/y) ?? '';
  const operator = takeOperator(reader);
  if (operator !== undefined) return { name, at, operator };
  reader.at = at;
  return undefined;
}

/** After `:` may stand another one, which is then meant: `created:>2026-11-01`. */
function takeOperator(reader: Reader): Operator | undefined {
  const taken = take(reader, /\s*(?::\s*(?:!=|>=|<=|[=<>])?|!=|>=|<=|[=<>])\s*/y);
  if (taken === undefined) return undefined;
  return (/(?:!=|>=|<=|[=<>])/.exec(taken)?.[0] ?? ':') as Operator;
}

/**
 * Takes a quoted text or a word.
 * @param until characters that end the word, of those that may stand in one.
 * @throws ValidationError that expected `expected`.
 */
export function takeWord(reader: Reader, expected: string, until?: RegExp): Word {
  const at = reader.at;
  if (reader.text[at] === '"') return { text: takeQuoted(reader), quoted: true, at };
  const text = /^(?:[=<>]|!=)/.test(reader.text.slice(at, at + 2)) ? undefined : take(reader, until ?? bare);
  if (text === undefined) throw fault(reader, expected);
  return { text, quoted: false, at };
}

/** Only `\"` and `\\` are escapes: of others it would not be clear what they mean. */
function takeQuoted(reader: Reader): string {
  const start = reader.at;
  take(reader, /"(?:[^"\\]|\\["\\])*/y);
  const end = characterAt(reader.text, reader.at);
  if (end === '\\') {
    throw fault(reader, '\\" or \\\\', {
      found: JSON.stringify(reader.text.slice(reader.at, reader.at + 2)),
    });
  }
  if (end === '') throw fault(reader, '" at the end of the text', { hint: 'A text in quotes is left open.' });
  reader.at += 1;
  return reader.text.slice(start + 1, reader.at - 1).replaceAll(/\\(["\\])/g, '$1');
}
