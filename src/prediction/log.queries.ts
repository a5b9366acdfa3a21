import { sql } from 'kysely';
import type { Db } from '../platform/database.ts';
import type { Encoded, Settings } from './log.entry.ts';

/** How deployments want to be logged; those that are not there are left out. */
export async function findSettings(db: Db, ids: readonly string[]): Promise<Map<string, Settings>> {
  const rows = await db
    .selectFrom('deployment')
    .select(['id', 'logSampleRate as sampleRate', 'logRedact as redact', 'logRetentionDays as retentionDays'])
    .where('id', 'in', ids)
    .execute();
  return new Map(rows.map(({ id, ...settings }) => [id, settings]));
}

/**
 * Writes rows, and adds to the number of those that were dropped; rows that are there already are left as they are, so
 * that it may be tried again. The payloads travel as one value, of which each row takes its part.
 * @throws an error of a missing partition (`isPartitionMissing`).
 */
export async function insertPredictions(
  db: Db,
  rows: readonly Encoded[],
  dropped: ReadonlyMap<string, number>,
): Promise<void> {
  const parts: Buffer[] = [];
  let length = 0;
  const place = (part: Buffer | null): [from: number, bytes: number] | [] => {
    if (part === null) return [];
    parts.push(part);
    length += part.length;
    return [length - part.length + 1, part.length];
  };
  const given = rows.map(({ row, inputs, outputs }) => {
    const [i_from, i_bytes] = place(inputs);
    const [o_from, o_bytes] = place(outputs);
    return { ...row, i_from, i_bytes, o_from, o_bytes };
  });
  const drops = [...dropped].map(([id, count]) => ({ id, count }));
  await sql`
    with drops as (
      insert into prediction_drop as p (deployment_id, dropped)
      select d.id, d.count from json_to_recordset(${JSON.stringify(drops)}::json) as d(id uuid, count bigint)
      join deployment on deployment.id = d.id order by d.id
      on conflict (deployment_id) do update set dropped = p.dropped + excluded.dropped),
    payload as materialized (select ${Buffer.concat(parts)}::bytea as bytes)
    insert into prediction
      (request_id, at, retention_days, deployment_id, version_id, weight, latency_ms, rows, arm, error, labels,
       answer_labels, answer_numbers, payload, redacted, rollout_id, rollout_step, inputs, outputs)
    select r.request_id, r.at, r.retention_days, r.deployment_id, r.version_id, r.weight, r.latency_ms, r.rows, r.arm,
           r.error, r.labels, r.answer_labels, r.answer_numbers, r.payload, r.redacted,
           r.rollout_id, r.rollout_step,
           substring(payload.bytes from r.i_from for r.i_bytes), substring(payload.bytes from r.o_from for r.o_bytes)
    from payload, json_to_recordset(${JSON.stringify(given)}::json) as r(
      request_id uuid, at timestamptz, retention_days smallint, deployment_id uuid, version_id uuid,
      weight double precision, latency_ms real, rows integer, arm text, error text, labels jsonb, answer_labels text[],
      answer_numbers double precision[], payload text, redacted text[],
      rollout_id uuid, rollout_step smallint, i_from integer, i_bytes integer,
      o_from integer, o_bytes integer)
    on conflict do nothing`.execute(db);
}

/** By deployment, how many requests could not be logged. */
export function listDropped(
  db: Db,
  deploymentIds: readonly string[],
): Promise<{ deploymentId: string; dropped: bigint }[]> {
  return db.selectFrom('predictionDrop').selectAll().where('deploymentId', 'in', deploymentIds).execute();
}
