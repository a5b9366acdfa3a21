/**
 * Long work. An operation's row is the truth: it is committed together with what it is about, then queued by id;
 * whoever gets the job claims the row, keeps the claim alive, and ends it. A claim that falls silent is taken over.
 */
import { requireRole, type Actor, type Viewer } from '../access/access.ts';
import { changing } from '../ledger/ledger.ts';
import { isDatabaseAway, type Db } from '../platform/database.ts';
import {
  ConflictError,
  DomainError,
  NotFoundError,
  NotReadyError,
  OverloadedError,
} from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Logger } from '../platform/logger.ts';
import type { Platform } from '../platform/platform.ts';
import * as queries from './operation.queries.ts';

export type Operation = queries.OperationRow;

/** Creates the row within the caller's transaction; enqueue only after the commit. */
export function beginOperation(
  db: Db,
  by: Actor,
  about: { projectId: string; kind: string; subjectId: string; unit: string; total: bigint | null },
): Promise<Operation> {
  return queries.insertOperation(db, { id: newId(), ...about, byName: by.name, byKind: by.kind });
}

/** @throws NotFoundError, ForbiddenError for a viewer who may not read the project. */
export async function getOperation(platform: Platform, viewer: Viewer, id: string): Promise<Operation> {
  const [found] = await queries.findOperations(platform.db, [id]);
  if (!found) throw new NotFoundError('Operation');
  requireRole(viewer, found.projectId, 'READER', 'Operation');
  return found;
}

/**
 * Asks an operation to stop: a worker that has it, or gets it, ends it within seconds.
 * One that has ended is returned as it is.
 * @throws NotFoundError, ForbiddenError, ConflictError (it takes a deployment out of service).
 */
export async function cancelOperation(platform: Platform, viewer: Viewer, id: string): Promise<Operation> {
  const operation = await getOperation(platform, viewer, id);
  requireRole(
    viewer,
    operation.projectId,
    operation.kind.startsWith('deployment.') ? 'OPERATOR' : 'AUTHOR',
    'Operation',
  );
  // Half of its replicas may have ended; without this work it would be STOPPING, and its name taken, for ever.
  if (operation.kind === 'deployment.stop' && !operation.finishedAt) {
    throw new ConflictError(
      'Undeploying cannot be cancelled.',
      operation.status,
      'Deploy the version again.',
    );
  }
  const changed = await changing(platform, operation.projectId, viewer, async (tx, append) => {
    const row = await queries.cancelOperation(tx, id);
    const { kind } = operation;
    const subject = { type: 'Operation', id } as const;
    if (row) await append({ type: 'OPERATION_CANCEL_REQUESTED', subject, data: { kind } });
    return row;
  });
  if (changed) platform.announce('operation', id);
  return changed ?? getOperation(platform, viewer, id);
}

/** Items per second and seconds left, from the progress so far; null while there is nothing to go by. */
export function rateOf(
  operation: Operation,
  now: number,
): { perSecond: number | null; etaSeconds: number | null } {
  if (!operation.startedAt || operation.done === 0n) return { perSecond: null, etaSeconds: null };
  const seconds = ((operation.finishedAt?.getTime() ?? now) - operation.startedAt.getTime()) / 1000;
  if (seconds <= 0) return { perSecond: null, etaSeconds: null };
  const perSecond = Number(operation.done) / seconds;
  if (operation.finishedAt || operation.total === null) return { perSecond, etaSeconds: null };
  return { perSecond, etaSeconds: Math.max(0, Number(operation.total - operation.done) / perSecond) };
}

/** What the work sees of its operation while it runs. */
export interface Running {
  readonly operation: Operation;
  /** Aborted when the operation is cancelled (reason: CancelledError) or its claim was lost. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  progress(done: bigint, total: bigint | null, stage: string | null): void;
  log(line: string): Promise<void>;
  /**
   * Runs statements that must only take effect while this claim holds: the operation ends in the same
   * transaction. False (and nothing done) when the claim was lost.
   */
  finish(work: (tx: Db) => Promise<void>): Promise<boolean>;
}

/** Somebody asked the operation to stop. */
class CancelledError extends DomainError {
  readonly code = 'CANCELLED';
  constructor() {
    super('The operation was cancelled.');
  }
}

class ClaimLost extends Error {}

/** What is told of a failure. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

/** How a kind of operation is done. */
export interface Work {
  run(running: Running): Promise<void>;
  /**
   * What a failure or cancellation means for the subject; runs in the transaction that ends the operation.
   * What it returns runs after the commit.
   */
  ended(tx: Db, operation: Operation, failure: Failure): Promise<(() => Promise<void>) | undefined>;
  /** How often it is taken before an unexpected error ends it; 3 where nothing is said. */
  readonly attempts?: number;
}

const MAX_ATTEMPTS = 3;

/**
 * Claims an operation and does its work; a no-op when somebody else has it or it has ended.
 * A DomainError ends it as FAILED with its own words; any other error is logged and tried again, twice; a
 * cancellation ends it as CANCELLED. While the database or the artifact store is away nothing counts as a failure.
 */
