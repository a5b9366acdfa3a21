/**
 * How people write which version they mean, as in Git:
 *
 *     ref  := id | [project "/"] model ( ":" number | "@" alias [ "{" time "}" ] ) step*
 *     step := "~" [n] | "^" [n]
 *
 * `fraud:12`, `fraud@champion`, `fraud@champion{2026-11-01T00:00Z}` (where the alias stood then), `demo/fraud:12~2` (the
 * first parent of the first parent), `fraud:12^2` (its second parent). `~` is `~1`, `^` is `^1`, and 0 is the version
 * itself. Pure: whether there is such a version is not asked here.
 */
import { checkName } from '../name/name.ts';
import { ValidationError } from '../platform/errors.ts';
import { isId } from '../platform/id.ts';
import { checkLength, syntaxError } from '../text/syntax.ts';
import { readTime } from '../text/time.ts';

type Path = readonly (string | number)[];

export type VersionRef = IdRef | NamedRef;

export interface IdRef {
  readonly kind: 'id';
  /** In lower case. */
  readonly id: string;
  readonly steps: readonly Step[];
}

export interface NamedRef {
  readonly kind: 'named';
  readonly project: string | null;
  readonly model: string;
  readonly at: AtNumber | AtAlias;
  readonly steps: readonly Step[];
}

export interface AtNumber {
  readonly number: number;
}

export interface AtAlias {
  readonly alias: string;
  /** When the alias stood there; null for now. */
  readonly time: Date | null;
}

/** To the first parent, so many times; or to the parent of that ordinal (1 is the first). 0 stays. */
export type Step =
  | { readonly kind: 'ancestor'; readonly generations: number }
  | { readonly kind: 'parent'; readonly ordinal: number };

const MAX_LENGTH = 1000;
const MAX_NUMBER = 2_147_483_647;
const MAX_STEPS = 100;
const MAX_GENERATIONS = 10_000;
const MAX_ORDINAL = 8;

/** What is left to read of a reference; `at` moves. */
interface Reader {
  readonly path: Path;
  readonly text: string;
  at: number;
}

/**
 * Reads a reference; names come back in Unicode's NFC form.
 * @throws ValidationError at `path`, with the column, what was expected there and what was found.
 */
export function parseVersionRef(path: Path, text: string): VersionRef {
  checkLength(path, text, MAX_LENGTH);
  const reader: Reader = { path, text, at: 0 };
  const id = takeId(reader);
  if (id !== undefined) return { kind: 'id', id, steps: takeSteps(reader) };
  const first = takeName(reader, 'a version such as fraud:12, fraud@champion or demo/fraud:12');
  const hasProject = take(reader, '/');
  const model = hasProject ? takeName(reader, "a model's name") : first;
  const at = takeAt(reader, hasProject ? ':' : ':/');
  return { kind: 'named', project: hasProject ? first : null, model, at, steps: takeSteps(reader) };
}

/** The reference in its shortest form; reads back as the same. */
export function printVersionRef(ref: VersionRef): string {
  const steps = ref.steps.map(printStep).join('');
  if (ref.kind === 'id') return `${ref.id}${steps}`;
  const { project, model, at } = ref;
  return `${project === null ? '' : `${project}/`}${model}${printAt(at)}${steps}`;
}

function printAt(at: AtNumber | AtAlias): string {
  if ('number' in at) return `:${at.number}`;
  return at.time === null ? `@${at.alias}` : `@${at.alias}{${at.time.toISOString()}}`;
}

function printStep(step: Step): string {
  const [sign, count] = step.kind === 'ancestor' ? ['~', step.generations] : ['^', step.ordinal];
  return count === 1 ? sign : `${sign}${count}`;
}

/** An id is also a name that a model could have: it is the model where a model's `:`, `@` or `/` follows. */
function takeId(reader: Reader): string | undefined {
  const id = reader.text.slice(0, 36).toLowerCase();
  if (!isId(id) || !/^[~^]?$/.test(reader.text.charAt(36))) return undefined;
  reader.at = 36;
  return id;
}

