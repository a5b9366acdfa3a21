import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ValidationError } from '#src/platform/errors.ts';
import { searchFields } from '#src/search/search.fields.ts';
import { parseSearch } from '#src/search/search.parse.ts';
import { printSearch } from '#src/search/search.print.ts';
import type { SearchNode, SearchTerm } from '#src/search/search.tree.ts';
import { searches } from './arbitrary.ts';

const parse = (text: string): SearchNode => parseSearch(['query'], text);

function errorOf(text: string): ValidationError {
  try {
    parse(text);
  } catch (error) {
    expect(error).toBeInstanceOf(ValidationError);
    return error as ValidationError;
  }
  throw new Error(`${text} was accepted.`);
}

const word = (...pattern: string[]) => ({ kind: 'word', pattern });
const text = (field: string, ...pattern: string[]) => ({ kind: 'text', field, pattern });
const tag = (key: string[], value: string[] | null = null) => ({ kind: 'tag', key, value });
const metric = (name: string, is: string, value: number) => ({
  kind: 'metric',
  metric: name,
  compared: { is, value },
});
const and = (...of: object[]) => ({ kind: 'and', of });
const or = (...of: object[]) => ({ kind: 'or', of });
const not = (of: object) => ({ kind: 'not', of });
const created = (compared: object) => ({ kind: 'created', compared });
const day = (date: string) => ({ kind: 'day', day: date });
const amount = (field: string, is: string, value: number) => ({
  kind: 'amount',
  field,
  compared: { is, value },
});
const [a, b, c] = [word('a'), word('b'), word('c')];

describe('what is meant', () => {
  test.each<[string, object]>([
    [
      'name:fraud* AND (metric.accuracy > 0.93 OR alias:champion) AND NOT tag:stage=dev',
      and(
        text('name', 'fraud', ''),
        or(metric('accuracy', '>', 0.93), text('alias', 'champion')),
        not(tag(['stage'], ['dev'])),
      ),
    ],
    ['a b or c', or(and(a, b), c)],
    ['a OR b AND NOT c', or(a, and(b, not(c)))],
    ['(a or b) c', and(or(a, b), c)],
    ['a AND (b AND c)', and(a, b, c)],
    ['((a))', a],
    ['not not a', a],
    ['NOT NOT NOT(a b)', not(and(a, b))],
    ['a(b)c', and(a, b, c)],
    [' a\n\tb ', and(a, b)],
    ['"and" "OR"', and(word('and'), word('OR'))],
    ['nota andb', and(word('nota'), word('andb'))],
    ['fra*d', word('fra', 'd')],
    ['"fra*d"', word('fra*d')],
    ['a***b', word('a', 'b')],
    ['"say \\"hi\\" \\\\ bye"', word('say "hi" \\ bye')],
    ['name = fraud', text('name', 'fraud')],
    ['NAME:fraud', text('name', 'fraud')],
    ['name:cafe\u0301', text('name', 'caf\u00e9')],
    ['author != ada', not(text('author', 'ada'))],
    ['NOT author != ada', text('author', 'ada')],
    ['tag:stage', tag(['stage'])],
    ['tag:stage = dev', tag(['stage'], ['dev'])],
    ['tag:stage=de* b', and(tag(['stage'], ['de', '']), b)],
    ['tag:"a b"="c d"', tag(['a b'], ['c d'])],
    ['tag:stage=""', tag(['stage'], [''])],
    ['tag:stage b', and(tag(['stage']), b)],
    ['status:ReadY', { kind: 'status', status: 'READY' }],
    ['status!=ready', not({ kind: 'status', status: 'READY' })],
    ['deployed:TRUE', { kind: 'flag', field: 'deployed', value: true }],
    ['metric.f1 != -1e-3', metric('f1', '!=', -0.001)],
    ['metric.a:-0', metric('a', '=', 0)],
    ['METRIC.Loss:.5', metric('Loss', '=', 0.5)],
    ['metric.a:-1..*', { kind: 'metric', metric: 'a', compared: { is: 'range', from: -1, to: null } }],
    ['created:>2026-11-01', created({ is: '>', value: day('2026-11-01') })],
    ['created: >= 2026-11-01', created({ is: '>=', value: day('2026-11-01') })],
    ['created != 2026-11-01', not(created({ is: '=', value: day('2026-11-01') }))],
    [
      'created:2026-11-01..2026-11-30',
      created({ is: 'range', from: day('2026-11-01'), to: day('2026-11-30') }),
    ],
    [
      'created<2026-11-01T01:00+01:00',
      created({ is: '<', value: { kind: 'time', time: new Date('2026-11-01T00:00Z') } }),
    ],
    ['created > 7d', created({ is: '>', value: { kind: 'ago', count: 7, unit: 'd' } })],
    ['bytes > 1.5kB', amount('bytes', '>', 1500)],
    ['bytes <= 2MiB', amount('bytes', '<=', 2 * 1024 ** 2)],
    ['number:12', amount('number', '=', 12)],
    ['message:"more data"', text('message', 'more data')],
    ['digest:9f86*', text('digest', '9f86', '')],
  ])('%s', (query, node) => {
    expect(parse(query)).toEqual(node);
    expect(parse(printSearch(parse(query)))).toEqual(node);
  });

  test('the example of every field', () => {
    for (const { example } of searchFields) expect(printSearch(parse(example))).toBeTruthy();
  });
});