export async function runOperation(
  platform: Platform,
  worker: string,
  id: string,
  work: Work,
): Promise<void> {
  const lease = platform.config.OPERATION_LEASE_SECONDS;
  // Unique per claim, not per worker: a worker that lost a claim may take the same operation again while what it
  // had begun is still winding down.
  const claimant = `${worker}/${newId()}`;
  const operation = await queries.claimOperation(platform.db, id, claimant, lease);
  if (!operation) return;
  const logger = platform.logger.child({ operation: id, kind: operation.kind, attempt: operation.attempts });
  const claim = new Claim(platform, operation, claimant, logger);
  platform.announce('operation', id);
  try {
    if (operation.status === 'CANCELLING') throw new CancelledError();
    await work.run(claim);
    if (!claim.ended) await claim.finish(async () => {});
  } catch (caught) {
    const error: unknown = claim.signal.aborted ? claim.signal.reason : caught;
    if (error instanceof ClaimLost) logger.warn('claim lost; another worker goes on');
    else await claim.fail(error, work);
  } finally {
    claim.stop();
  }
}

/** What mends itself: no reason to tell anybody that their work has failed. */
function isPassing(error: unknown): boolean {
  return (error instanceof NotReadyError && error.retryAfterMs !== null) || error instanceof OverloadedError;
}

const HEARTBEAT_MS = 1_000;

class Claim implements Running {
  readonly operation: Operation;
  readonly logger: Logger;
  readonly #platform: Platform;
  readonly #claimant: string;
  readonly #abort = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #progress: { done: bigint; total: bigint | null; stage: string | null };
  #lastHeard = Date.now();
  #renewing = false;
  ended = false;

  constructor(platform: Platform, operation: Operation, claimant: string, logger: Logger) {
    this.#platform = platform;
    this.operation = operation;
    this.#claimant = claimant;
    this.logger = logger;
    this.#progress = { done: operation.done, total: operation.total, stage: operation.stage };
    this.#timer = setInterval(() => void this.#renew(), HEARTBEAT_MS);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  progress(done: bigint, total: bigint | null, stage: string | null): void {
    this.#progress = { done, total, stage };
  }

  async log(line: string): Promise<void> {
    await queries.appendLog(this.#platform.db, this.operation.id, line);
    this.#platform.announce('operation', this.operation.id);
  }

  async #renew(): Promise<void> {
    // One at a time; a database that does not answer at all is found out, too.
    if (this.#renewing) return this.#giveUpIfOverdue();
    const { config, db } = this.#platform;
    this.#renewing = true;
    try {
      const row = await queries.renewOperation(
        db,
        this.operation.id,
        this.#claimant,
        config.OPERATION_LEASE_SECONDS,
        this.#progress,
      );
      if (this.ended) return;
      if (!row) return this.#abort.abort(new ClaimLost());
      this.#lastHeard = Date.now();
      if (row.status === 'CANCELLING') this.#abort.abort(new CancelledError());
      this.#platform.announce('operation', this.operation.id);
    } catch (error) {
      this.logger.warn({ err: error }, 'heartbeat failed');
      this.#giveUpIfOverdue();
    } finally {
      this.#renewing = false;
    }
  }

  /** Past the lease another worker may have begun: whatever this one does now must not take effect. */
  #giveUpIfOverdue(): void {
    const overdue = Date.now() - this.#lastHeard > this.#platform.config.OPERATION_LEASE_SECONDS * 1000;
    if (overdue && !this.ended) this.#abort.abort(new ClaimLost());
  }

  async finish(work: (tx: Db) => Promise<void>): Promise<boolean> {
    return this.#end('SUCCEEDED', null, work);
  }

  async fail(error: unknown, work: Work): Promise<void> {
    const expected = error instanceof DomainError && !isPassing(error);
    if (!expected) {
      const again =
        isDatabaseAway(error) ||
        isPassing(error) ||
        this.operation.attempts < (work.attempts ?? MAX_ATTEMPTS);
      this.logger.error({ err: error, again }, 'operation failed unexpectedly');
      if (again) return this.#giveBack();
    }
    const failure: Failure = expected
      ? { code: error.code, message: error.message, hint: error.hint }
      : {
          code: 'INTERNAL',
          message: `Unexpected error; the log of the worker has it under operation ${this.operation.id}.`,
          hint: null,
        };
    const status = error instanceof CancelledError ? 'CANCELLED' : 'FAILED';
    let after: (() => Promise<void>) | undefined;
    await this.#end(status, failure, async (tx) => {
      after = await work.ended(tx, this.operation, failure);
    });
    await after?.();
  }

  async #giveBack(): Promise<void> {
    await queries.requeueOperation(this.#platform.db, this.operation.id, this.#claimant);
    this.#platform.announce('operation', this.operation.id);
  }

  async #end(
    status: 'SUCCEEDED' | 'FAILED' | 'CANCELLED',
    error: Failure | null,
    work: (tx: Db) => Promise<void>,
  ): Promise<boolean> {
    try {
      await this.#platform.database.db.transaction().execute(async (tx) => {
        const held = await queries.finishOperation(tx, this.operation.id, this.#claimant, status, error);
        if (!held) throw new ClaimLost();
        await work(tx);
      });
    } catch (failure) {
      if (!(failure instanceof ClaimLost)) throw failure;
      return false;
    } finally {
      this.ended = true;
    }
    this.#platform.announce('operation', this.operation.id);
    return true;
  }

  stop(): void {
    this.ended = true;
    clearInterval(this.#timer);
  }
}
