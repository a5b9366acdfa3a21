/** How often a candidate answered as the stable arm did, on the same requests. */
import { ValidationError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { listAgreement, type AgreementRow } from './agreement.queries.ts';

export interface Agreement extends AgreementRow {
  /** Share of the requests at which they disagreed; null where none was compared. */
  readonly rate: number | null;
  /** Of the rate, at 95 %, once; it is no sequential statement. */
  readonly interval95: readonly [number, number] | null;
}

const MOST_ROLLOUTS = 20;
const MOST_EXAMPLES = 20;
const MOST_DAYS = 31;
const DAY_MS = 86_400_000;

/** By rollout, newest first; minutes that began before `from` count from their beginning. @throws ValidationError */
export async function listAgreements(
  { db }: Pick<Platform, 'db'>,
  deploymentId: string,
  range: { readonly from: Date; readonly to: Date },
): Promise<Agreement[]> {
  const length = range.to.getTime() - range.from.getTime();
  if (!(length > 0 && length <= MOST_DAYS * DAY_MS)) {
    const found = `${range.from.toISOString()} to ${range.to.toISOString()}`;
    throw ValidationError.of(
      ['range'],
      `a time from \`from\` to a later \`to\`, ${MOST_DAYS} days at most`,
      found,
    );
  }
  const rows = await listAgreement(db, deploymentId, range, MOST_ROLLOUTS, MOST_EXAMPLES);
  return rows.map((row) => {
    const [n, k] = [Number(row.requests), Number(row.disagreements)];
    return { ...row, rate: n === 0 ? null : k / n, interval95: n === 0 ? null : wilson(k, n) };
  });
}

const Z95 = 1.959_963_984_540_054;

/**
 * The score interval of `k` of `n`.
 * Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927.
 */
export function wilson(k: number, n: number): [number, number] {
  const share = k / n;
  const z2 = Z95 ** 2;
  const middle = (share + z2 / (2 * n)) / (1 + z2 / n);
  const half = (Z95 / (1 + z2 / n)) * Math.sqrt((share * (1 - share)) / n + z2 / (4 * n * n));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}