describe('what is wrong is said with its place', () => {
  const term = 'a term such as name:fraud*';
  test.each<[string, number, string, string, string | null]>([
    ['', 1, term, 'the end', null],
    ['  ', 3, term, 'the end', null],
    ['a AND', 6, term, 'the end', null],
    ['OR a', 1, term, '"OR"', 'In quotes'],
    ['a OR AND b', 6, term, '"AND"', 'In quotes'],
    ['(a', 3, '")"', 'the end', 'The parenthesis at column 1 is still open.'],
    ['a)', 2, 'a term or the end', '")"', null],
    ['()', 2, term, '")"', null],
    ['"a', 3, '" at the end', 'the end', 'left open'],
    ['"a\\n"', 3, '\\" or \\\\', '"\\\\n"', null],
    ['"a"b', 4, 'a space or the end', '"b"', null],
    ['a"b"', 2, 'a space or the end', '"\\""', null],
    ['""', 1, 'a text that is not empty', '""', null],
    ['a\0b', 2, 'without control characters', '"\\u0000"', null],
    ['nme:x', 1, 'a field', '"nme"', 'Did you mean "name"?'],
    ['a statsu:x', 3, 'a field', '"statsu"', 'Did you mean "status"?'],
    ['http://x', 1, 'a field', '"http"', 'Text that holds an operator is searched for in quotes.'],
    ['zzz:1', 1, 'a field', '"zzz"', 'Fields: name, tag,'],
    ['metric > 1', 1, 'a field', '"metric"', 'metric.<name>'],
    ['metrc.x > 1', 1, 'a field', '"metrc.x"', 'Did you mean "metric"?'],
    [': x', 1, 'a field before', 'none', null],
    ['name > x', 6, '":" or "=" or "!=" after name', '">"', null],
    ['alias != x', 7, '":" or "=" after alias', '"!="', 'NOT alias:champion'],
    ['message = x', 9, '":" after message', '"="', null],
    ['tag:stage != dev', 11, '"=" or the end of the tag', '"!"', 'NOT tag:key=value'],
    ['name:', 6, 'a value of name', 'the end', null],
    ['name: ) ', 7, 'a value of name', '")"', null],
    ['name: ==x', 8, 'a value of name', '"="', null],
    ['tag:=x', 4, '":" after tag', '"="', 'As in tag:stage=dev'],
    ['tag: ""', 6, "a tag's key", '""', null],
    ['tag:stage=', 11, "the tag's value", 'the end', null],
    ['status:done', 8, 'one of PENDING', '"done"', null],
    ['status:redy', 8, 'one of PENDING', '"redy"', 'Did you mean "READY"?'],
    ['deployed:yes', 10, 'true or false', '"yes"', null],
    ['metric.a > 0,9', 12, 'a number', '"0,9"', null],
    ['metric.a > 1e999', 12, 'a number', '"1e999"', null],
    ['metric.a:1..x', 13, 'a number', '"x"', null],
    ['metric.a:..2', 10, 'a number', '""', 'An open end of a range is "*".'],
    ['metric.a > 1..2', 12, 'one value after ">"', 'the range "1..2"', null],
    ['number:1.5', 8, 'a whole number', '"1.5"', null],
    ['bytes > 5XB', 9, 'a size such as', '"5XB"', null],
    ['created:2026-02-30', 9, 'a time such as', 'no day that there is', null],
    ['created:2026-02-01T00:00', 9, 'a time such as', 'no zone', null],
    ['created > 100001d', 11, 'a time such as', 'more than 100000', null],
    ['digest:ABC*', 8, '64 lower-case hex digits', '"ABC*"', null],
    ['digest:abc', 8, '64 lower-case hex digits', '"abc"', null],
    ['name:*a*b*c*d*e*f*g*h*i*j*k', 6, 'at most 10 "*"', '11', null],
    [`a ${'x '.repeat(50)}`, 101, 'at most 50 terms', 'one more', null],
    [`${'('.repeat(21)}a`, 21, 'at most 20 parentheses', 'one more', null],
    ['𠮷 nme:x', 3, 'a field', '"nme"', null],
  ])('%j', (query, column, expected, found, hint) => {
    const error = errorOf(query);
    const [issue] = error.issues;
    expect(issue!.path).toEqual(['query']);
    expect(issue!.expected).toContain(expected);
    expect(issue!.found).toContain(found);
    expect(error.message).toBe(
      `query: column ${column}: expected ${issue!.expected}, found ${issue!.found}.`,
    );
    if (hint !== null) expect(error.hint).toContain(hint);
  });

  test('too long', () => {
    expect(errorOf('a'.repeat(2001)).message).toContain('at most 2,000 characters, found 2001');
  });
});

