import { ValidationError, type ValidationIssue } from '../platform/errors.ts';

/** Nobody reads more; a table of a million wrong cells must not become an answer of its size. */
const MOST = 20;

/** Collects what is wrong with an input, up to a readable number of issues. */
export class Issues {
  readonly #issues: ValidationIssue[] = [];
  /** True once no further issue is kept: time to stop looking. */
  full = false;

  get any(): boolean {
    return this.#issues.length > 0;
  }

  /** `why` is one more sentence, for rules that a caller cannot guess. */
  add(path: readonly (string | number)[], expected: string, found: string, why = ''): void {
    if (this.full) return;
    const where = path.join('.');
    const message = `${where}: expected ${expected}, found ${found}.${why === '' ? '' : ` ${why}`}`;
    this.#issues.push({ path: path.map(String), expected, found, message });
    this.full = this.#issues.length >= MOST;
  }

  /** @throws ValidationError with everything collected, if there is anything. */
  throwIfAny(hint: string | null = null): void {
    if (this.#issues.length > 0) throw new ValidationError(this.#issues, hint);
  }
}

/** A foreign value in a few words, for `found`. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'string') {
    return `text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
  }
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
