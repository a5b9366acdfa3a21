/** A field's value: from its text to the term that it makes, or to what is wrong with it. */
import { versionStatuses } from '../platform/database.types.ts';
import { shown } from '../name/name.ts';
import { readDay, readTime } from '../text/time.ts';
import { suggestion } from '../text/nearest.ts';
import type { Operator, SearchField } from './search.fields.ts';
import { fault, skipSpace, takeCharacter, takeWord, type Reader, type Word } from './search.reader.ts';
import {
  negation,
  type AgeUnit,
  type Compared,
  type Comparison,
  type Moment,
  type Pattern,
  type SearchNode,
  type SearchTerm,
  type TextField,
} from './search.tree.ts';

const MAX_WILDCARDS = 10;

/** The term of a field whose operator was just read. @throws ValidationError for a value that it does not take. */
export function toTerm(reader: Reader, field: SearchField, operator: Operator, metric: string): SearchNode {
  switch (field.kind) {
    case 'tag':
      return tagTerm(reader);
    case 'created':
      return withoutNot({ kind: 'created', compared: compared(reader, operator, takeMoment, field) });
    case 'amount': {
      const read = field.name === 'bytes' ? toBytes : toWhole;
      return withoutNot({
        kind: 'amount',
        field: field.name,
        compared: compared(reader, operator, read, field),
      });
    }
    case 'metric':
      return { kind: 'metric', metric, compared: compared(reader, operator, toNumber, field) };
    default: {
      const term = wordTerm(reader, field, takeWord(reader, `a value of ${field.name}`));
      return operator === '!=' ? negation(term) : term;
    }
  }
}

/** These have a value always, so that "another one" is "not this one". */
function withoutNot(term: Extract<SearchTerm, { kind: 'created' | 'amount' }>): SearchNode {
  if (term.compared.is !== '!=') return term;
  return negation({ ...term, compared: { ...term.compared, is: '=' } } as SearchTerm);
}

type WordField = Extract<SearchField, { kind: 'text' | 'status' | 'flag' }>;

function wordTerm(reader: Reader, field: WordField, word: Word): SearchTerm {
  const wrong = (expected: string, hint?: string) =>
    fault(reader, expected, { at: word.at, found: shown(word.text), hint });
  if (field.kind === 'flag') {
    const value = word.text.toLowerCase();
    if (value !== 'true' && value !== 'false') throw wrong('true or false');
    return { kind: 'flag', field: field.name, value: value === 'true' };
  }
  if (field.kind === 'status') {
    const status = versionStatuses.find((each) => each === word.text.toUpperCase());
    if (status) return { kind: 'status', status };
    const all = versionStatuses.join(', ');
    throw wrong(`one of ${all}`, suggestion(word.text, versionStatuses) || undefined);
  }
  const pattern = toPattern(reader, word);
  if (word.text === '') throw wrong(`a ${field.name} that is not empty`);
  if (field.name === 'digest' && !isDigest(pattern)) {
    throw wrong('64 lower-case hex digits, or the first of them and "*"');
  }
  return { kind: 'text', field: field.name satisfies TextField, pattern };
}

function isDigest([digits, rest, ...more]: Pattern): boolean {
  if (rest === undefined) return /^[0-9a-f]{64}$/.test(digits);
  return rest === '' && more.length === 0 && /^[0-9a-f]{0,64}$/.test(digits);
}

