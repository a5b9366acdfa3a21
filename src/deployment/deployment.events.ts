/** What the ledger says of deployments: each event tells the whole state after it, which is how the past is read. */
import type { LedgerEntry } from '../ledger/ledger.ts';
import type { Db } from '../platform/database.ts';
import type { ArmRole, DeploymentState, LedgerEventType } from '../platform/database.types.ts';
import { listArmRecords, type DeploymentRow } from './deployment.queries.ts';

/** An arm as it was. */
export interface ArmRecord {
  readonly name: string;
  readonly role: ArmRole;
  readonly weight: number;
  /** The version's id. */
  readonly version: string;
  readonly model: string;
  readonly number: number;
}

export interface DeploymentRecord {
  readonly name: string;
  readonly state: DeploymentState;
  readonly reason: string | null;
  readonly arms: readonly ArmRecord[];
}

export async function deploymentEvent(
  tx: Db,
  type: LedgerEventType,
  { id, name, state, stateReason }: DeploymentRow,
): Promise<LedgerEntry> {
  const data: DeploymentRecord = { name, state, reason: stateReason, arms: await listArmRecords(tx, id) };
  return { type, subject: { type: 'Deployment', id }, data: { ...data } };
}
