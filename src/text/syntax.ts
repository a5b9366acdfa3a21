/** Texts with a grammar that people write: where one goes wrong, what was expected there and what was found. */
import { shown } from '../name/name.ts';
import { ValidationError } from '../platform/errors.ts';

/** The character (code point) at an offset into the text; empty at its end. */
export function characterAt(text: string, offset: number): string {
  const code = text.codePointAt(offset);
  return code === undefined ? '' : String.fromCodePoint(code);
}

/** The column at an offset, counted from 1. */
export function columnAt(text: string, offset: number): number {
  return Array.from(text.slice(0, offset)).length + 1;
}

/**
 * An error that points at a place. Offsets count UTF-16 units, as JavaScript does; the column that the message names
 * counts characters from 1, as people do.
 * @param options.found default: the character at the place, or the end.
 */
export function syntaxError(
  path: readonly (string | number)[],
  text: string,
  offset: number,
  expected: string,
  options: { readonly found?: string; readonly hint?: string | undefined } = {},
): ValidationError {
  const character = characterAt(text, offset);
  const found = options.found ?? (character === '' ? 'the end' : shown(character));
  return ValidationError.of(path, expected, found, {
    message: `${path.join('.')}: column ${columnAt(text, offset)}: expected ${expected}, found ${found}.`,
    ...(options.hint === undefined ? {} : { hint: options.hint }),
  });
}

/** @throws ValidationError for a text that is longer than a reader of it would take. */
export function checkLength(path: readonly (string | number)[], text: string, most: number): void {
  // A character has at most two units; far longer ones are not taken apart.
  const length = text.length > 2 * most ? text.length : [...text].length;
  if (length > most) {
    throw ValidationError.of(path, `at most ${most.toLocaleString('en')} characters`, `${length} characters`);
  }
}
