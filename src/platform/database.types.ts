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

export type DeploymentTarget = 'LOCAL' | 'EXTERNAL';

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

export const rolloutStrategies = ['ALL_AT_ONCE', 'CANARY', 'LINEAR', 'SHADOW'] as const;
export type RolloutStrategy = (typeof rolloutStrategies)[number];

export const rolloutStates = [
  'PENDING',
  'PROVISIONING',
  'WARMING',
  'SHIFTING',
  'BAKING',
  'FINISHING',
  'SUCCEEDED',
  'ROLLING_BACK',
  'ROLLED_BACK',
  'FAILED',
  'ABORTED',
] as const;
export type RolloutState = (typeof rolloutStates)[number];
/** What ROLLING_BACK ends in. */
export type RolloutEnding = 'ROLLED_BACK' | 'ABORTED';

export const stepStates = ['WAITING', 'SHIFTING', 'BAKING', 'PASSED', 'FAILED', 'SKIPPED'] as const;
export type StepState = (typeof stepStates)[number];

export interface RolloutStep {
  /** The candidate's share of the traffic, 0 to 1. */
  readonly weight: number;
  readonly bakeSeconds: number;
  readonly state: StepState;
  /** Requests that the candidate answered, or that were mirrored to a shadow, while it baked. */
  readonly samples: number;
}

export interface ArmWeight {
  readonly armId: string;
  readonly weight: number;
}

/** What the log has of a request's inputs and outputs. */
export const predictionPayloads = ['LOGGED', 'NOT_SAMPLED', 'TOO_LARGE'] as const;
export type PredictionPayload = (typeof predictionPayloads)[number];

/** Where a version came from. */
export const versionOrigins = ['UPLOADED', 'RESTORED'] as const;
export type VersionOrigin = (typeof versionOrigins)[number];

/** Who says a version's metric. */
export const metricSources = ['REPORTED'] as const;
export type MetricSource = (typeof metricSources)[number];

/** Everything that can change; `DEPLOYMENT_` and `VERSION_` events that name a state say that it was entered. */
export const ledgerEventTypes = [
  'PROJECT_CREATED',
  'TOKEN_CREATED',
  'TOKEN_REVOKED',
  'MODEL_CREATED',
  'MODEL_UPDATED',
  'MODEL_DELETED',
  'VERSION_CREATED',
  'VERSION_INGESTING',
  'VERSION_READY',
  'VERSION_QUARANTINED',
  'VERSION_RELEASED',
  'VERSION_REJECTED',
  'VERSION_UPDATED',
  'VERSION_ARCHIVED',
  'VERSION_UNARCHIVED',
  'VERSION_DELETED',
  'ALIAS_MOVED',
  'ALIAS_PROTECTED',
  'ALIAS_UNPROTECTED',
  'ALIAS_DELETED',
  'DEPLOYMENT_CREATED',
  'DEPLOYMENT_SCALED',
  'DEPLOYMENT_UPDATED',
  'DEPLOYMENT_PROVISIONING',
  'DEPLOYMENT_LIVE',
  'DEPLOYMENT_DEGRADED',
  'DEPLOYMENT_FAILED',
  'DEPLOYMENT_STOPPING',
  'DEPLOYMENT_STOPPED',
  'ROLLOUT_STARTED',
  'ROLLOUT_SHIFTED',
  'ROLLOUT_PAUSED',
  'ROLLOUT_RESUMED',
  'ROLLOUT_PROMOTED',
  'ROLLOUT_ROLLING_BACK',
  'ROLLOUT_ROLLED_BACK',
  'ROLLOUT_ABORTED',
  'ROLLOUT_FAILED',
  'ROLLOUT_SUCCEEDED',
  'OPERATION_CANCEL_REQUESTED',
] as const;
export type LedgerEventType = (typeof ledgerEventTypes)[number];

/** What kind of thing an event is about. */
export type LedgerSubject =
  'Project' | 'ApiToken' | 'Model' | 'Version' | 'Alias' | 'Deployment' | 'Operation';
