/** Column types that PostgreSQL cannot tell the generator: exact integers, JSON documents, closed sets of words. */
import type { ColumnType } from 'kysely';

/** int8: a BigInt when read, anything whole when written. */
export type Int8 = ColumnType<bigint, bigint | number | string, bigint | number | string>;
/** jsonb: parsed when read, written as JSON text. */
export type JsonColumn<T> = ColumnType<T, string, string>;

export interface TagRecord {
  readonly key: string;
  readonly value: string;
}
/** A failed operation's error, as it is shown. */
export interface ErrorRecord {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

export const actorKinds = ['USER', 'TOKEN', 'SYSTEM'] as const;
export type ActorKind = (typeof actorKinds)[number];

export const operationStatuses = [
  'QUEUED',
  'RUNNING',
  'CANCELLING',
  'SUCCEEDED',
  'FAILED',
  'CANCELLED',
] as const;
export type OperationStatus = (typeof operationStatuses)[number];

export const versionStatuses = ['PENDING', 'INGESTING', 'READY', 'QUARANTINED', 'REJECTED'] as const;
export type VersionStatus = (typeof versionStatuses)[number];

export type ArtifactRole = 'UPLOADED' | 'SERVING';

export const deploymentStates = [
  'PENDING',
  'PROVISIONING',
  'LIVE',
  'DEGRADED',
  'FAILED',
  'STOPPING',
  'STOPPED',
] as const;
export type DeploymentState = (typeof deploymentStates)[number];

export const armRoles = ['STABLE', 'CANDIDATE', 'SHADOW'] as const;
export type ArmRole = (typeof armRoles)[number];

export const invalidOutputPolicies = ['FAIL', 'RETURN'] as const;
export type InvalidOutputPolicy = (typeof invalidOutputPolicies)[number];

export const replicaStates = [
  'STARTING',
  'LOADING',
  'WARMING',
  'READY',
  'DRAINING',
  'BACKING_OFF',
  'EXITED',
] as const;
export type ReplicaState = (typeof replicaStates)[number];
