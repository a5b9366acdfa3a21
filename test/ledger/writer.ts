/** Writes events to a project's ledger behind the api's back, with or without a hint. */
import { changePublisher } from '#src/events.ts';
import { appendTo, type LedgerEntry } from '#src/ledger/ledger.ts';
import type { Database } from '#src/platform/database.ts';
import { newId } from '#src/platform/id.ts';
import { openRedis, whenReady, type Redis } from '#src/platform/redis.ts';
import { innerId } from '#test/helpers/ledger.ts';

const actor = { name: 'alice', kind: 'USER' } as const;

/** An event of some model that is not there. */
export function anEvent(
  type: LedgerEntry['type'] = 'MODEL_UPDATED',
  data: Record<string, unknown> = {},
): LedgerEntry {
  const id = newId();
  return { type, subject: { type: 'Model', id }, modelId: id, data: { name: 'fraud', ...data } };
}

export class LedgerWriter {
  readonly #database: Database;
  readonly #projectId: string;
  readonly #redis: Redis | undefined;
  readonly #announce: (() => void) | undefined;

  /** @param redis where to tell of it; without it nobody is told. */
  constructor(database: Database, project: string, redis?: { url: string; prefix: string }) {
    this.#database = database;
    this.#projectId = innerId(project);
    if (!redis) return;
    const connection = (this.#redis = openRedis({ url: redis.url, mode: 'fast' }));
    const { announce } = changePublisher(connection, redis.prefix);
    this.#announce = () => announce('ledger', this.#projectId);
  }

  /** Writes events in one change; the number of the last. */
  async write(...entries: readonly LedgerEntry[]): Promise<number> {
    const { sequence } = await this.#database.db
      .transaction()
      .execute((tx) => appendTo(tx, this.#projectId, actor)(...entries));
    this.#announce?.();
    return Number(sequence);
  }

  /** Resolves once hints are told. */
  async ready(): Promise<void> {
    if (this.#redis) await whenReady(this.#redis);
  }

  async close(): Promise<void> {
    this.#redis?.disconnect();
    await this.#database.close();
  }
}
