import DataLoader from 'dataloader';
import { may, type Viewer } from '#src/access/access.ts';
import type { Authenticator } from '#src/access/token.ts';
import type { ChangeFeed } from '#src/events.ts';
import { isLive, type Alias } from '#src/alias/alias.ts';
import { findAliases, listAliases, listAliasesOf, type AliasRow } from '#src/alias/alias.queries.ts';
import { listDeploymentsOf, type Deployment } from '#src/deployment/deployment.ts';
import { findArms, findDeployments, listArms, type ArmRow } from '#src/deployment/deployment.queries.ts';
import type { LedgerEvent } from '#src/ledger/ledger.ts';
import { findEvents } from '#src/ledger/ledger.queries.ts';
import type { LedgerTails } from '#src/ledger/tail.ts';
import type { LiveMetrics } from '#src/metric/live.ts';
import type { Model } from '#src/model/model.ts';
import { findModels } from '#src/model/model.queries.ts';
import type { Operation } from '#src/operation/operation.ts';
import { findOperations } from '#src/operation/operation.queries.ts';
import { isId } from '#src/platform/id.ts';
import type { Platform } from '#src/platform/platform.ts';
import type { IdempotentPredictor } from '#src/prediction/idempotency.ts';
import { findPredictions, type LoggedRequest } from '#src/prediction/logged.queries.ts';
import { listDropped } from '#src/prediction/log.queries.ts';
import { listArmOrigins, type ArmOrigin } from '#src/prediction/provenance.ts';
import { listPayloads, type Payload } from '#src/prediction/logged.ts';
import type { Project } from '#src/project/project.ts';
import { findProjects } from '#src/project/project.queries.ts';
import { listReplicas, type ReplicaRow } from '#src/replica/replica.queries.ts';
import { findRollouts, listRunning, type RolloutRow } from '#src/rollout/rollout.queries.ts';
import type { Artifact, Version } from '#src/version/version.ts';
import { listChildren, listParents, type ParentRow } from '#src/version/lineage.queries.ts';
import { findVersions, listArtifacts, listMetrics } from '#src/version/version.queries.ts';
import { listStored } from '#src/version/quota.queries.ts';
import { findInspections, type InspectionRow } from '#src/version/safety.queries.ts';
import type { MetricRow } from '#src/version/version.row.ts';

/** A list that is no connection has an end. */
export const MOST_CHILDREN = 100;

/** What the api's process has, once. */
export interface Services {
  readonly platform: Platform;
  readonly authenticator: Authenticator;
  readonly predictor: IdempotentPredictor;
  readonly live: LiveMetrics;
  readonly tails: LedgerTails;
  readonly feed: ChangeFeed;
}

/**
 * Loads by id, many at a time, within one request; what the viewer may not read is undefined. Made when first asked
 * for: most requests need one or none.
 */
export class Loaders {
  readonly #platform: Platform;
  readonly #viewer: Viewer;
  #project?: DataLoader<string, Project | undefined>;
  #model?: DataLoader<string, Model | undefined>;
  #version?: DataLoader<string, Version | undefined>;
  #operation?: DataLoader<string, Operation | undefined>;
  #deployment?: DataLoader<string, Deployment | undefined>;
  #ledgerEvent?: DataLoader<string, LedgerEvent | undefined>;
  #predictionRequest?: DataLoader<string, LoggedRequest | undefined>;
  #payload?: DataLoader<string, Payload[]>;
  #dropped?: DataLoader<string, { dropped: bigint }[]>;
  #rollout?: DataLoader<string, RolloutRow | undefined>;
  #armOrigins?: DataLoader<string, ArmOrigin[]>;
  #artifacts?: DataLoader<string, Artifact[]>;
  #inspections?: DataLoader<string, InspectionRow[]>;
  #stored?: DataLoader<string, { bytes: bigint }[]>;
  #arms?: DataLoader<string, ArmRow[]>;
  #replicas?: DataLoader<string, ReplicaRow[]>;
  #metrics?: DataLoader<string, MetricRow[]>;
  #parents?: DataLoader<string, ParentRow[]>;
  #children?: DataLoader<string, { id: string }[]>;
  #alias?: DataLoader<string, Alias | undefined>;
  #runningRollout?: DataLoader<string, RolloutRow[]>;
  #arm?: DataLoader<string, ArmRow | undefined>;
  #aliases?: DataLoader<string, AliasRow[]>;
  #aliasesOfModel?: DataLoader<string, AliasRow[]>;
  #deploymentsOfVersion?: DataLoader<string, Deployment[]>;
  #deploymentsOfModel?: DataLoader<string, Deployment[]>;