function tagTerm(reader: Reader): SearchTerm {
  const key = takeWord(reader, 'a tag such as stage or stage=dev', /[^\s()"=!<>]+/y);
  if (key.text === '') throw fault(reader, "a tag's key", { at: key.at, found: '""' });
  const end = reader.at;
  skipSpace(reader);
  const found = reader.text[reader.at];
  if (found !== undefined && '!<>'.includes(found)) {
    throw fault(reader, '"=" or the end of the tag', {
      hint: 'NOT tag:key=value finds what does not have it.',
    });
  }
  if (!takeCharacter(reader, '=')) {
    reader.at = end;
    return { kind: 'tag', key: toPattern(reader, key), value: null };
  }
  skipSpace(reader);
  const value = takeWord(reader, "the tag's value");
  return { kind: 'tag', key: toPattern(reader, key), value: toPattern(reader, value) };
}

/** The literal pieces of a text in Unicode's NFC form; several wildcards in a row are one. */
export function toPattern(reader: Reader, word: Word): Pattern {
  if (word.quoted) return [word.text.normalize('NFC')];
  const pieces = word.text.replaceAll(/\*+/g, '*').split('*');
  if (pieces.length - 1 > MAX_WILDCARDS) {
    throw fault(reader, `at most ${MAX_WILDCARDS} "*"`, { at: word.at, found: String(pieces.length - 1) });
  }
  return pieces.map((piece) => piece.normalize('NFC')) as [string, ...string[]];
}

/** Reads one value, or says what is wrong with it. */
type Read<T> = (text: string) => { readonly value: T } | { readonly fault: string };

function compared<T>(reader: Reader, operator: Operator, read: Read<T>, field: SearchField): Compared<T> {
  const expected = expectedOf[field.name] ?? 'a number';
  const word = takeWord(reader, expected);
  const one = (text: string, offset: number): T => {
    const result = read(text);
    if ('value' in result) return result.value;
    const hint = text === '' && !word.quoted ? 'An open end of a range is "*".' : undefined;
    throw fault(reader, expected, { at: word.at + offset, found: result.fault, hint });
  };
  const gap = word.quoted ? -1 : word.text.indexOf('..');
  if (gap < 0) {
    const is: Comparison = operator === ':' ? '=' : operator;
    return { is, value: one(word.text, 0) };
  }
  if (operator !== ':' && operator !== '=') {
    throw fault(reader, `one value after "${operator}"`, {
      at: word.at,
      found: `the range ${shown(word.text)}`,
    });
  }
  const [low, high] = [word.text.slice(0, gap), word.text.slice(gap + 2)];
  return {
    is: 'range',
    from: low === '*' ? null : one(low, 0),
    to: high === '*' ? null : one(high, gap + 2),
  };
}

const expectedOf: Partial<Record<SearchField['name'], string>> = {
  created: 'a time such as 2026-11-01T00:00Z, a day such as 2026-11-01, or an age such as 7d, 24h or 30m',
  bytes: 'a size such as 500, 10MB or 1.5GiB',
  number: 'a whole number',
};

const MAX_AGE = 100_000;

function takeMoment(text: string): ReturnType<Read<Moment>> {
  const [, count, unit] = /^(\d+)([dhm])$/i.exec(text) ?? [];
  if (count !== undefined && unit !== undefined) {
    if (Number(count) > MAX_AGE) return { fault: `${shown(text)}, which is more than ${MAX_AGE}` };
    return { value: { kind: 'ago', count: Number(count), unit: unit.toLowerCase() as AgeUnit } };
  }
  if (text.length === 10) {
    const day = readDay(text);
    return 'fault' in day ? day : { value: { kind: 'day', day: text } };
  }
  const read = readTime(text);
  return 'fault' in read ? read : { value: { kind: 'time', time: read.time } };
}

const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

function toNumber(text: string): ReturnType<Read<number>> {
  const value = decimal.test(text) ? Number(text) : Number.NaN;
  // Zero has no sign here.
  return Number.isFinite(value) ? { value: value + 0 } : { fault: shown(text) };
}

function toWhole(text: string): ReturnType<Read<number>> {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? { value } : { fault: shown(text) };
}

const sizes: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};

function toBytes(text: string): ReturnType<Read<number>> {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)([a-z]*)$/i.exec(text) ?? [];
  const size = sizes[unit.toLowerCase()];
  if (amount === undefined || size === undefined) return { fault: shown(text) };
  const value = Math.round(Number(amount) * size);
  return Number.isSafeInteger(value) ? { value } : { fault: shown(text) };
}
