/**
 * Where predictions go: an in-memory table of deployments, their arms and ready replicas, refreshed on every
 * notification and by a poll, so that a lost notification costs a second at most and PostgreSQL is not asked per
 * prediction.
 */
import { ReplicaClient } from '../inference/replica-client.ts';
import type { ChangeFeed } from '../events.ts';
import type {
  ArmRole,
  DeploymentState,
  InvalidOutputPolicy,
  RolloutStrategy,
} from '../platform/database.types.ts';
import { sought } from '../name/name.ts';
import { isId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { EXTERNAL_HOST } from '../replica/replica.state.ts';
import type { Signature } from '../signature/signature.ts';
import { findVersions } from '../version/version.queries.ts';
import type { VersionRow } from '../version/version.row.ts';
import { PLACES, type Share } from './arm-shares.ts';
import { answers, isComingUp } from './deployment.state.ts';
import { ReplicaLoad } from './replica-load.ts';
import * as queries from './routing.queries.ts';

export interface ReplicaRoute {
  readonly id: string;
  readonly launch: number;
  readonly client: ReplicaClient;
  /** Requests of this process under way there, and how fast they are answered. */
  readonly load: ReplicaLoad;
  /** performance.now() until which it is passed over, because it could not be reached. */
  shunUntil: number;
}

export interface ArmRoute {
  readonly id: string;
  readonly name: string;
  readonly role: ArmRole;
  readonly weight: number;
  /** Places of routing keys that are its own, see `arm-shares.ts`. */
  readonly shares: readonly Share[];
  /** As it was when it was first deployed: what can change of it is not for predictions. */
  readonly version: VersionRow;
  readonly signature: Signature;
  readonly replicas: readonly ReplicaRoute[];
}

/** What a running rollout means for predictions. */
export interface RolloutRoute {
  readonly id: string;
  /** From 0; null before the first. */
  readonly step: number | null;
  readonly strategy: RolloutStrategy;
  readonly stableArmId: string;
  /** The arm that is judged; null before it is there. */
  readonly candidateArmId: string | null;
  /** Share of the stable arm's requests that the candidate gets too, 0 to 1. */
  readonly mirrorShare: number;
  /** By how much numbers of both arms may differ and still agree; null: labels alone count. */
  readonly tolerance: number | null;
  /** Whether the candidate is being looked at: only then are requests mirrored. */
  readonly measures: boolean;
}

export interface DeploymentRoute {
  readonly id: string;
  readonly projectId: string;
  readonly label: string;
  readonly state: DeploymentState;
  readonly stateReason: string | null;
  readonly invalidOutputs: InvalidOutputPolicy;
  readonly arms: readonly ArmRoute[];
  /** The one that runs. */
  readonly rollout: RolloutRoute | null;
}

const POLL_MS = 1_000;
const STALL_POLL_MS = 250;
/** How long a replica that has stalled is passed over, unless it still does then. */
const STALL_SHUN_MS = 1_000;
/** Rows of a transaction that commits late carry an earlier time: look back this far each time. */
const OVERLAP_SECONDS = 10;
const RELOAD_EVERY = 60;

/** Whether nobody answers by what is known here, though by now somebody may: notifications take their time. */
export function mayBeUp({ state, arms }: DeploymentRoute): boolean {
  const isDown = arms.every(({ role, replicas }) => role === 'SHADOW' || replicas.length === 0);
  return isComingUp(state) || (answers(state) && isDown);
}

export class RouteTable {
  readonly #platform: Platform;
  readonly #byId = new Map<string, DeploymentRoute>();
  readonly #byLabel = new Map<string, string>();
  readonly #replicas = new Map<string, ReplicaRoute>();
  readonly #looks = new Map<string, Promise<void>>();
  readonly #stopWatching: () => void;
  readonly #timer: NodeJS.Timeout;
  readonly #stallTimer: NodeJS.Timeout;
  #polls = 0;
  #polling = false;
  #closed = false;

  constructor(platform: Platform, feed: ChangeFeed) {
    this.#platform = platform;
    this.#stopWatching = feed.watchAll('deployment', (id) => {
      if (id === null) void this.#poll();
      else if (isId(id)) void this.load([id]).catch(() => undefined);
    });
    this.#timer = setInterval(() => void this.#poll(), POLL_MS);
    this.#stallTimer = setInterval(() => this.#routeAroundStalls(), STALL_POLL_MS);
  }

  /** By id or `project/name`; undefined when it is not known here (it may still exist: `find`). */
  get(ref: string): DeploymentRoute | undefined {
    return this.#byId.get(ref) ?? this.#byId.get(this.#byLabel.get(ref) ?? '');
  }

  /** As `get`, asking PostgreSQL where it is not known, or is thought to be down. */
  async find(ref: string): Promise<DeploymentRoute | undefined> {
    const known = this.get(ref);
    if (known && !mayBeUp(known)) return known;
    const id = known?.id ?? (isId(ref) ? ref : await queries.findIdByLabel(this.#platform.db, sought(ref)));
    if (id === undefined) return undefined;
    try {
      await this.#lookAt(id);
    } catch (error) {
      // What was known of it says at least why there is no answer.
      if (!known) throw error;
    }
    return this.#byId.get(id);
  }

  /** The newest of a deployment that PostgreSQL has; what is known of it where PostgreSQL does not tell. */
  async renew(id: string): Promise<DeploymentRoute | undefined> {
    await this.#lookAt(id).catch(() => undefined);
    return this.#byId.get(id);
  }

  /**
   * One look at a time, however many ask for what is down. One that had begun may have missed what its caller has read
   * since: the next one, which all who waited share, has not.
   */
  async #lookAt(id: string): Promise<void> {
    await this.#looks.get(id)?.catch(() => undefined);
    const next = this.#looks.get(id);
    if (next) return next;
    const look = this.load([id]).finally(() => this.#looks.delete(id));
    this.#looks.set(id, look);
    return look;
  }

  /** Reads deployments anew. */
  async load(ids: readonly string[] | null): Promise<void> {
    const rows = await queries.listRoutes(this.#platform.db, ids);
    const versions = await this.#versionsOf(rows);
    if (this.#closed) return;
    const found = new Set(rows.map((row) => row.id));
    for (const id of ids ?? [...this.#byId.keys()]) if (!found.has(id)) this.#forget(id);
    for (const row of rows) this.#put(row, versions);
    this.#dropUnused();
  }

  /** Those known already stay the same objects: what was compiled for a signature hangs on its identity. */
  async #versionsOf(rows: readonly queries.RouteRow[]): Promise<Map<string, VersionRow>> {
    const versions = new Map<string, VersionRow>();
    for (const { arms } of this.#byId.values())
      for (const { version } of arms) versions.set(version.id, version);
    const wanted = new Set(rows.flatMap(({ arms }) => arms.map((arm) => arm.versionId)));
    const missing = [...wanted].filter((id) => !versions.has(id));
    if (missing.length === 0) return versions;
    for (const version of await findVersions(this.#platform.db, missing)) versions.set(version.id, version);
    return versions;
  }

  #put(row: queries.RouteRow, versions: ReadonlyMap<string, VersionRow>): void {
    const arms = row.arms.flatMap((arm) => {
      const version = versions.get(arm.versionId);
      if (!version?.signature) return [];
      const replicas = row.replicas
        .filter((replica) => replica.armId === arm.id && this.#isReachable(replica))
        .map((replica) => this.#replica(replica, arm.modelName, version.number));
      return [
        {
          id: arm.id,
          name: arm.name,
          role: arm.role,
          weight: arm.weight,
          shares: arm.shares,
          version,
          signature: version.signature,
          replicas,
        },
      ];
    });
    const { id, projectId, label, state, stateReason, invalidOutputs } = row;
    const rollout = row.rollout && rolloutOf(row.rollout);
    this.#byId.set(id, { id, projectId, label, state, stateReason, invalidOutputs, arms, rollout });
    if (state !== 'STOPPED') this.#byLabel.set(label, id);
    else if (this.#byLabel.get(label) === id) this.#byLabel.delete(label);
  }

  #isReachable(replica: queries.RouteRow['replicas'][number]): boolean {
    return !replica.endpoint.startsWith('unix:') || replica.hostId === this.#platform.config.HOST_ID;
  }

  #replica(
    row: queries.RouteRow['replicas'][number],
    modelName: string,
    versionNumber: number,
  ): ReplicaRoute {
    const key = `${row.id}:${row.launch}`;
    const known = this.#replicas.get(key);
    if (known) return known;
    const client = new ReplicaClient({
      endpoint: row.endpoint,
      token: row.token,
      binary: row.binaryTensors,
      ...(row.hostId === EXTERNAL_HOST ? { maxAnswerBytes: this.#platform.config.MAX_INFER_BYTES } : {}),
      modelName,
      versionNumber,
    });
    const fresh: ReplicaRoute = {
      id: row.id,
      launch: row.launch,
      client,
      load: new ReplicaLoad(),
      shunUntil: 0,
    };
    this.#replicas.set(key, fresh);
    return fresh;
  }

  #forget(id: string): void {
    const old = this.#byId.get(id);
    this.#byId.delete(id);
    if (old && this.#byLabel.get(old.label) === id) this.#byLabel.delete(old.label);
  }

  #dropUnused(): void {
    const used = new Set<ReplicaRoute>();
    for (const { arms } of this.#byId.values())
      for (const arm of arms) for (const one of arm.replicas) used.add(one);
    for (const [key, replica] of this.#replicas) {
      if (used.has(replica)) continue;
      this.#replicas.delete(key);
      // Answers under way still arrive.
      void replica.client.close();
    }
  }

  async #poll(): Promise<void> {
    if (this.#polling || this.#closed) return;
    this.#polling = true;
    try {
      const all = this.#polls++ % RELOAD_EVERY === 0;
      const ids = all ? null : await queries.listChanged(this.#platform.db, OVERLAP_SECONDS);
      if (ids === null || ids.length > 0) await this.load(ids);
    } catch (error) {
      this.#platform.logger.warn({ err: error }, 'routes could not be refreshed; the old ones stay');
      // Nobody knows what was missed meanwhile.
      this.#polls = 0;
    } finally {
      this.#polling = false;
    }
  }

  /**
   * Long before a replica that hangs is replaced, its callers are sent to another one of its arm, and new ones pass it
   * over. Where all of them are silent, nothing is gained: there the model takes its time.
   */
  #routeAroundStalls(): void {
    const now = performance.now();
    for (const { arms } of this.#byId.values()) {
      for (const { replicas } of arms) {
        if (replicas.length < 2) continue;
        const stalled = replicas.filter(({ load }) => load.isStalled(now));
        if (stalled.length === 0 || stalled.length === replicas.length) continue;
        for (const replica of stalled) {
          replica.shunUntil = now + STALL_SHUN_MS;
          replica.client.giveUp('The replica does not answer; another one was asked.');
        }
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    clearInterval(this.#stallTimer);
    this.#stopWatching();
    await Promise.allSettled([...this.#replicas.values()].map((replica) => replica.client.close()));
  }
}

function rolloutOf({ state, gates, ...row }: NonNullable<queries.RouteRow['rollout']>): RolloutRoute {
  const disagreement = gates.find(({ metric }) => metric === 'DISAGREEMENT_RATE');
  const measures = state === 'SHIFTING' || state === 'BAKING';
  return { ...row, tolerance: disagreement?.tolerance ?? null, measures };
}

/** The arm that a place belongs to, whether or not it has a replica: a routing key's (`placeOf`), or any at random. */
export function ownerOf(arms: readonly ArmRoute[], place: number): ArmRoute | undefined {
  return arms.find(
    ({ role, shares }) => role !== 'SHADOW' && shares.some(([from, to]) => place >= from && place < to),
  );
}

/**
 * The arm that answers at a place: its owner. Where that has no replica, the others that have one take its places by
 * their weights, each place always the same; those without a weight where nobody else is up; a SHADOW never. undefined
 * when none has a replica.
 */
export function armAt(arms: readonly ArmRoute[], place: number): ArmRoute | undefined {
  const own = ownerOf(arms, place);
  if (own && own.replicas.length > 0) return own;
  const up = arms.filter(({ role, replicas }) => role !== 'SHADOW' && replicas.length > 0);
  const weighed = up.filter(({ weight }) => weight > 0);
  const total = weighed.reduce((sum, { weight }) => sum + weight, 0);
  let left = (place / PLACES) * total;
  return weighed.find(({ weight }) => (left -= weight) < 0) ?? weighed.at(-1) ?? up[0];
}

/** The arm that serves a version number, whatever its weight, but no SHADOW; one with a replica comes first. */
export function armServing(arms: readonly ArmRoute[], version: number): ArmRoute | undefined {
  let found: ArmRoute | undefined;
  for (const arm of arms) {
    if (arm.version.number !== version || arm.role === 'SHADOW') continue;
    if (arm.replicas.length > 0) return arm;
    found ??= arm;
  }
  return found;
}

/** The less busy of two replicas drawn at random, passing over those that could not be reached lately. */
export function drawReplica(
  replicas: readonly ReplicaRoute[],
  now: number,
  not: ReplicaRoute | null,
): ReplicaRoute | undefined {
  let usable = replicas;
  if (not !== null || replicas.some((replica) => replica.shunUntil > now)) {
    usable = replicas.filter((replica) => replica !== not && replica.shunUntil <= now);
  }
  if (usable.length <= 1) return usable[0];
  const first = Math.floor(Math.random() * usable.length);
  const second = (first + 1 + Math.floor(Math.random() * (usable.length - 1))) % usable.length;
  const [a, b] = [usable[first] as ReplicaRoute, usable[second] as ReplicaRoute];
  return a.load.inFlight <= b.load.inFlight ? a : b;
}
