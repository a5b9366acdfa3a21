/**
 * Predictions under a key: asked again within a day, by whichever api, the same request gets the same answer, and is run
 * once. Whoever comes first owns the key while it works, on a lease that it renews; twins wait for its answer. An owner that
 * falls silent is taken over. Only answers stay: a prediction changes nothing, so one that failed, also by the model's own
 * fault, may be tried again under its key.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Viewer } from '../access/access.ts';
import { shown } from '../name/name.ts';
import { isDatabaseAway } from '../platform/database.ts';
import { ConflictError, DeadlineExceededError, NotReadyError, ValidationError } from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import type { CallSignal } from '../inference/replica-client.ts';
import { findVersions } from '../version/version.queries.ts';
import { decodeAnswer, digestOf, encodeAnswer } from './idempotency.answer.ts';
import * as queries from './idempotency.queries.ts';
import type { DeploymentRoute } from '../deployment/routing.ts';
import type { Predicted, PredictInput, Predictor } from './prediction.ts';

export interface KeyedInput extends PredictInput {
  readonly idempotencyKey?: string | null | undefined;
}

const LEASE_MS = 3_000;
const FIRST_LOOK_MS = 10;
const MOST_LOOK_MS = 200;
const RETRY_MS = 1_000;
const key = /^[\x21-\x7e]{1,200}$/;

/** Where a request under a key stands. */
interface Run {
  readonly viewer: Viewer;
  readonly input: PredictInput;
  readonly claim: queries.Claim;
  readonly digest: Buffer;
  readonly timeoutMs: number;
  /** performance.now() at which its time is over. */
  readonly end: number;
  readonly signal: CallSignal | undefined;
}

export class IdempotentPredictor {
  readonly #platform: Pick<Platform, 'db' | 'logger'>;
  readonly #predictor: Predictor;

  constructor(platform: Pick<Platform, 'db' | 'logger'>, predictor: Predictor) {
    this.#platform = platform;
    this.#predictor = predictor;
  }

  /** As Predictor.route. */
  route(viewer: Viewer, ref: string): Promise<DeploymentRoute> {
    return this.#predictor.route(viewer, ref);
  }

  /**
   * As Predictor.predict.
   * @throws as that, and with a key: ConflictError when it was given with another request, NotReadyError when PostgreSQL is
   * away, because nobody can tell then whether it was.
   */
  async predict(viewer: Viewer, input: KeyedInput, signal?: CallSignal): Promise<Predicted> {
    const { idempotencyKey } = input;
    if (idempotencyKey === null || idempotencyKey === undefined)
      return this.#predictor.predict(viewer, input, signal);
    if (!key.test(idempotencyKey)) {
      const expected = '1 to 200 visible ASCII characters without spaces';
      throw ValidationError.of(['idempotencyKey'], expected, shown(idempotencyKey));
    }
    const { idempotencyKey: _key, read, ...given } = input;
    // What is asked decides whether it was asked before, so it is read first.
    let request: PredictInput;
    let timeoutMs: number;
    try {
      request = { ...given, ...read?.() };
      timeoutMs = this.#predictor.timeout(request);
    } catch {
      // There is nothing to keep: it is refused, and counted, as without a key.
      return this.#predictor.predict(viewer, input, signal);
    }
    const { id: deploymentId } = await this.#predictor.route(viewer, input.deployment);
    const run: Run = {
      viewer,
      input: request,
      claim: { deploymentId, key: idempotencyKey, owner: newId() },
      digest: digestOf(request),
      timeoutMs,
      end: performance.now() + timeoutMs,
      signal,
    };
    try {
      return await this.#once(run);
    } catch (error) {
      if (!isDatabaseAway(error)) throw error;
      throw new NotReadyError(
        'The database cannot be reached, so nobody can tell whether this key was used before.',
        RETRY_MS,
        'Try again with the same key; without a key predictions are answered.',
      );
    }
  }

  async #once(run: Run): Promise<Predicted> {
    const { db } = this.#platform;
    for (let waitMs = FIRST_LOOK_MS; ; waitMs = Math.min(MOST_LOOK_MS, waitMs * 1.5)) {
      if (await queries.claimKey(db, run.claim, run.digest, LEASE_MS)) {
        const answer = await this.#own(run);
        if (answer) return answer;
      }
      const held = await queries.findKey(db, run.claim);
      if (held && !held.digest.equals(run.digest)) throw otherRequest(run.claim.key, held);
      if (held?.answer) return this.#read(held.answer);
      const left = run.end - performance.now();
      if (left <= 0) throw new DeadlineExceededError(run.timeoutMs, 'Ask again with the same key.');
      // One that is free again is tried at once.
      if (run.signal?.aborted) throw run.signal.reason;
      if (held) await delay(Math.min(waitMs, left));
    }
  }

  /** Runs it, and keeps the answer; undefined when somebody else took the key over meanwhile. */
  async #own({ viewer, input, claim, timeoutMs, end, signal }: Run): Promise<Predicted | undefined> {
    const { db, logger } = this.#platform;
    const renewing = setInterval(() => {
      queries.renewKey(db, claim, LEASE_MS).catch((error: unknown) => {
        logger.debug({ err: error }, 'the lease of an idempotency key was not renewed');
      });
    }, LEASE_MS / 3);
    try {
      const left = Math.max(1, Math.ceil(end - performance.now()));
      const predicted = await this.#predictor.predict(
        viewer,
        { ...input, timeoutMs: Math.min(timeoutMs, left) },
        signal,
      );
      return (await queries.answerKey(db, claim, encodeAnswer(predicted))) ? predicted : undefined;
    } catch (error) {
      // If it is not heard, the lease ends by itself.
      await queries.releaseKey(db, claim).catch(() => undefined);
      throw error instanceof DeadlineExceededError ? new DeadlineExceededError(timeoutMs, error.hint) : error;
    } finally {
      clearInterval(renewing);
    }
  }

  #read(answer: Buffer): Promise<Predicted> {
    return decodeAnswer(answer, async (id) => (await findVersions(this.#platform.db, [id]))[0]);
  }
}

function otherRequest(name: string, { askedAt, answer }: queries.HeldKey): ConflictError {
  const state = answer ? 'answered' : 'under way';
  return new ConflictError(
    `The key ${name} was given with another request.`,
    `asked at ${askedAt.toISOString()}, ${state}; what is asked differs`,
    'Take a new key for a new request.',
  );
}

/** Rows of one statement, and statements of one sweep. */
const BATCH = 1_000;
const BATCHES = 20;

/** Forgets keys whose day is over. */
export async function sweepKeys({ db }: Pick<Platform, 'db'>): Promise<void> {
  for (let batch = 0; batch < BATCHES; batch++) if ((await queries.deleteExpired(db, BATCH)) < BATCH) return;
}
