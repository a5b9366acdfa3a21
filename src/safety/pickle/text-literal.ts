/** The literals of protocol 0, which are Python source text. */
import type { Argument } from './argument.ts';
import type { Machine } from './machine.ts';
import { unknown } from './value.ts';
import type { Value } from './value.ts';

const number = /^\s*[+-]?(0x_?[\da-f][\da-f_]*|0o_?[0-7][0-7_]*|0b_?[01][01_]*|\d[\d_]*)L?\s*$/i;

/** As much of a line as CPython's C code reads of a number: it stops at a NUL, where its Python code refuses all of it. */
function beforeNul(machine: Machine, line: string): string {
  const at = line.indexOf('\0');
  if (at === -1) return line;
  noNumber(machine);
  return line.slice(0, at);
}

function noNumber(machine: Machine): Value {
  machine.broken('A number of the pickle is none.');
  return unknown;
}

/** INT, LONG, GET and PUT; `00` and `01` are how INT writes False and True. */
export function integerLine(machine: Machine, argument: Argument): Value {
  if (typeof argument !== 'string') return unknown;
  if (argument === '00') return false;
  if (argument === '01') return true;
  const line = beforeNul(machine, argument);
  if (!number.test(line)) return noNumber(machine);
  const digits = line.trim().replace(/_|L$/gi, '');
  const value = BigInt(digits.replace(/^[+-]/, ''));
  const signed = digits.startsWith('-') ? -value : value;
  const small = Number(signed);
  return Number.isSafeInteger(small) ? small : signed;
}

/** FLOAT. */
export function floatLine(machine: Machine, argument: Argument): Value {
  if (typeof argument !== 'string') return unknown;
  const text = argument.trim().toLowerCase();
  if (/^[+-]?(nan|inf(inity)?)$/.test(text)) {
    return text.includes('nan') ? NaN : text.startsWith('-') ? -Infinity : Infinity;
  }
  const value = text === '' ? NaN : Number(text.replaceAll('_', ''));
  return Number.isNaN(value) ? noNumber(machine) : value;
}

const escapes: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  a: '\x07',
  b: '\b',
  f: '\f',
  v: '\v',
  '\n': '',
};

function unescape(whole: string, escaped: string): string {
  if (escaped.startsWith('x')) return String.fromCharCode(Number.parseInt(escaped.slice(1), 16));
  if (/^[0-7]/.test(escaped)) return String.fromCharCode(Number.parseInt(escaped, 8) & 0xff);
  if (escaped === '\\' || escaped === "'" || escaped === '"') return escaped;
  return escapes[escaped] ?? whole;
}

/** STRING: text in quotes, with Python's escapes. A name spelt with them is that name. */
export function quotedText(machine: Machine, argument: Argument): Value {
  if (typeof argument !== 'string') return isText(argument) ? argument : unknown;
  const text = argument.trimEnd();
  const quote = text[0];
  if (text.length < 2 || (quote !== "'" && quote !== '"') || !text.endsWith(quote)) {
    machine.broken('A text of the pickle is not in quotes.');
    return unknown;
  }
  return text.slice(1, -1).replace(/\\(x[\da-f]{2}|[0-7]{1,3}|[^])/gi, unescape);
}

/** UNICODE: raw text in which only \u and \U are escapes. The line was read as Latin-1, as Python does. */
export function escapedText(argument: Argument): Value {
  if (typeof argument !== 'string') return isText(argument) ? argument : unknown;
  // A backslash that another one stands before begins nothing.
  const escape = /\\(?:u([\da-fA-F]{4})|U([\da-fA-F]{8})|[^])/g;
  return argument.replace(escape, (whole, short?: string, long?: string) => {
    const code = Number.parseInt(short ?? long ?? '', 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

function isText(argument: Argument): argument is Value {
  return typeof argument === 'object' && argument !== null && argument.kind === 'long-text';
}
