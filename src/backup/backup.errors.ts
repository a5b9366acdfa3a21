/** Something in the way of a backup, a restore or a verification that a person can change; the message says what and how. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

/** What an error says, whatever was thrown. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
