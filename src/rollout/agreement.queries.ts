import { sql } from 'kysely';
import type { Db } from '../platform/database.ts';

export interface AgreementRow {
  readonly rolloutId: string;
  readonly candidateArmId: string;
  readonly requests: bigint;
  readonly disagreements: bigint;
  readonly dropped: bigint;
  readonly examples: string[];
}

/** What the mirrored requests of a deployment's rollouts showed in the minutes that began in a time, newest rollout first. */
export async function listAgreement(
  db: Db,
  deploymentId: string,
  { from, to }: { from: Date; to: Date },
  limit: number,
  mostExamples: number,
): Promise<AgreementRow[]> {
  const { rows } = await sql<AgreementRow>`
    select r.id as rollout_id, r.candidate_arm_id, sum(a.compared)::bigint as requests,
           sum(a.disagreed)::bigint as disagreements, sum(a.dropped)::bigint as dropped,
           (select coalesce(array_agg(e.example), '{}') from (
              select unnest(b.examples) as example from agreement b
              where b.rollout_id = r.id and b.minute >= date_trunc('minute', ${from}::timestamptz) and b.minute < ${to}
              order by b.minute desc limit ${mostExamples}) as e) as examples
    from rollout r join agreement a on a.rollout_id = r.id
    where r.deployment_id = ${deploymentId} and r.candidate_arm_id is not null
      and a.minute >= date_trunc('minute', ${from}::timestamptz) and a.minute < ${to}
    group by r.id order by r.id desc limit ${limit}`.execute(db);
  return rows;
}
