/** Something in the way of running here that a person can change; the message says what and how. */
export class LocalError extends Error {
  override readonly name = 'LocalError';
}

/** What an error says, whatever was thrown. */
export function reason(error: unknown): string {
  // Node's error of a refused connection to several addresses has no message, only a code.
  return error instanceof Error ? error.message || (codeOf(error) ?? error.name) : String(error);
}

/** The system's name of an error, such as EEXIST. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
