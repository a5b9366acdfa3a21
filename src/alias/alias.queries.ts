import type { Insertable, Selectable } from 'kysely';
import type { Actor } from '../access/access.ts';
import type { Db } from '../platform/database.ts';
import type { Alias } from '../platform/database.generated.ts';

export type AliasRow = Selectable<Alias>;
/** An alias that stands for a version. */
export type LiveAlias = AliasRow & { readonly versionId: string };

/** Deleted ones too. */
export function findAliases(db: Db, ids: readonly string[]): Promise<AliasRow[]> {
  return db.selectFrom('alias').selectAll().where('id', 'in', ids).execute();
}

/** Deleted ones too: they keep their history. */
export function findAlias(db: Db, modelId: string, name: string): Promise<AliasRow | undefined> {
  return db
    .selectFrom('alias')
    .selectAll()
    .where('modelId', '=', modelId)
    .where('name', '=', name)
    .executeTakeFirst();
}

/** Locks an alias, which is made, standing for nothing, where there was none. */
export async function lockAlias(db: Db, alias: Insertable<Alias>): Promise<AliasRow> {
  await db
    .insertInto('alias')
    .values(alias)
    .onConflict((conflict) => conflict.columns(['modelId', 'name']).doNothing())
    .execute();
  return db
    .selectFrom('alias')
    .selectAll()
    .where('modelId', '=', alias.modelId)
    .where('name', '=', alias.name)
    .forUpdate()
    .executeTakeFirstOrThrow();
}

export function moveAlias(
  db: Db,
  id: string,
  to: { versionId: string | null; protected: boolean; at: Date; by: Actor },
): Promise<AliasRow> {
  return db
    .updateTable('alias')
    .set({
      versionId: to.versionId,
      protected: to.protected,
      movedAt: to.at,
      movedByName: to.by.name,
      movedByKind: to.by.kind,
    })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

export function setProtected(db: Db, id: string, isProtected: boolean): Promise<AliasRow> {
  return db
    .updateTable('alias')
    .set({ protected: isProtected })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function countAliases(db: Db, modelId: string): Promise<number> {
  const { count } = await db
    .selectFrom('alias')
    .select((eb) => eb.fn.countAll<bigint>().as('count'))
    .where('modelId', '=', modelId)
    .where('versionId', 'is not', null)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** By name. */
export function listAliases(db: Db, modelIds: readonly string[]): Promise<AliasRow[]> {
  return db
    .selectFrom('alias')
    .selectAll()
    .where('modelId', 'in', modelIds)
    .where('versionId', 'is not', null)
    .orderBy('name')
    .execute();
}

/** By name. */
export function listAliasesOf(db: Db, versionIds: readonly string[]): Promise<AliasRow[]> {
  return db.selectFrom('alias').selectAll().where('versionId', 'in', versionIds).orderBy('name').execute();
}
