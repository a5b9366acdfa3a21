/** Names that people give to things: they stand in references and URLs, so what they may hold is narrow. */
import { ValidationError } from '../platform/errors.ts';

const MAX_NAME = 100;
const MAX_TEXT = 10_000;
const shape = /^[\p{L}\p{N}][\p{L}\p{N}\p{M}._-]*$/u;

/** How a value is shown in an error: quoted, shortened, without control characters. */
export function shown(value: string): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…"` : text;
}

/**
 * A name in Unicode's NFC form: 1 to 100 letters, digits, `.`, `_` and `-`, starting with a letter or digit.
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
  return name;
}

/**
 * Free text such as a description or a message: at most 10,000 characters, no control characters but line ends
 * and tabs.
 * @throws ValidationError at `path`.
 */
export function checkText(path: readonly string[], value: string | null | undefined): string | null {
  if (value === null || value === undefined) return null;
  if (value.length > MAX_TEXT) {
    throw ValidationError.of(path, `at most ${MAX_TEXT} characters`, `${value.length} characters`);
  }
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.exec(value);
  if (control) {
    throw ValidationError.of(path, 'text without control characters', shown(control[0]));
  }
  return value;
}
