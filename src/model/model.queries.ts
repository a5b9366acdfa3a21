import { sql, type Insertable, type Selectable } from 'kysely';
import { toPage, type Page, type PageRequest } from '../paging/paging.ts';
import type { Database, Db, PreparedRead } from '../platform/database.ts';
import type { Model } from '../platform/database.generated.ts';
import type { TagRecord } from '../platform/database.types.ts';
import { fromJoined, joinedColumns, type JoinedVersion, type ListedVersion } from '../version/version.row.ts';

export type ModelRow = Selectable<Model>;

export function insertModel(db: Db, model: Insertable<Model>): Promise<ModelRow> {
  return db.insertInto('model').values(model).returningAll().executeTakeFirstOrThrow();
}

export function findModels(db: Db, ids: readonly string[]): Promise<ModelRow[]> {
  return db.selectFrom('model').selectAll().where('id', 'in', ids).execute();
}

export function findModelByName(db: Db, projectId: string, name: string): Promise<ModelRow | undefined> {
  return db
    .selectFrom('model')
    .selectAll()
    .where('projectId', '=', projectId)
    .where('name', '=', name)
    .where('deletedAt', 'is', null)
    .executeTakeFirst();
}

/**
 * Takes the next version number of a model; the row stays locked until the transaction ends, so none is skipped.
 * Undefined when the model was deleted.
 */
export async function takeNumber(db: Db, modelId: string): Promise<number | undefined> {
  const row = await db
    .updateTable('model')
    .set((eb) => ({ lastNumber: eb('lastNumber', '+', 1), updatedAt: sql`now()` }))
    .where('id', '=', modelId)
    .where('deletedAt', 'is', null)
    .returning('lastNumber')
    .executeTakeFirst();
  return row?.lastNumber;
}

/** Locks a model, so that it gets no version and loses none until the transaction ends; undefined when it is deleted. */
export function lockModel(db: Db, id: string): Promise<ModelRow | undefined> {
  return db
    .selectFrom('model')
    .selectAll()
    .where('id', '=', id)
    .where('deletedAt', 'is', null)
    .forUpdate()
    .executeTakeFirst();
}

export function updateModel(
  db: Db,
  id: string,
  change: { description: string | null; tags: readonly TagRecord[] },
): Promise<ModelRow> {
  return db
    .updateTable('model')
    .set({ description: change.description, tags: JSON.stringify(change.tags), updatedAt: sql`now()` })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Leaves a mark in place of a model; its name is free again. */
export function markModelDeleted(db: Db, id: string, at: Date): Promise<ModelRow> {
  return db
    .updateTable('model')
    .set({ deletedAt: at })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** A model with its newest version, read together. */
export interface ListedModel extends ModelRow {
  readonly latest: ListedVersion | null;
}

interface ListedRow extends JoinedVersion {
  id: string;
  project_id: string;
  name: string;
  description: string | null;
  tags: ModelRow['tags'];
  last_number: number;
  created_at: Date;
  updated_at: Date;
  created_by_name: string;
  created_by_kind: ModelRow['createdByKind'];
}

function fromListed(row: ListedRow): ListedModel {
  const model = {
    id: row.id,
    projectId: row.project_id,
    name: row.name,
    description: row.description,
    tags: row.tags,
    lastNumber: row.last_number,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    createdByName: row.created_by_name,
    createdByKind: row.created_by_kind,
    deletedAt: null,
  };
  return { ...model, latest: fromJoined(row, model) };
}

const list: PreparedRead<ListedRow, [projectId: string, after: string, limit: number], Page<ListedModel>> = {
  name: 'model.list',
  text: `
    select m.id, m.project_id, m.name, m.description, m.tags, m.last_number, m.created_at, m.updated_at,
           m.created_by_name, m.created_by_kind, ${joinedColumns}
    from model m
    left join lateral (
      select * from version where model_id = m.id and deleted_at is null order by number desc limit 1
    ) v on true
    where m.project_id = $1 and m.name > $2 and m.deleted_at is null
    order by m.name
    limit $3`,
  // No name is empty, so nothing is left out at the beginning.
  shape: (rows, [, after, limit]) =>
    toPage(rows.map(fromListed), { first: limit - 1, after: after === '' ? undefined : [after] }),
};

/** A page of a project's models by name; latest versions come in the same statement. */
export function listModels(
  database: Database,
  projectId: string,
  page: PageRequest,
): Promise<Page<ListedModel>> {
  return database.read(list, [projectId, page.after?.[0] ?? '', page.first + 1]);
}
