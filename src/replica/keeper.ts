/**
 * Looks after the replicas of one host: starts what is wanted and does not run, renews the leases of what runs,
 * notices what ended, restarts it with backoff. Level-triggered: each round looks at the rows and the processes,
 * so it does not matter who started a replica or what was missed.
 */
import { lookAtExternal } from './external.ts';
import { EXTERNAL_HOST, REPLACED, restartOf } from './replica.state.ts';
import { ReplicaClient } from '../inference/replica-client.ts';
import { REPLICA_PROTOCOL_VERSION, type ReplicaStatus } from '../inference/replica-status.ts';
import { vitalsOf, type ProcessVitals } from '../platform/process-vitals.ts';
import { isAlive, signal, type ProcessIdentity } from '../platform/process-identity.ts';
import type { Platform } from '../platform/platform.ts';
import { hangs, memoryVerdict } from './health.ts';
import { fetchModel } from './model-cache.ts';
import { advertisedEndpoint, ReplicaFiles, startReplica, type Launched } from './replica-process.ts';
import * as queries from './replica.queries.ts';
import { findServed } from './served.queries.ts';

type Row = queries.ReplicaRow;

const ROUND_MS = 1_000;
/** A keeper that is silent for this long is replaced by another worker on the host: before its replicas end. */
const KEEPER_LEASE_SECONDS = 10;
/** A READY replica that takes longer to answer is silent. */
const CONTROL_TIMEOUT_MS = 2_000;
/** One that loads or drains may be. */
const PATIENT_TIMEOUT_MS = 5_000;
const RECORD_EVERY_MS = 5_000;

interface Known {
  readonly launch: number;
  readonly client: ReplicaClient;
  recordedAt: number;
  /** performance.now() when it answered the last time. */
  answeredAt: number;
  /** How it was when it did not answer. */
  silent: ProcessVitals | undefined;
}

export class ReplicaKeeper {
  readonly #platform: Platform;
  readonly #id: string;
  readonly #onChange: (deploymentId: string) => Promise<void>;
  readonly #known = new Map<string, Known>();
  readonly #busy = new Map<string, Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #again = false;
  #running = false;
  #closed = false;

  /**
   * @param id of the worker, unique per process.
   * @param onChange told of a deployment one of whose replicas became ready, or ceased to be.
   */
  constructor(platform: Platform, id: string, onChange: (deploymentId: string) => Promise<void>) {
    this.#platform = platform;
    this.#id = id;
    this.#onChange = onChange;
  }

  start(): void {
    this.#timer = setInterval(() => this.hurry(), ROUND_MS);
    this.hurry();
  }

