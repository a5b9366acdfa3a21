import DataLoader from 'dataloader';
import { may, type Viewer } from '#src/access/access.ts';
import type { Authenticator } from '#src/access/token.ts';
import type { ChangeFeed } from '#src/events.ts';
import type { Deployment } from '#src/deployment/deployment.ts';
import { findDeployments, listArms, type ArmRow } from '#src/deployment/deployment.queries.ts';
import type { LiveMetrics } from '#src/metric/live.ts';
import type { Model } from '#src/model/model.ts';
import { findModels } from '#src/model/model.queries.ts';
import type { Operation } from '#src/operation/operation.ts';
import { findOperations } from '#src/operation/operation.queries.ts';
import { isId } from '#src/platform/id.ts';
import type { Platform } from '#src/platform/platform.ts';
import type { Predictor } from '#src/prediction/prediction.ts';
import type { Project } from '#src/project/project.ts';
import { findProjects } from '#src/project/project.queries.ts';
import { listReplicas, type ReplicaRow } from '#src/replica/replica.queries.ts';
import type { Artifact, Version } from '#src/version/version.ts';
import { findVersions, listArtifacts } from '#src/version/version.queries.ts';

/** What the api's process has, once. */
export interface Services {
  readonly platform: Platform;
  readonly authenticator: Authenticator;
  readonly predictor: Predictor;
  readonly live: LiveMetrics;
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
  #artifacts?: DataLoader<string, Artifact[]>;
  #arms?: DataLoader<string, ArmRow[]>;
  #replicas?: DataLoader<string, ReplicaRow[]>;

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
  /** By version: the uploaded files. */
  get artifacts(): DataLoader<string, Artifact[]> {
    return (this.#artifacts ??= this.#grouped(
      (ids) => listArtifacts(this.#platform.db, ids, 'UPLOADED'),
      (row) => row.versionId,
    ));
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
