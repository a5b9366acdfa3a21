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
  /** Replicas of each arm; events from before deployments could be scaled do not tell. */
  readonly replicas?: number;
}

export async function deploymentEvent(
  tx: Db,
  type: LedgerEventType,
  row: DeploymentRow,
): Promise<LedgerEntry> {
  const { id, name, state, stateReason: reason, desiredReplicas: replicas } = row;
  const data: DeploymentRecord = { name, state, reason, arms: await listArmRecords(tx, id), replicas };
  return { type, subject: { type: 'Deployment', id }, data: { ...data } };
}
