/** What a project may store. */
import type { Db } from '../platform/database.ts';
import { ValidationError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { charge, storedBytes } from './quota.queries.ts';

interface Held {
  readonly digest: string;
  readonly bytes: number;
}

/** @throws ValidationError when so many bytes more would be too many. */
export async function checkQuota(
  { config }: Platform,
  db: Db,
  projectId: string,
  more: bigint,
): Promise<void> {
  const { PROJECT_QUOTA_BYTES: quota } = config;
  if (quota === 0) return;
  const stored = await storedBytes(db, projectId);
  if (stored + more > BigInt(quota)) throw tooMuch(quota, stored, more);
}

/**
 * Counts files that a version of the project holds from now on: the same bytes once, however many versions hold them.
 * Locks the project's sum; only the ledger may be locked after it.
 * @throws ValidationError when they are too many.
 */
export async function chargeFiles(
  { config }: Platform,
  tx: Db,
  projectId: string,
  files: readonly Held[],
): Promise<void> {
  const { PROJECT_QUOTA_BYTES: quota } = config;
  const { before, after } = await charge(tx, projectId, files);
  if (quota > 0 && after > before && after > BigInt(quota)) throw tooMuch(quota, before, after - before);
}

function tooMuch(quota: number, stored: bigint, more: bigint): ValidationError {
  return ValidationError.of(
    ['files'],
    `at most ${quota} bytes in the project (PROJECT_QUOTA_BYTES)`,
    `${more} more than the ${stored} that it stores or expects`,
    { hint: 'Delete versions that nobody needs, or raise PROJECT_QUOTA_BYTES.' },
  );
}