  constructor(platform: Platform, viewer: Viewer) {
    this.#platform = platform;
    this.#viewer = viewer;
  }

  #byId<T extends { id: string }>(
    find: (ids: readonly string[]) => Promise<T[]>,
    projectOf: (row: T) => string,
  ): DataLoader<string, T | undefined> {
    return new DataLoader(async (ids) => {
      const known = ids.filter(isId);
      const found = known.length > 0 ? await find(known) : [];
      const rows = new Map(found.map((row) => [row.id, row]));
      return ids.map((id) => {
        const row = rows.get(id);
        return row && may(this.#viewer, projectOf(row), 'READER') ? row : undefined;
      });
    });
  }

  #grouped<T>(
    list: (ids: readonly string[]) => Promise<T[]>,
    keyOf: (row: T) => string,
  ): DataLoader<string, T[]> {
    return new DataLoader(async (ids) => {
      const groups = Map.groupBy(await list(ids), keyOf);
      return ids.map((id) => groups.get(id) ?? []);
    });
  }

  get project(): DataLoader<string, Project | undefined> {
    return (this.#project ??= this.#byId(
      (ids) => findProjects(this.#platform.db, ids),
      (row) => row.id,
    ));
  }
  get model(): DataLoader<string, Model | undefined> {
    return (this.#model ??= this.#byId(
      (ids) => findModels(this.#platform.db, ids),
      (row) => row.projectId,
    ));
  }
  get version(): DataLoader<string, Version | undefined> {
    return (this.#version ??= this.#byId(
      (ids) => findVersions(this.#platform.db, ids),
      (row) => row.projectId,
    ));
  }
  get operation(): DataLoader<string, Operation | undefined> {
    return (this.#operation ??= this.#byId(
      (ids) => findOperations(this.#platform.db, ids),
      (row) => row.projectId,
    ));
  }
  get deployment(): DataLoader<string, Deployment | undefined> {
    return (this.#deployment ??= this.#byId(
      (ids) => findDeployments(this.#platform.db, ids),
      (row) => row.projectId,
    ));
  }
  get ledgerEvent(): DataLoader<string, LedgerEvent | undefined> {
    return (this.#ledgerEvent ??= this.#byId(
      (ids) => findEvents(this.#platform.db, ids),
      (row) => row.projectId,
    ));
  }
  /** By the id of a request. */
  get predictionRequest(): DataLoader<string, LoggedRequest | undefined> {
    return (this.#predictionRequest ??= this.#byId(
      (ids) => findPredictions(this.#platform.db, ids),
      (row) => row.projectId,
    ));
  }
  /** By the id of a request: its tensors, or none. For whoever may read the request. */
  get payload(): DataLoader<string, Payload[]> {
    return (this.#payload ??= this.#grouped(
      (ids) => listPayloads(this.#platform, ids),
      (payload) => payload.requestId,
    ));
  }
  /** By deployment: one, or none. */
  get dropped(): DataLoader<string, { dropped: bigint }[]> {
    return (this.#dropped ??= this.#grouped(
      (ids) => listDropped(this.#platform.db, ids),
      (row) => row.deploymentId,
    ));
  }
  get rollout(): DataLoader<string, RolloutRow | undefined> {
    return (this.#rollout ??= this.#byId(
      (ids) => findRollouts(this.#platform.db, ids),
      (row) => row.projectId,
    ));
  }
  /** By deployment: all arms that it has ever had, newest first. */
  get armOrigins(): DataLoader<string, ArmOrigin[]> {
    return (this.#armOrigins ??= this.#grouped(
      (ids) => listArmOrigins(this.#platform.db, ids),
      (row) => row.deploymentId,
    ));
  }
  /** By version: the uploaded files. */
  get artifacts(): DataLoader<string, Artifact[]> {
    return (this.#artifacts ??= this.#grouped(
      (ids) => listArtifacts(this.#platform.db, ids, 'UPLOADED'),
      (row) => row.versionId,
    ));
  }
  /** By version: one, or none. */
  get inspections(): DataLoader<string, InspectionRow[]> {
    return (this.#inspections ??= this.#grouped(
      (ids) => findInspections(this.#platform.db, ids),
      (row) => row.versionId,
    ));
  }
  /** By project: one, or none. */
  get stored(): DataLoader<string, { bytes: bigint }[]> {
    return (this.#stored ??= this.#grouped(
      (ids) => listStored(this.#platform.db, ids),
      (row) => row.projectId,
    ));
  }
  get alias(): DataLoader<string, Alias | undefined> {
    return (this.#alias ??= this.#byId(
      async (ids) => (await findAliases(this.#platform.db, ids)).filter(isLive),
      (row) => row.projectId,
    ));
  }
  /** By deployment: one, or none. */
  get runningRollout(): DataLoader<string, RolloutRow[]> {
    return (this.#runningRollout ??= this.#grouped(
      (ids) => listRunning(this.#platform.db, ids),
      (row) => row.deploymentId,
    ));
  }
  /** By id, for whoever may read its deployment; those that are retired too. */
  get arm(): DataLoader<string, ArmRow | undefined> {
    return (this.#arm ??= new DataLoader(async (ids) => {
      const rows = new Map((await findArms(this.#platform.db, ids)).map((row) => [row.id, row]));
      return ids.map((id) => rows.get(id));
    }));
  }
  /** By deployment. */
  get arms(): DataLoader<string, ArmRow[]> {
    return (this.#arms ??= this.#grouped(
      (ids) => listArms(this.#platform.db, ids),
      (row) => row.deploymentId,
    ));
  }
  /** By deployment; those that have not ended. */
  get replicas(): DataLoader<string, ReplicaRow[]> {
    return (this.#replicas ??= this.#grouped(
      (ids) => listReplicas(this.#platform.db, ids),
      (row) => row.deploymentId,
    ));
  }
  /** By version, by name. */
  get metrics(): DataLoader<string, MetricRow[]> {
    return (this.#metrics ??= this.#grouped(
      (ids) => listMetrics(this.#platform.db, ids),
      (row) => row.versionId,
    ));
  }
  /** By version, in their order. */
  get parents(): DataLoader<string, ParentRow[]> {
    return (this.#parents ??= this.#grouped(
      (ids) => listParents(this.#platform.db, ids),
      (row) => row.versionId,
    ));
  }
  /** By version, newest first. */
  get children(): DataLoader<string, { id: string }[]> {
    return (this.#children ??= this.#grouped(
      (ids) => listChildren(this.#platform.db, ids, MOST_CHILDREN),
      (row) => row.parentId,
    ));
  }
  /** By version, by name. */
  get aliases(): DataLoader<string, AliasRow[]> {
    return (this.#aliases ??= this.#grouped(
      (ids) => listAliasesOf(this.#platform.db, ids),
      (row) => row.versionId ?? '',
    ));
  }
  /** By model, by name. */
  get aliasesOfModel(): DataLoader<string, AliasRow[]> {
    return (this.#aliasesOfModel ??= this.#grouped(
      (ids) => listAliases(this.#platform.db, ids),
      (row) => row.modelId,
    ));
  }
  /** By version, by name; those that are not STOPPED. */
  get deploymentsOfVersion(): DataLoader<string, Deployment[]> {
    return (this.#deploymentsOfVersion ??= this.#grouped(
      (ids) => listDeploymentsOf(this.#platform, { versionIds: ids }),
      (row) => row.versionId,
    ));
  }
  /** By model, by name; those that are not STOPPED. */
  get deploymentsOfModel(): DataLoader<string, Deployment[]> {
    return (this.#deploymentsOfModel ??= this.#grouped(
      (ids) => listDeploymentsOf(this.#platform, { modelIds: ids }),
      (row) => row.modelId,
    ));
  }
}

/** What a resolver sees. A plain object: yoga copies its own properties into the context that it makes. */
export interface Context {
  readonly services: Services;
  readonly platform: Platform;
  readonly viewer: Viewer;
  readonly requestId: string;
  loaders: Loaders;
}

/** Forgets what was loaded: a subscription's next event is about what is then. */
export function forgetLoaded(context: Context): void {
  context.loaders = new Loaders(context.platform, context.viewer);
}

export function createContext(services: Services, viewer: Viewer, requestId: string): Context {
  const { platform } = services;
  return { services, platform, viewer, requestId, loaders: new Loaders(platform, viewer) };
}
