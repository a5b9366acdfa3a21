import { GraphQLError, valueFromASTUntyped, type ValueNode } from 'graphql';
import { Upload } from './http/upload.ts';
import { builder } from './builder.ts';
import { toRfc3339 } from './rfc3339.ts';

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
};
const refuse = (expected: string, value: unknown): never => {
  throw new GraphQLError(`Expected ${expected}, found ${shown(value)}.`);
};
const text = (expected: string) => (value: unknown) =>
  typeof value === 'string' ? value : refuse(expected, value);

/**
 * A value written into the document instead of sent as a variable. Declared without parameters: graphql-jit complains
 * about any scalar that declares two, also where no variable is involved (where one is, documents are not compiled).
 */
const literal =
  <T>(parse: (value: unknown) => T) =>
  (...[node, variables]: [ValueNode, Record<string, unknown> | null | undefined]): T =>
    parse(valueFromASTUntyped(node, variables));

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/;

/** Date takes the 30th of February for the 2nd of March, and 24:00 for the next day. */
function isOnCalendar(value: string): boolean {
  const day = value.slice(0, 10);
  const midnight = new Date(`${day}T00:00Z`);
  return (
    !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day) && value.slice(11, 13) < '24'
  );
}

const parseDateTime = (value: unknown) => {
  const time =
    typeof value === 'string' && rfc3339.test(value) && isOnCalendar(value) ? new Date(value) : undefined;
  return time && !Number.isNaN(time.getTime()) ? time : refuse('an RFC 3339 time with a zone', value);
};

builder.scalarType('DateTime', {
  description: 'A time as RFC 3339, in UTC when it is answered: 2026-11-01T12:00:00.000Z.',
  serialize: toRfc3339,
  parseValue: parseDateTime,
  parseLiteral: literal(parseDateTime),
});

const parseBigInt = (value: unknown) => {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value === 'string' && /^-?\d{1,40}$/.test(value)) return BigInt(value);
  return refuse('a whole number, beyond 2^53 - 1 as a string', value);
};

builder.scalarType('BigInt', {
  description: 'A whole number without bound. A JSON number up to 2^53 - 1, beyond that a string of digits.',
  serialize: (value) => {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  },
  parseValue: parseBigInt,
  parseLiteral: literal(parseBigInt),
});

const parseSha256 = (value: unknown) =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
    ? value
    : refuse('64 lower-case hex digits', value);

builder.scalarType('Sha256', {
  description: 'A SHA-256 digest: 64 lower-case hex digits.',
  serialize: (value) => value,
  parseValue: parseSha256,
  parseLiteral: literal(parseSha256),
});

const parseTensor = (value: unknown) =>
  Array.isArray(value) ? value : refuse('a list of values, flat or nested', value);

builder.scalarType('Tensor', {
  description:
    'Values of a tensor in row-major order, flat or nested: numbers, strings, booleans. NaN and infinities are the ' +
    'strings "NaN", "Infinity", "-Infinity"; 64-bit integers beyond 2^53 - 1 are strings of digits. Checked ' +
    "against the version's signature.",
  serialize: (value) => value,
  parseValue: parseTensor,
  parseLiteral: literal(parseTensor),
});

const parseRow = (value: unknown) =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : refuse('an object of column names and values', value);

builder.scalarType('Row', {
  description: "One row: an object of column names and values. Checked against the version's signature.",
  serialize: (value) => value,
  parseValue: parseRow,
  parseLiteral: literal(parseRow),
});

const parseJSON = (value: unknown) => value;

builder.scalarType('JSON', {
  description: 'Any JSON value.',
  serialize: (value) => value,
  parseValue: parseJSON,
  parseLiteral: literal(parseJSON),
});

builder.scalarType('Upload', {
  description:
    'A file, sent as the GraphQL multipart request specification says: a form with the parts `operations`, `map`, ' +
    'and then the files, in this order.',
  serialize: () => refuse('nothing: files are only sent', null),
  parseValue: (value) =>
    value instanceof Upload ? value : refuse('a file of a multipart/form-data request', value),
});

const parseVersionRef = text('a version as text');

builder.scalarType('VersionRef', {
  description:
    'A version: its id, or a reference as in Git: `fraud:12`, `fraud@champion` (an alias), `fraud@latest` (the highest ' +
    'number), `fraud@champion{2026-11-01T00:00Z}` (at that time); behind it `~2` (first parent, twice) and `^2` (second ' +
    'parent). With the project before it where none is given: `demo/fraud:12`.',
  serialize: (value) => value,
  parseValue: parseVersionRef,
  parseLiteral: literal(parseVersionRef),
});