const texts = {
  words: [
    'a',
    'AND',
    'or',
    'a b',
    'a*b',
    '*',
    '"',
    '\\',
    'x\\"y',
    '%_',
    '=a',
    '<',
    '!',
    'a:b',
    '..',
    '(',
    'é',
    '\t',
  ],
  keys: ['stage', 'a b', 'k=v', '!', 'a"b'],
  values: ['', 'dev', 'de v', '=', '*'],
  metrics: ['accuracy', 'f1..2', 'Ä'],
  days: ['2026-11-01', '9999-12-31', '0001-01-01'],
  times: [new Date('2026-11-01T00:00:00.123Z'), new Date('0050-01-01T00:00Z')],
  digests: ['9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'],
};

describe('for every search', () => {
  test('printed and read it is the same', () => {
    const kinds = new Set<SearchNode['kind'] | SearchTerm['kind']>();
    fc.assert(
      fc.property(searches(texts), (node) => {
        const printed = printSearch(node);
        fc.pre(printed.length <= 2000);
        expect(parse(printed)).toEqual(node);
        expect(printSearch(parse(printed))).toBe(printed);
        kinds.add(node.kind);
      }),
      { numRuns: 2000 },
    );
    expect(kinds.size).toBeGreaterThan(8);
  });

  test('any text is read or refused with a ValidationError', () => {
    const piece = fc.oneof(
      {
        arbitrary: fc.constantFrom(
          ...'():=!<>*"\\. '.split(''),
          'and',
          'OR ',
          'not ',
          '..',
          '7d',
          '2026-11-01',
          '\0',
          '\u0301',
        ),
        weight: 4,
      },
      {
        arbitrary: fc.constantFrom('name:', 'tag:', 'metric.a>', 'created:', 'bytes<', 'a ', 'b', '"c"'),
        weight: 4,
      },
      { arbitrary: fc.string({ unit: 'binary', maxLength: 3 }), weight: 1 },
    );
    let read = 0;
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
        try {
          const node = parse(pieces.join(''));
          read += 1;
          expect(parse(printSearch(node))).toEqual(node);
        } catch (error) {
          if (!(error instanceof ValidationError)) throw error;
        }
      }),
      { numRuns: 10_000 },
    );
    expect(read).toBeGreaterThan(500);
  });

  test('long texts of one kind are read in linear time: this ends', () => {
    const units = [
      '(',
      ')',
      'not ',
      'a ',
      '"',
      '\\',
      '*',
      ':',
      '= ',
      'a:',
      'a*',
      '..',
      ' ',
      '"a',
      '1',
      '\ud800',
      'or ',
    ];
    for (const start of ['', 'name:', 'tag:', 'tag:a=', 'metric.a:', 'created:', 'bytes:', '"', 'digest:']) {
      for (const unit of units) {
        for (const length of [1900, 1_000_000]) {
          try {
            parse(start + unit.repeat(length / unit.length));
          } catch (error) {
            expect(error).toBeInstanceOf(ValidationError);
            expect((error as Error).message.length).toBeLessThan(500);
          }
        }
      }
    }
  });
});