/** All that a name may be made of, so that the place of what may not is known; checkName has the last word. */
const nameParts = /[\p{L}\p{N}\p{M}._-]*/uy;

function takeName(reader: Reader, expected: string): string {
  const start = reader.at;
  const name = takeRun(reader, nameParts);
  if (name === '') throw fault(reader, expected);
  try {
    return checkName([], name);
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    const [issue] = error.issues;
    throw syntaxError(reader.path, reader.text, start, issue?.expected ?? expected, {
      found: issue?.found ?? name,
      hint: error.hint ?? undefined,
    });
  }
}

/** @param follow `:/` where what was read so far may still have been the project. */
function takeAt(reader: Reader, follow: ':' | ':/'): AtNumber | AtAlias {
  if (take(reader, ':')) return { number: takeNumber(reader) };
  if (take(reader, '@')) {
    const alias = takeName(reader, "an alias's name");
    return { alias, time: take(reader, '{') ? takeTime(reader) : null };
  }
  const inName = 'letters, digits, ".", "_" and "-" of a name';
  const slash = follow === ':/' ? ', "/" and a model' : '';
  throw fault(reader, `${inName}${slash}, ":" and a version number, or "@" and an alias`);
}

function takeNumber(reader: Reader): number {
  const start = reader.at;
  const digits = takeRun(reader, /\d*/y);
  if (digits === '') throw fault(reader, 'a version number (1 or more)');
  const number = Number(digits);
  if (number >= 1 && number <= MAX_NUMBER) return number;
  throw tooFar(reader, start, `a version number from 1 to ${MAX_NUMBER}`, digits);
}

function takeTime(reader: Reader): Date {
  const start = reader.at;
  const text = takeRun(reader, /[^}]*/y);
  const read = text === '' ? { fault: undefined } : readTime(text);
  if (!('time' in read)) {
    const expected = 'a time such as 2026-11-01T00:00Z';
    throw syntaxError(
      reader.path,
      reader.text,
      start,
      expected,
      read.fault === undefined ? {} : { found: read.fault },
    );
  }
  if (!take(reader, '}')) throw fault(reader, '"}" after the time');
  return read.time;
}

function takeSteps(reader: Reader): Step[] {
  const steps: Step[] = [];
  while (reader.at < reader.text.length) {
    const start = reader.at;
    const sign = takeRun(reader, /[~^]?/y);
    if (sign === '') throw fault(reader, '"~", "^" or the end');
    if (steps.length === MAX_STEPS) {
      throw syntaxError(reader.path, reader.text, start, `at most ${MAX_STEPS} steps`, { found: 'one more' });
    }
    steps.push(
      sign === '~'
        ? { kind: 'ancestor', generations: takeCount(reader, MAX_GENERATIONS) }
        : { kind: 'parent', ordinal: takeCount(reader, MAX_ORDINAL) },
    );
  }
  return steps;
}

function takeCount(reader: Reader, most: number): number {
  const start = reader.at;
  const digits = takeRun(reader, /\d*/y);
  if (Number(digits) > most) throw tooFar(reader, start, `a number from 0 to ${most}`, digits);
  return digits === '' ? 1 : Number(digits);
}

function take(reader: Reader, character: string): boolean {
  if (reader.text[reader.at] !== character) return false;
  reader.at += 1;
  return true;
}

/** @param run sticky, and matches everywhere: at least the empty text. */
function takeRun(reader: Reader, run: RegExp): string {
  run.lastIndex = reader.at;
  const [taken = ''] = run.exec(reader.text) ?? [];
  reader.at += taken.length;
  return taken;
}

const fault = (reader: Reader, expected: string): ValidationError =>
  syntaxError(reader.path, reader.text, reader.at, expected);

function tooFar(reader: Reader, start: number, expected: string, digits: string): ValidationError {
  const found = digits.length > 20 ? `a number of ${digits.length} digits` : digits;
  return syntaxError(reader.path, reader.text, start, expected, { found });
}
