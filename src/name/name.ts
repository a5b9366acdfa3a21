/** Names that people give to things: they stand in references and URLs, so what they may hold is narrow. */
import { ValidationError } from '../platform/errors.ts';
import { mixedScripts, mixesDigits } from './script.ts';

const MAX_NAME = 100;
const MAX_TEXT = 10_000;
const shape = /^[\p{L}\p{N}][\p{L}\p{N}\p{M}._-]*$/u;

/** A name that is looked for, as names are kept; what no name can hold, and PostgreSQL no text, finds nothing. */
export function sought(name: string): string {
  return name.normalize('NFC').replaceAll('\0', '\ufffd');
}

/** How a value is shown in an error: quoted, shortened, without control characters. */
export function shown(value: string): string {
  const text = JSON.stringify(value);
  // Half of a character is none, and PostgreSQL takes no such text.
  return text.length > 60 ? `${text.slice(0, 57).toWellFormed()}…"` : text;
}

/**
 * A name in Unicode's NFC form: 1 to 100 letters, digits, `.`, `_` and `-`, starting with a letter or digit, all letters
 * of one script, nothing invisible: two names that look the same are the same.
 * @throws ValidationError at `path`.
 */
export function checkName(path: readonly string[], value: string): string {
  const name = value.normalize('NFC');
  const length = [...name].length;
  if (length < 1 || length > MAX_NAME) {
    throw ValidationError.of(path, `1 to ${MAX_NAME} characters`, `${length} characters`);
  }
  if (!shape.test(name)) {
    throw ValidationError.of(
      path,
      'letters, digits, ".", "_" and "-", starting with a letter or digit',
      shown(value),
    );
  }
  checkLooks(path, name);
  return name;
}

/** @throws ValidationError for a name that is made to look like another, or could be. */
function checkLooks(path: readonly string[], name: string): void {
  if (/^[\x21-\x7e]+$/.test(name)) return;
  // Wide, raised, circled and the like; the vowels of Thai and Lao that fall apart are how these are written.
  const plain = name.replaceAll(/[^\u0e33\u0eb3]/gu, (letter) => letter.normalize('NFKC'));
  if (plain !== name) throw ValidationError.of(path, `plain letters, as in ${shown(plain)}`, shown(name));
  const invisible = /\p{Default_Ignorable_Code_Point}/u.exec(name)?.[0];
  if (invisible !== undefined) {
    throw ValidationError.of(
      path,
      'only characters that can be seen',
      `${codeOf(invisible)} in ${shown(name)}`,
    );
  }
  const mixed = mixedScripts(name);
  if (mixed) {
    const found = mixed
      .map(({ letter, script }) => `"${letter}" (${codeOf(letter)}, ${script})`)
      .join(' and ');
    throw ValidationError.of(path, 'letters of one script', found, {
      hint: 'Letters of several scripts look alike, so a name could pass for another.',
    });
  }
  if (mixesDigits(name)) throw ValidationError.of(path, 'digits of one system', shown(name));
}

function codeOf(letter: string): string {
  return `U+${(letter.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0')}`;
}

/**
 * Free text such as a description or a message: at most 10,000 characters, no control characters but line ends
 * and tabs.
 * @throws ValidationError at `path`.
 */
export function checkText(path: readonly string[], value: string | null | undefined): string | null {
  if (value === null || value === undefined) return null;
  checkCharacters(path, value, MAX_TEXT);
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.exec(value);
  if (control) {
    throw ValidationError.of(path, 'text without control characters', shown(control[0]));
  }
  if (!value.isWellFormed()) throw ValidationError.of(path, 'whole characters', 'half a surrogate pair');
  return value;
}

/** Counts as people do: a character outside the first 65,536 is one. @throws ValidationError at `path`. */
export function checkCharacters(path: readonly string[], value: string, most: number): void {
  if (value.length <= most) return;
  const characters = [...value].length;
  if (characters > most)
    throw ValidationError.of(path, `at most ${most} characters`, `${characters} characters`);
}

/**
 * A JSON value that PostgreSQL can keep: no NUL, no half of a surrogate pair, no number beyond all doubles. It must not be
 * deeper than the stack.
 * @throws ValidationError at the place within `path`.
 */
export function checkStorable(path: readonly (string | number)[], value: unknown): void {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw ValidationError.of(path, 'a number that a double holds', String(value));
  }
  if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed())) {
    throw ValidationError.of(path, 'text without NUL and half surrogate pairs', shown(value));
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [key, part] of Object.entries(value)) {
    checkStorable(path, key);
    checkStorable([...path, key], part);
  }
}
