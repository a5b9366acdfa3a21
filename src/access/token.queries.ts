import { sql, type Insertable, type Selectable } from 'kysely';
import type { Db } from '../platform/database.ts';
import type { ApiToken } from '../platform/database.generated.ts';

export type TokenRow = Omit<Selectable<ApiToken>, 'hash'>;

const columns = [
  'id',
  'projectId',
  'name',
  'role',
  'createdAt',
  'createdByName',
  'lastUsedAt',
  'expiresAt',
  'revokedAt',
] as const;

export function insertToken(db: Db, token: Insertable<ApiToken>): Promise<TokenRow> {
  return db.insertInto('apiToken').values(token).returning(columns).executeTakeFirstOrThrow();
}

export function findToken(db: Db, id: string): Promise<TokenRow | undefined> {
  return db.selectFrom('apiToken').select(columns).where('id', '=', id).executeTakeFirst();
}

/** By the secret's hash; neither expired nor revoked. */
export function findLiveToken(db: Db, hash: Buffer): Promise<TokenRow | undefined> {
  return db
    .selectFrom('apiToken')
    .select(columns)
    .where('hash', '=', hash)
    .where('revokedAt', 'is', null)
    .where((eb) => eb.or([eb('expiresAt', 'is', null), eb('expiresAt', '>', sql<Date>`now()`)]))
    .executeTakeFirst();
}

export async function touchToken(db: Db, id: string): Promise<void> {
  await db
    .updateTable('apiToken')
    .set({ lastUsedAt: sql`now()` })
    .where('id', '=', id)
    .execute();
}

/** Undefined when it was revoked before. */
export function revokeToken(db: Db, id: string): Promise<TokenRow | undefined> {
  return db
    .updateTable('apiToken')
    .set({ revokedAt: sql`now()` })
    .where('id', '=', id)
    .where('revokedAt', 'is', null)
    .returning(columns)
    .executeTakeFirst();
}

/** Tokens of a project that still work, by name. */
export function listTokens(db: Db, projectId: string): Promise<TokenRow[]> {
  return db
    .selectFrom('apiToken')
    .select(columns)
    .where('projectId', '=', projectId)
    .where('revokedAt', 'is', null)
    .orderBy('name')
    .limit(1000)
    .execute();
}
