/** Keyset pages: a cursor holds the sort key of the row it stands on, so pages survive inserts and deletes. */
import { ValidationError } from '../platform/errors.ts';

export interface PageRequest {
  readonly first: number;
  /** Sort key after which the page starts; undefined at the beginning. */
  readonly after: readonly string[] | undefined;
}

/** What a caller asks for. */
export interface PageArgs {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly hasNextPage: boolean;
  readonly hasPreviousPage: boolean;
}

const MAX_PAGE = 100;

/** The opaque cursor of a sort key. */
export function toCursor(key: readonly string[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/**
 * Reads `first` and `after`.
 * @param keys how many parts a cursor of this connection has.
 * @throws ValidationError for a size outside 1 to 100 or a cursor that this connection did not hand out.
 */
export function toPageRequest(args: PageArgs, keys: number): PageRequest {
  const first = args.first ?? 20;
  if (!Number.isInteger(first) || first < 1 || first > MAX_PAGE) {
    throw ValidationError.of(['first'], `a page size from 1 to ${MAX_PAGE}`, String(first));
  }
  if (args.after === null || args.after === undefined) return { first, after: undefined };
  const after = parseCursor(args.after);
  if (after?.length !== keys) {
    throw ValidationError.of(
      ['after'],
      'a cursor from pageInfo.endCursor of this connection',
      'something else',
    );
  }
  return { first, after };
}

function parseCursor(cursor: string): string[] | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    return Array.isArray(value) && value.every(isKey) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** PostgreSQL's text holds no NUL. */
function isKey(part: unknown): part is string {
  return typeof part === 'string' && !part.includes('\0');
}

/**
 * A part of the key after which a page starts, where that is a number; undefined at the beginning.
 * @throws ValidationError for a cursor that this connection did not hand out.
 */
export function numberAfter({ after }: PageRequest, part: number, most: bigint): bigint | undefined {
  const text = after?.[part];
  if (text === undefined) return undefined;
  const number = /^\d{1,19}$/.test(text) ? BigInt(text) : undefined;
  if (number !== undefined && number <= most) return number;
  throw ValidationError.of(
    ['after'],
    'a cursor from pageInfo.endCursor of this connection',
    'something else',
  );
}

/** A page from `first + 1` rows. */
export function toPage<T>(rows: readonly T[], request: PageRequest): Page<T> {
  return {
    items: rows.slice(0, request.first),
    hasNextPage: rows.length > request.first,
    hasPreviousPage: request.after !== undefined,
  };
}
