import { sql } from 'kysely';
import type { Database, Db, PreparedRead } from '../platform/database.ts';
import { fromJoined, joinedColumns, type JoinedVersion, type ListedVersion } from './version.row.ts';

interface Found extends JoinedVersion {
  model_id: string;
  project_id: string;
}

const ofModel = `
  from project p
  join model m on m.project_id = p.id and m.name = $2 and m.deleted_at is null`;

const first = ([row]: readonly Found[]): ListedVersion | undefined =>
  row && (fromJoined(row, { id: row.model_id, projectId: row.project_id }) ?? undefined);

const byNumber: PreparedRead<
  Found,
  [project: string, model: string, number: number],
  ListedVersion | undefined
> = {
  name: 'version.by-number',
  text: `select m.id as model_id, p.id as project_id, ${joinedColumns} ${ofModel}
    join version v on v.model_id = m.id and v.number = $3 and v.deleted_at is null
    where p.name = $1`,
  shape: first,
};

const byAlias: PreparedRead<
  Found,
  [project: string, model: string, alias: string],
  ListedVersion | undefined
> = {
  name: 'version.by-alias',
  text: `select m.id as model_id, p.id as project_id, ${joinedColumns} ${ofModel}
    join alias a on a.model_id = m.id and a.name = $3
    join version v on v.id = a.version_id
    where p.name = $1`,
  shape: first,
};

const latest: PreparedRead<Found, [project: string, model: string], ListedVersion | undefined> = {
  name: 'version.latest',
  text: `select m.id as model_id, p.id as project_id, ${joinedColumns} ${ofModel}
    join version v on v.model_id = m.id and v.deleted_at is null
    where p.name = $1
    order by v.number desc limit 1`,
  shape: first,
};

export const findByNumber = (database: Database, project: string, model: string, number: number) =>
  database.read(byNumber, [project, model, number]);
export const findByAlias = (database: Database, project: string, model: string, alias: string) =>
  database.read(byAlias, [project, model, alias]);
export const findLatest = (database: Database, project: string, model: string) =>
  database.read(latest, [project, model]);

/** The newest version of a model that had been created and not deleted by an event's number. */
export async function findLatestAt(db: Db, modelId: string, sequence: bigint): Promise<string | undefined> {
  const { rows } = await sql<{ id: string }>`
    select e.subject_id as id from ledger_event e
    where e.model_id = ${modelId} and e.sequence <= ${sequence} and e.type = 'VERSION_CREATED' and not exists (
      select from ledger_event d
      where d.subject_id = e.subject_id and d.sequence <= ${sequence} and d.type = 'VERSION_DELETED')
    order by e.sequence desc limit 1`.execute(db);
  return rows[0]?.id;
}

/** First parents, so many generations up; undefined where the line ends before. */
export async function findAncestor(
  db: Db,
  versionId: string,
  generations: number,
): Promise<string | undefined> {
  const { rows } = await sql<{ id: string }>`
    with recursive line as (
      select ${versionId}::uuid as id, 0 as generation
      union all
      select p.parent_id, generation + 1 from line
      join version_parent p on p.version_id = line.id and p.ordinal = 1
      where generation < ${generations}
    )
    select id from line where generation = ${generations}`.execute(db);
  return rows[0]?.id;
}

export async function findParent(db: Db, versionId: string, ordinal: number): Promise<string | undefined> {
  const row = await db
    .selectFrom('versionParent')
    .select('parentId')
    .where('versionId', '=', versionId)
    .where('ordinal', '=', ordinal)
    .executeTakeFirst();
  return row?.parentId;
}
