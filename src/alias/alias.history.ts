/** What an alias stood for: read from the ledger, so it is what was written then and never changes. */
import type { Page, PageArgs } from '../paging/paging.ts';
import type { Actor } from '../access/access.ts';
import { listEvents, sequenceAt, type LedgerEvent } from '../ledger/ledger.ts';
import { findEventAt } from '../ledger/ledger.queries.ts';
import type { Db } from '../platform/database.ts';
import type { LedgerEventType } from '../platform/database.types.ts';
import { sought } from '../name/name.ts';
import type { Platform } from '../platform/platform.ts';
import { findAlias, type AliasRow, type LiveAlias } from './alias.queries.ts';

/** Where an alias came to stand, or that it was deleted. */
export interface AliasMove {
  readonly sequence: bigint;
  readonly at: Date;
  readonly by: Actor;
  readonly fromId: string | null;
  readonly toId: string | null;
}

const moves: readonly LedgerEventType[] = ['ALIAS_MOVED', 'ALIAS_DELETED'];
const all: readonly LedgerEventType[] = [...moves, 'ALIAS_PROTECTED', 'ALIAS_UNPROTECTED'];

/** What the events of an alias say of it. */
interface AliasData {
  readonly previous: string | null;
  readonly version: string | null;
  readonly protected: boolean;
}

function moveOf(event: LedgerEvent): AliasMove {
  const data = event.data as unknown as AliasData;
  return {
    sequence: event.sequence,
    at: event.at,
    by: { name: event.actorName, kind: event.actorKind },
    fromId: data.previous,
    toId: data.version,
  };
}

/** An alias as it was after an event; undefined where it stood for nothing. */
export async function findAliasAt(
  db: Db,
  modelId: string,
  name: string,
  sequence: bigint,
): Promise<LiveAlias | undefined> {
  const alias = await findAlias(db, modelId, sought(name));
  if (!alias) return undefined;
  const [last, move] = await Promise.all([
    findEventAt(db, alias.id, sequence, all),
    findEventAt(db, alias.id, sequence, moves),
  ]);
  const data = last?.data as unknown as AliasData | undefined;
  if (!last || !move || !data?.version) return undefined;
  return {
    ...alias,
    versionId: data.version,
    protected: data.protected,
    movedAt: move.at,
    movedByName: move.actorName,
    movedByKind: move.actorKind,
  };
}

/**
 * An alias of a model, now or as it was at a time.
 * @throws ValidationError for a time that is still to come.
 */
export async function aliasOf(
  platform: Platform,
  model: { readonly id: string; readonly projectId: string },
  name: string,
  asOf: Date | null,
): Promise<LiveAlias | undefined> {
  if (asOf) {
    const sequence = await sequenceAt(platform, model.projectId, ['asOf'], asOf);
    // It took its aliases along.
    if (await findEventAt(platform.db, model.id, sequence, ['MODEL_DELETED'])) return undefined;
    return findAliasAt(platform.db, model.id, name, sequence);
  }
  const alias = await findAlias(platform.db, model.id, sought(name));
  return alias?.versionId ? (alias as LiveAlias) : undefined;
}

/** Where an alias has stood, newest first. */
export async function listMoves(
  platform: Platform,
  alias: AliasRow,
  args: PageArgs,
): Promise<Page<AliasMove>> {
  const page = await listEvents(platform, alias.projectId, args, { subjectId: alias.id, types: moves });
  return { ...page, items: page.items.map(moveOf) };
}