  /** Takes a round now, or once more when one is under way. */
  hurry(): void {
    if (this.#closed) return;
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    this.#round = this.#rounds().finally(() => (this.#running = false));
  }

  /** Replicas go on; another worker on this host may look after them at once. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#round;
    // What is being started must be on record before somebody else looks.
    await Promise.all(this.#busy.values());
    await queries.releaseReplicas(this.#platform.db, this.#id).catch(() => undefined);
    for (const { client } of this.#known.values()) void client.close();
  }

  async #rounds(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        for (const row of await this.#keep()) this.#look(row);
      } catch (error) {
        this.#platform.logger.warn({ err: error }, 'replicas could not be looked after; trying again');
        this.#renewAll();
      }
    }
  }

  async #keep(): Promise<Row[]> {
    const { db, config } = this.#platform;
    const leaseSeconds = Math.min(KEEPER_LEASE_SECONDS, config.REPLICA_LEASE_SECONDS / 2);
    const rows = await queries.keepReplicas(db, config.HOST_ID, this.#id, leaseSeconds);
    const kept = new Set(rows.map((row) => row.id));
    for (const id of this.#known.keys()) if (!kept.has(id) && !this.#busy.has(id)) this.#forget(id);
    return rows;
  }

  /** While the database is away nothing is known to be unwanted: what answers goes on. */
  #renewAll(): void {
    for (const { client } of this.#known.values())
      client.renewLease(PATIENT_TIMEOUT_MS).catch(() => undefined);
  }

  /** One replica at a time is one piece of work: a slow one holds up no other. */
  #look(row: Row): void {
    if (this.#busy.has(row.id)) return;
    const work = this.#reconcile(row)
      .catch((error: unknown) => {
        this.#platform.logger.warn({ err: error, replica: row.id }, 'replica could not be looked after');
      })
      .finally(() => this.#busy.delete(row.id));
    this.#busy.set(row.id, work);
  }

  async #reconcile(row: Row): Promise<void> {
    if (row.hostId === EXTERNAL_HOST) return lookAtExternal(this.#platform, row, this.#onChange);
    const identity = identityOf(row);
    if (identity && isAlive(identity)) return this.#renew(row, identity);
    if (identity) return this.#ended(row);
    if (row.state === 'DRAINING') return this.#exited(row, 'drained');
    if (row.state === 'BACKING_OFF' && row.nextRestartAt && row.nextRestartAt.getTime() > Date.now()) return;
    await this.#launch(row);
  }

  async #launch(row: Row): Promise<void> {
    const { db, config } = this.#platform;
    const served = await findServed(db, row.versionId, row.deploymentId);
    let modelPath: string;
    try {
      modelPath = await fetchModel(this.#platform, row.versionId, served.modelFile);
    } catch (error) {
      return this.#backOff(row, `The model could not be fetched: ${(error as Error).message}`);
    }
    // The launch is taken before it is begun: of two keepers, or of this one and a wish to drain, one wins.
    const taken = { ...row, launch: row.launch + 1 };
    if (!(await queries.changeReplica(db, row, { launch: taken.launch }))) return;
    let launched: Launched;
    try {
      launched = startReplica(config, row.id, { ...served, modelPath }, () => this.hurry());
    } catch (error) {
      return this.#backOff(taken, (error as Error).message);
    }
    const recorded = await queries.changeReplica(db, taken, {
      state: 'LOADING',
      pid: launched.identity.pid,
      processStart: launched.identity.start,
      endpoint: launched.endpoint,
      token: launched.token,
      protocolVersion: REPLICA_PROTOCOL_VERSION,
      startedAt: new Date(),
      readyAt: null,
      loadMs: null,
      warmUpMs: null,
      nextRestartAt: null,
      ending: null,
    });
    if (!recorded) signal(launched.identity, 'SIGKILL');
    await this.#onChange(row.deploymentId);
    this.#lookSoon();
  }

  /** While something starts, a second is long: look again as soon as it can have changed. */
  #lookSoon(): void {
    setTimeout(() => this.hurry(), 50).unref();
  }

  async #renew(row: Row, identity: ProcessIdentity): Promise<void> {
    if (row.protocolVersion !== REPLICA_PROTOCOL_VERSION) {
      signal(identity, 'SIGTERM');
      return;
    }
    const endpoint = this.#endpointOf(row);
    if (!endpoint) return this.#whileStarting(row, identity);
    const known = this.#clientOf(row, endpoint);
    if (await this.#takesTooMuch(row, identity)) return;
    let status: ReplicaStatus;
    try {
      status =
        row.state === 'DRAINING'
          ? await known.client.drain(PATIENT_TIMEOUT_MS)
          : await known.client.renewLease(row.state === 'READY' ? CONTROL_TIMEOUT_MS : PATIENT_TIMEOUT_MS);
    } catch {
      return row.state === 'READY' || row.state === 'DRAINING'
        ? this.#silent(row, identity, known)
        : this.#whileStarting(row, identity);
    }
    known.answeredAt = performance.now();
    known.silent = undefined;
    await this.#record(row, endpoint, status, known);
    if (status.state === 'LOADING' || status.state === 'WARMING') await this.#whileStarting(row, identity);
  }

  /** Ends, or has replaced, what takes more memory than its limit. @returns whether it was ended. */
  async #takesTooMuch(row: Row, identity: ProcessIdentity): Promise<boolean> {
    const limit = row.memoryLimitBytes;
    const vitals = limit === null ? undefined : vitalsOf(identity.pid);
    if (limit === null || vitals === undefined || row.state === 'DRAINING') return false;
    const verdict = memoryVerdict(vitals.residentBytes, limit, row.state === 'READY');
    if (verdict === 'fits' || (verdict === 'replace' && row.spec === REPLACED)) return false;
    const ending = `It took ${vitals.residentBytes} bytes of memory; its limit is ${limit} (resources.memoryLimitBytes).`;
    if (verdict === 'end') {
      await this.#kill(row, identity, ending);
      return true;
    }
    this.#platform.logger.warn({ replica: row.id, reason: ending }, 'replica will be replaced');
    const marked = await queries.changeReplica(this.#platform.db, row, { spec: REPLACED, ending });
    if (marked) await this.#onChange(row.deploymentId);
    return false;
  }

  /** It is asked again each second; what it did meanwhile tells a long run from a process that hangs. */
  async #silent(row: Row, identity: ProcessIdentity, known: Known): Promise<void> {
    const now = vitalsOf(identity.pid);
    if (now === undefined) return;
    const forMs = performance.now() - known.answeredAt;
    const reason = hangs(
      { forMs, before: known.silent, now },
      this.#platform.config.REPLICA_BUSY_SECONDS * 1000,
    );
    known.silent = now;
    if (reason !== undefined) await this.#kill(row, identity, reason);
  }

