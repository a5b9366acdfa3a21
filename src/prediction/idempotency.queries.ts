import { sql } from 'kysely';
import type { Db } from '../platform/database.ts';

/** Whose key, and who works under it. */
export interface Claim {
  readonly deploymentId: string;
  readonly key: string;
  /** Of the process and attempt that runs the prediction. */
  readonly owner: string;
}

const EXPIRES = sql`interval '1 day'`;
const until = (leaseMs: number) => sql<Date>`clock_timestamp() + make_interval(secs => ${leaseMs / 1000})`;

/**
 * Takes a key that nobody has, that has expired, or whose owner has not been heard of for its lease, for the same request.
 * @returns whether it is the claim's now.
 */
export async function claimKey(db: Db, claim: Claim, digest: Buffer, leaseMs: number): Promise<boolean> {
  const { rows } = await sql<{ owner: string }>`
    insert into idempotency_key as k (deployment_id, key, digest, owner, asked_at, lease_until, expires_at)
    values (${claim.deploymentId}, ${claim.key}, ${digest}, ${claim.owner}, clock_timestamp(), ${until(leaseMs)},
            clock_timestamp() + ${EXPIRES})
    on conflict (deployment_id, key) do update
      set digest = excluded.digest, owner = excluded.owner, asked_at = excluded.asked_at,
          lease_until = excluded.lease_until, expires_at = excluded.expires_at, answer = null
      where k.expires_at <= clock_timestamp()
         or (k.answer is null and k.lease_until <= clock_timestamp() and k.digest = excluded.digest)
    returning owner`.execute(db);
  return rows.length > 0;
}

export interface HeldKey {
  readonly digest: Buffer;
  readonly askedAt: Date;
  /** null while it is being worked out. */
  readonly answer: Buffer | null;
}

/** Undefined when nobody has it. */
export function findKey(db: Db, { deploymentId, key }: Omit<Claim, 'owner'>): Promise<HeldKey | undefined> {
  return db
    .selectFrom('idempotencyKey')
    .select(['digest', 'askedAt', 'answer'])
    .where('deploymentId', '=', deploymentId)
    .where('key', '=', key)
    .executeTakeFirst();
}

/** The owner is at it still. */
export async function renewKey(db: Db, claim: Claim, leaseMs: number): Promise<void> {
  await owned(db, claim)
    .set({ leaseUntil: until(leaseMs) })
    .execute();
}

/** Keeps the answer for a day. @returns whether the key was still the claim's. */
export async function answerKey(db: Db, claim: Claim, answer: Buffer): Promise<boolean> {
  const result = await owned(db, claim)
    .set({ answer, expiresAt: sql<Date>`clock_timestamp() + ${EXPIRES}` })
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

function owned(db: Db, { deploymentId, key, owner }: Claim) {
  return db
    .updateTable('idempotencyKey')
    .where('deploymentId', '=', deploymentId)
    .where('key', '=', key)
    .where('owner', '=', owner);
}

/** There is no answer: the key is free again. */
export async function releaseKey(db: Db, { deploymentId, key, owner }: Claim): Promise<void> {
  await db
    .deleteFrom('idempotencyKey')
    .where('deploymentId', '=', deploymentId)
    .where('key', '=', key)
    .where('owner', '=', owner)
    .where('answer', 'is', null)
    .execute();
}

/** Deletes at most `most` keys whose time is over; how many. */
export async function deleteExpired(db: Db, most: number): Promise<number> {
  const result = await sql`
    delete from idempotency_key where (deployment_id, key) in (
      select deployment_id, key from idempotency_key where expires_at <= clock_timestamp()
      order by expires_at limit ${most} for update skip locked)`.execute(db);
  return Number(result.numAffectedRows ?? 0n);
}
