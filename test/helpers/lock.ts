/** Locks held from outside, so that what a test wants to meet has to wait and meets. */
import { sql, type RawBuilder } from 'kysely';
import type { Db } from '#src/platform/database.ts';
import type { Installation } from './installation.ts';

export interface HeldLock {
  /** The transaction that holds it. */
  readonly tx: Db;
  /** Resolves once so many statements wait for a lock in this database. */
  waiters(count: number): Promise<void>;
  /** Commits, and lets those who wait go on. */
  release(): Promise<void>;
}

/** Runs a statement that locks, in a transaction that stays open until `release`. */
export async function holdLock(
  installation: Installation,
  statement: RawBuilder<unknown>,
): Promise<HeldLock> {
  const { db, close } = installation.openDatabase();
  const transaction = await db.startTransaction().execute();
  await statement.execute(transaction);
  return {
    tx: transaction,
    waiters: async (count) => {
      const waiting = sql<{ count: bigint }>`
        select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      while (Number((await waiting.execute(db)).rows[0]?.count) < count);
    },
    release: async () => {
      await transaction.commit().execute();
      await close();
    },
  };
}