  /** Says why, then ends it: the exit that follows is told in these words. */
  async #kill(row: Row, identity: ProcessIdentity, ending: string): Promise<void> {
    this.#platform.logger.warn({ replica: row.id, reason: ending }, 'replica is ended');
    await queries.changeReplica(this.#platform.db, row, { ending });
    signal(identity, 'SIGKILL');
    this.#lookSoon();
  }

  /** Ends what takes longer to start than is allowed. */
  async #whileStarting(row: Row, identity: ProcessIdentity): Promise<void> {
    // One that was told to end before it listened cannot be asked to: it may hang as any other.
    if (row.state === 'READY') return;
    const limit = this.#platform.config.REPLICA_START_SECONDS;
    const seconds = (Date.now() - (row.startedAt?.getTime() ?? Date.now())) / 1000;
    if (seconds > limit) {
      await this.#kill(row, identity, `Not ready within ${limit} s (REPLICA_START_SECONDS).`);
    }
    this.#lookSoon();
  }

  #endpointOf(row: Row): string | null {
    const ready = new ReplicaFiles(this.#platform.config, row.id).ready();
    if (!ready || ready.pid !== row.pid) return null;
    return row.endpoint ?? advertisedEndpoint(ready, this.#platform.config.REPLICA_ADVERTISE_HOST);
  }

  #clientOf(row: Row, endpoint: string): Known {
    const known = this.#known.get(row.id);
    if (known?.launch === row.launch) return known;
    void known?.client.close();
    const client = new ReplicaClient({ endpoint, token: row.token, modelName: '', versionNumber: 0 });
    const answeredAt = performance.now();
    const fresh: Known = { launch: row.launch, client, recordedAt: 0, answeredAt, silent: undefined };
    this.#known.set(row.id, fresh);
    return fresh;
  }

  async #record(row: Row, endpoint: string, status: ReplicaStatus, known: Known): Promise<void> {
    if (status.state === 'FAILED') return;
    const changed = status.state !== row.state || row.endpoint !== endpoint;
    if (!changed && Date.now() - known.recordedAt < RECORD_EVERY_MS) return;
    known.recordedAt = Date.now();
    const recorded = await queries.changeReplica(this.#platform.db, row, {
      state: status.state,
      endpoint,
      loadMs: status.loadMs,
      warmUpMs: status.warmUpMs,
      memoryBytes: status.memoryBytes,
      inFlight: status.inFlight,
      ...(status.state === 'READY' && row.state !== 'READY' ? { readyAt: new Date() } : {}),
    });
    if (recorded && changed) await this.#onChange(row.deploymentId);
  }

  /** The process is gone: by our wish, by its own, or against both. */
  async #ended(row: Row): Promise<void> {
    const exit = new ReplicaFiles(this.#platform.config, row.id).exit();
    if (row.state === 'DRAINING') return this.#exited(row, row.ending ?? 'drained');
    const reason =
      exit?.code === 'LOAD_FAILED'
        ? `The model could not be loaded: ${exit.message}`
        : (row.ending ?? exit?.message ?? 'The process was killed or crashed.');
    await this.#backOff(row, reason);
  }

  async #exited(row: Row, reason: string): Promise<void> {
    this.#forget(row.id);
    new ReplicaFiles(this.#platform.config, row.id).remove();
    await queries.changeReplica(this.#platform.db, row, { state: 'EXITED', exitReason: reason });
    await this.#onChange(row.deploymentId);
  }

  async #backOff(row: Row, reason: string): Promise<void> {
    this.#forget(row.id);
    const restart = restartOf(row, Date.now());
    const changed = await queries.changeReplica(this.#platform.db, row, {
      state: 'BACKING_OFF',
      pid: null,
      processStart: null,
      endpoint: null,
      token: null,
      ...restart,
      readyAt: null,
      exitReason: reason,
      ending: null,
      inFlight: 0,
    });
    if (!changed) return this.#lookSoon();
    const delayMs = restart.nextRestartAt.getTime() - Date.now();
    this.#platform.logger.warn(
      { replica: row.id, reason, restarts: restart.restarts, delayMs },
      'replica ended',
    );
    await this.#onChange(row.deploymentId);
    setTimeout(() => this.hurry(), delayMs + 10).unref();
  }

  #forget(id: string): void {
    void this.#known.get(id)?.client.close();
    this.#known.delete(id);
  }
}

function identityOf(row: Row): ProcessIdentity | null {
  return row.pid === null || row.processStart === null ? null : { pid: row.pid, start: row.processStart };
}
