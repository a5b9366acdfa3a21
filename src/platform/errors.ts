/**
 * Errors that a caller can expect. The GraphQL edge turns each subclass into a type of its own; anything that is
 * not a DomainError is masked there and logged under an id.
 */
export abstract class DomainError extends Error {
  /** Stable, SCREAMING_SNAKE_CASE; clients switch on it. */
  abstract readonly code: string;
  /** What to do next, one sentence. */
  readonly hint: string | null;

  constructor(message: string, hint: string | null = null) {
    super(message);
    this.name = new.target.name;
    this.hint = hint;
  }
}

/** One thing wrong with the input: where (path from the input's root), what was expected, what was found. */
export interface ValidationIssue {
  readonly path: readonly string[];
  readonly expected: string | null;
  readonly found: string | null;
  readonly message: string;
}

export class ValidationError extends DomainError {
  readonly code = 'VALIDATION';
  readonly issues: readonly ValidationIssue[];

  constructor(issues: readonly ValidationIssue[], hint: string | null = null) {
    super(issues.map((issue) => issue.message).join(' '), hint);
    this.issues = issues;
  }

  /** A ValidationError with one issue; the message is composed where none is given. */
  static of(
    path: readonly (string | number)[],
    expected: string,
    found: string | null,
    options: { message?: string; hint?: string } = {},
  ): ValidationError {
    const where = path.join('.');
    const message =
      options.message ?? `${where}: expected ${expected}${found === null ? '' : `, found ${found}`}.`;
    return new ValidationError([{ path: path.map(String), expected, found, message }], options.hint ?? null);
  }
}

export class NotFoundError extends DomainError {
  readonly code = 'NOT_FOUND';
  /** The kind and the reference that was asked for, such as `Deployment demo/fraud`. */
  readonly what: string;

  constructor(what: string, hint: string | null = null) {
    super(`${what} was not found.`, hint);
    this.what = what;
  }
}

export class ConflictError extends DomainError {
  readonly code = 'CONFLICT';
  /** The state that stands in the way, as the caller would write it. */
  readonly current: string | null;

  constructor(message: string, current: string | null = null, hint: string | null = null) {
    super(message, hint);
    this.current = current;
  }
}

/** Roles within a project, each including those before it. */
export const roles = ['READER', 'AUTHOR', 'OPERATOR', 'ADMIN'] as const;
export type Role = (typeof roles)[number];

export class ForbiddenError extends DomainError {
  readonly code = 'FORBIDDEN';
  readonly needs: Role;

  constructor(message: string, needs: Role, hint: string | null = null) {
    super(message, hint);
    this.needs = needs;
  }
}

export class NotReadyError extends DomainError {
  readonly code = 'NOT_READY';
  /** When trying again makes sense, in milliseconds; null when waiting alone does not help. */
  readonly retryAfterMs: number | null;

  constructor(message: string, retryAfterMs: number | null = null, hint: string | null = null) {
    super(message, hint);
    this.retryAfterMs = retryAfterMs;
  }
}

export class DeadlineExceededError extends DomainError {
  readonly code = 'DEADLINE_EXCEEDED';
  readonly timeoutMs: number;

  constructor(timeoutMs: number, hint: string | null = null) {
    super(`No answer within ${timeoutMs} ms.`, hint);
    this.timeoutMs = timeoutMs;
  }
}

/** There is no room for it now: later there may be, or once somebody made some. */
export class OverloadedError extends DomainError {
  readonly code = 'OVERLOADED';
  /** When trying again makes sense, in milliseconds. */
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs: number, hint: string | null = null) {
    super(message, hint);
    this.retryAfterMs = retryAfterMs;
  }
}
