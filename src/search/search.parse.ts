/**
 * Reads a search, such as `name:fraud* AND (metric.accuracy > 0.93 OR alias:champion) AND NOT tag:stage=dev`:
 *
 *     search := all ("OR" all)*
 *     all    := part (["AND"] part)*
 *     part   := "NOT" part | "(" search ")" | field operator value | word
 *
 * AND, OR and NOT are keywords in any case; in quotes they are words. A word alone means that the model's name or the
 * version's message holds it. `*` in a word stands for any characters; in quotes it is itself.
 */
import { shown } from '../name/name.ts';
import type { ValidationError } from '../platform/errors.ts';
import { checkLength, columnAt } from '../text/syntax.ts';
import { suggestion } from '../text/nearest.ts';
import { searchFields, type Operator, type SearchField } from './search.fields.ts';
import {
  fault,
  keywords,
  skipSpace,
  takeCharacter,
  takeField,
  takeKeyword,
  takeWord,
  type Reader,
} from './search.reader.ts';
import { group, negation, type SearchNode, type SearchTerm } from './search.tree.ts';
import { toPattern, toTerm } from './search.value.ts';

const MAX_LENGTH = 2000;
const MAX_TERMS = 50;
const MAX_DEPTH = 20;

/** @throws ValidationError at `path`, with the column, what was expected there and what was found. */
export function parseSearch(path: readonly (string | number)[], text: string): SearchNode {
  checkLength(path, text, MAX_LENGTH);
  const reader: Reader = { path, text, at: 0, terms: 0, depth: 0 };
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  const control = text.search(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/);
  if (control >= 0) throw fault(reader, 'text without control characters', { at: control });
  const node = readAny(reader);
  // Whatever is no term ends the last group: only a parenthesis is left.
  if (reader.at < text.length) throw fault(reader, 'a term or the end');
  return node;
}

function readAny(reader: Reader): SearchNode {
  const parts: [SearchNode, ...SearchNode[]] = [readAll(reader)];
  while (takeKeyword(reader, 'or')) parts.push(readAll(reader));
  return group('or', parts);
}

function readAll(reader: Reader): SearchNode {
  const parts: [SearchNode, ...SearchNode[]] = [readPart(reader)];
  while (takeKeyword(reader, 'and') || continues(reader)) parts.push(readPart(reader));
  return group('and', parts);
}

/** Whether another part follows without AND. */
function continues(reader: Reader): boolean {
  const { at } = reader;
  const ends = at === reader.text.length || reader.text[at] === ')' || takeKeyword(reader, 'or');
  reader.at = at;
  return !ends;
}

/** NOT after NOT is counted rather than nested: a text full of them is no deep tree. */
function readPart(reader: Reader): SearchNode {
  let negated = false;
  while (takeKeyword(reader, 'not')) negated = !negated;
  const node = takeCharacter(reader, '(') ? readRest(reader) : readTerm(reader);
  skipSpace(reader);
  return negated ? negation(node) : node;
}

/** What follows an opening parenthesis, up to and with the closing one. */
function readRest(reader: Reader): SearchNode {
  const opened = reader.at - 1;
  if (reader.depth === MAX_DEPTH) {
    throw fault(reader, `at most ${MAX_DEPTH} parentheses in each other`, { at: opened, found: 'one more' });
  }
  reader.depth += 1;
  const node = readAny(reader);
  reader.depth -= 1;
  if (takeCharacter(reader, ')')) return node;
  throw fault(reader, '")"', {
    hint: `The parenthesis at column ${columnAt(reader.text, opened)} is still open.`,
  });
}

function readTerm(reader: Reader): SearchNode {
  reader.terms += 1;
  if (reader.terms > MAX_TERMS) throw fault(reader, `at most ${MAX_TERMS} terms`, { found: 'one more' });
  const field = takeField(reader);
  const node = field ? readField(reader, field) : readWord(reader);
  if (/[^\s()]/.test(reader.text.charAt(reader.at))) throw fault(reader, 'a space or the end after a term');
  return node;
}

function readWord(reader: Reader): SearchTerm {
  const expected = 'a term such as name:fraud* or "some text"';
  const word = takeWord(reader, expected);
  if (!word.quoted && keywords.test(word.text)) {
    throw fault(reader, expected, {
      at: word.at,
      found: shown(word.text),
      hint: 'In quotes it is a word to search for.',
    });
  }
  if (word.text === '') throw fault(reader, 'a text that is not empty', { at: word.at, found: '""' });
  return { kind: 'word', pattern: toPattern(reader, word) };
}

function readField(
  reader: Reader,
  { name, at, operator }: { name: string; at: number; operator: Operator },
): SearchNode {
  const metric = /^metric\.(.+)/is.exec(name)?.[1];
  const key = metric === undefined ? name.toLowerCase() : 'metric';
  const field = searchFields.find((candidate) => candidate.name === key);
  if (!field || (field.kind === 'metric' && metric === undefined)) throw unknownField(reader, name, at);
  if (!field.operators.includes(operator)) throw refusedOperator(reader, field, operator, at);
  return toTerm(reader, field, operator, metric?.normalize('NFC') ?? '');
}

const metricExample = 'metric.<name>, such as metric.accuracy';
const fieldNames = searchFields.map(({ name }) => name);

function unknownField(reader: Reader, name: string, at: number): ValidationError {
  if (name === '') return fault(reader, 'a field before the operator', { at, found: 'none' });
  const [head = ''] = name.toLowerCase().split('.');
  const near = head === 'metric' ? `Write ${metricExample}.` : suggestion(head, fieldNames);
  const all = fieldNames.map((each) => (each === 'metric' ? 'metric.<name>' : each)).join(', ');
  return fault(reader, 'a field', {
    at,
    found: shown(name),
    hint: `${near === '' ? `Fields: ${all}.` : near} Text that holds an operator is searched for in quotes.`,
  });
}

function refusedOperator(
  reader: Reader,
  field: SearchField,
  operator: Operator,
  at: number,
): ValidationError {
  const hints: Partial<Record<Operator, string>> = {
    '!=': `NOT ${field.example} finds what does not have it.`,
    '=': `As in ${field.example}.`,
  };
  const behind = at + field.name.length;
  const offset = behind + reader.text.slice(behind).search(/[:=!<>]/);
  return fault(reader, `${field.operators.map((each) => `"${each}"`).join(' or ')} after ${field.name}`, {
    at: offset,
    found: JSON.stringify(operator),
    hint: hints[operator],
  });
}
