/** Predicting: from rows or tensors through the router to a replica and back. */
import { may, type Viewer } from '../access/access.ts';
import { answers } from '../deployment/deployment.state.ts';
import {
  drawReplica,
  mayBeUp,
  type ArmRoute,
  type DeploymentRoute,
  type ReplicaRoute,
  type RouteTable,
} from '../deployment/routing.ts';
import { ReplicaUnreachable } from '../inference/replica-errors.ts';
import type { CallSignal, Inferred } from '../inference/replica-client.ts';
import type { Arm } from '../metric/window.ts';
import type { Recorder } from '../metric/recorder.ts';
import { shown } from '../name/name.ts';
import type { Config } from '../platform/config.ts';
import {
  DeadlineExceededError,
  DomainError,
  NotFoundError,
  NotReadyError,
  ValidationError,
} from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Signature } from '../signature/signature.ts';
import { checkTags } from '../tag/tag.ts';
import { rowCount } from '../tensor/parse.ts';
import type { NamedTensor } from '../tensor/tensor.ts';
import type { Version } from '../version/version.ts';
import { sampledAnswer } from './answer.ts';
import { checkNumbers, checkOutputs, outputsOf, pack, type Asked } from './checks.ts';
import {
  armFor,
  armInstead,
  armOf,
  isJudged,
  leastLoaded,
  notAnswering,
  placeFor,
  SHUN_MS,
} from './choice.ts';
import { isReplaceable, outcomeOf, translate, whyReplaced } from './failure.ts';
import type { LogEntry } from './log.entry.ts';
import type { PredictionLog } from './log.ts';
import { Mirror } from './mirror.ts';
import { ModelError } from './prediction.errors.ts';
import { send } from './send.ts';

export interface PredictInput extends Asked {
  /** A deployment's id, or `project/name`. */
  readonly deployment: string;
  /** Requests with the same key are answered by the same arm, as long as its share does not shrink past the key. */
  readonly routingKey?: string | null | undefined;
  /** Only the arm with this version number answers, whatever its weight. */
  readonly version?: number | undefined;
  /** Reads the rest once the arm is known: what is wrong with a body is then counted where it was sent to. */
  readonly read?: (() => Asked) | undefined;
  /** Where the tensors stand in the caller's input, for errors; default `tensors`. */
  readonly tensorsAt?: readonly string[] | undefined;
}

export interface Predicted {
  /** UUIDv7; row n of it is the prediction `<requestId>:<n>`. */
  readonly requestId: string;
  /** That answered. */
  readonly version: Version;
  readonly arm: string;
  /** What `tensors` mean, and for how many rows: `rowResults` reads them row by row. */
  readonly signature: Signature;
  readonly rowCount: number;
  readonly tensors: readonly NamedTensor[];
  readonly warnings: readonly string[];
  /** Milliseconds: all of it here, waiting, and in the model's run that it shared with `batchSize` rows. */
  readonly latency: { totalMs: number; queueMs: number; computeMs: number; batchSize: number };
}

/** A request on its way, however far it came. */
interface Request {
  readonly route: DeploymentRoute;
  readonly input: PredictInput;
  readonly signal: CallSignal | undefined;
  /** null: a version was asked for, and no other arm may answer. */
  readonly place: number | null;
  readonly startedAt: number;
  /** When it was first sent to a replica: from then on its time runs. */
  sentAt: number;
  /** Read once, by whichever arm is asked first. */
  asked: Asked | null;
  /** What the log is told, beside who answered. */
  readonly seen: Seen;
  /** Replicas of arms that did not answer it. */
  readonly tried: ReplicaRoute[];
  /** Why who answers is not the candidate that was asked. */
  readonly replaced: string[];
}
type Seen = {
  -readonly [key in Exclude<keyof LogEntry, 'deploymentId' | 'arm' | 'latencyMs' | 'rollout'>]: LogEntry[key];
};

const MAX_TIMEOUT_MS = 3_600_000;
/** The replica that was drawn, and others when it went away under the request. */
const MOST_TRIES = 3;
/** What a candidate that does not answer leaves to the stable arm, in milliseconds. */
const SPARE_MS = 1_000;
/** The arm that was drawn, and others when it cannot answer. */
const MOST_ARMS = 3;

export class Predictor {
  readonly #routes: RouteTable;
  readonly #recorder: Recorder;
  readonly #log: Pick<PredictionLog, 'record'>;
  readonly #config: Config;
  readonly #mirror: Mirror;

  constructor(routes: RouteTable, recorder: Recorder, log: Pick<PredictionLog, 'record'>, config: Config) {
    this.#routes = routes;
    this.#recorder = recorder;
    this.#log = log;
    this.#config = config;
    this.#mirror = new Mirror(recorder, config);
  }

  /** Gives up what nobody waits for. */
  close(): void {
    this.#mirror.close();
  }

  /**
   * Where a deployment's predictions go. It need not answer now.
   * @throws NotFoundError when it does not exist for the viewer.
   */
  async route(viewer: Viewer, ref: string): Promise<DeploymentRoute> {
    let route = this.#routes.get(ref);
    // Whoever has just read that it is LIVE must not hear of a moment ago.
    if (!route || mayBeUp(route)) route = await this.#routes.find(ref);
    if (!route || !may(viewer, route.projectId, 'READER'))
      throw new NotFoundError(`Deployment ${shown(ref)}`);
    return route;
  }

  /**
   * Answers one request of one or more rows. It is counted under the arm that was drawn, whatever comes of it; where the
   * candidate of a rollout cannot answer, or answers no numbers, it counts there, and the stable arm answers it.
   * @throws NotFoundError, ForbiddenError, ValidationError, NotReadyError, OverloadedError, DeadlineExceededError,
   * ModelError.
   */
  async predict(viewer: Viewer, input: PredictInput, signal?: CallSignal): Promise<Predicted> {
    const startedAt = performance.now();
    const route = await this.route(viewer, input.deployment);
    if (!answers(route.state)) throw notAnswering(route);
    const { version } = input;
    const place = version === undefined ? placeFor(route.id, input.routingKey) : null;
    const first = place === null ? armOf(route, version!) : armFor(route, place);
    if (!first) throw notAnswering(route);
    const request: Request = {
      route,
      input,
      signal,
      place,
      startedAt,
      sentAt: 0,
      asked: null,
      seen: { rows: 0, labels: null, inputs: [], outputs: null, requestId: null, error: null },
      tried: [],
      replaced: [],
    };
    for (let arm = first, turns = 1; ; turns++) {
      const counted = { deploymentId: route.id, armId: arm.id, armName: arm.name };
      const begunAt = performance.now();
      this.#recorder.enter(counted);
      try {
        return await this.#ask(request, arm, counted, begunAt);
      } catch (error) {
        this.#recorder.leave(counted);
        const latencyMs = performance.now() - begunAt;
        const other = turns < MOST_ARMS ? await this.#armInstead(request, arm, error) : undefined;
        // Where another arm takes the place of one that nobody judges, it is that one's request.
        if (!other || isJudged(route, arm)) this.#countFailure(request, counted, latencyMs, error);
        if (!other) {
          this.#logFailure(request, arm, error);
          throw error;
        }
        arm = other;
      }
    }
  }

  /** How long a request may take, in milliseconds. @throws ValidationError */
  timeout(input: Pick<Asked, 'timeoutMs'>): number {
    const { timeoutMs } = input;
    if (timeoutMs === null || timeoutMs === undefined) return this.#config.PREDICT_TIMEOUT_MS;
    if (timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
      throw ValidationError.of(['timeoutMs'], `1 to ${MAX_TIMEOUT_MS} ms`, String(timeoutMs));
    }
    return timeoutMs;
  }

  /** The answer of one arm, counted and logged. */
  async #ask(request: Request, arm: ArmRoute, counted: Arm, begunAt: number): Promise<Predicted> {
    const { route, input, seen, replaced } = request;
    const { signature } = arm;
    const asked = (request.asked ??= input.read === undefined ? input : input.read());
    const timeoutMs = this.timeout(asked);
    checkOutputs(signature, asked.outputs);
    if (asked.labels) seen.labels = checkTags(['labels'], asked.labels);
    const inputs = (seen.inputs = pack(signature, asked, this.#config.MAX_ROWS, input.tensorsAt));
    const rows = (seen.rows = rowCount(signature, inputs));
    const mostMs = this.#share(request, arm, timeoutMs);
    const inferred = await this.#infer(request, arm, inputs, asked.outputs ?? null, mostMs);
    const outputs = outputsOf(signature, asked.outputs ?? null, inferred.outputs);
    const invalid = checkNumbers(signature, outputs, rows, this.#returnsInvalid(request, arm));
    const requestId = (seen.requestId = newId());
    seen.outputs = outputs;
    seen.error = null;
    const endedAt = performance.now();
    const isOk = invalid.length === 0;
    const { rollout } = route;
    this.#recorder.leave(counted);
    this.#recorder.record({
      ...counted,
      outcome: isOk ? 'ok' : 'model',
      latencyMs: endedAt - begunAt,
      rows,
      invalid: !isOk,
      answer: rollout !== null && isOk ? sampledAnswer(signature, outputs, rows) : null,
    });
    this.#logEntry(request, arm, endedAt);
    if (rollout !== null && isOk && replaced.length === 0)
      this.#mirror.offer({ route, rollout, arm, asked, inputs, outputs, rows, requestId });
    return {
      requestId,
      version: arm.version,
      arm: arm.name,
      signature,
      rowCount: rows,
      tensors: outputs,
      warnings: replaced.length === 0 ? invalid : [...replaced, ...invalid],
      latency: { ...inferred, totalMs: endedAt - request.startedAt },
    };
  }

  /** Whether a request that a candidate has not answered leaves the stable arm the time that it is to have. */
  #hasTime({ asked, sentAt }: Request): boolean {
    const left = sentAt + this.timeout(asked ?? {}) - performance.now();
    return left >= SPARE_MS / 2;
  }

  /** Of the time that there is, what an arm may take: a candidate leaves some to the stable arm, where there is enough. */
  #share(request: Request, arm: ArmRoute, timeoutMs: number): number {
    const leaves = timeoutMs >= 4 * SPARE_MS && this.#isReplaced(request, arm);
    return leaves ? timeoutMs - SPARE_MS : timeoutMs;
  }

  /** Whether an arm's invalid outputs are answered as they are: a candidate's are not where somebody else can answer. */
  #returnsInvalid(request: Request, arm: ArmRoute): boolean {
    return request.route.invalidOutputs === 'RETURN' && !this.#isReplaced(request, arm);
  }

  /** Whether an arm is a candidate in whose place somebody else can answer. */
  #isReplaced({ route, place, tried }: Request, arm: ArmRoute): boolean {
    if (place === null || !isJudged(route, arm)) return false;
    return armInstead(route, place, { replicas: tried, armId: arm.id }) !== undefined;
  }

  /**
   * Who is asked after an arm that failed; undefined where its failure is the answer. Of a candidate no failure is that is
   * not the caller's; of any other arm, that it is gone is not: others may be up.
   */
  async #armInstead(request: Request, arm: ArmRoute, error: unknown): Promise<ArmRoute | undefined> {
    const { route, place, tried, replaced } = request;
    const isGone = error instanceof NotReadyError;
    if (place === null || !(isGone || (isJudged(route, arm) && isReplaceable(error)))) return undefined;
    if (error instanceof DeadlineExceededError && !this.#hasTime(request)) return undefined;
    tried.push(...arm.replicas);
    const gone = { replicas: tried, armId: isGone ? null : arm.id };
    let other = armInstead(this.#routes.get(route.id) ?? route, place, gone);
    // What is known here may be of a moment ago, when other arms and replicas were up.
    if (!other && isGone) {
      const renewed = await this.#routes.renew(route.id);
      other = renewed && armInstead(renewed, place, gone);
    }
    if (other && isJudged(route, arm)) replaced.push(whyReplaced(arm, other, error));
    return other;
  }

  #countFailure({ seen }: Request, counted: Arm, latencyMs: number, error: unknown): void {
    const invalid = error instanceof ModelError && error.isInvalid;
    this.#recorder.record({ ...counted, outcome: outcomeOf(error), latencyMs, rows: seen.rows, invalid });
  }

  /** A caller's mistake predicts nothing, and neither does what was refused for load. */
  #logFailure(request: Request, arm: ArmRoute, error: unknown): void {
    const outcome = outcomeOf(error);
    if (outcome === 'client' || outcome === 'shed' || request.seen.rows === 0) return;
    request.seen.error = error instanceof DomainError ? error.code : 'INTERNAL';
    this.#logEntry(request, arm, performance.now());
  }

  #logEntry({ route, seen, startedAt }: Request, arm: ArmRoute, endedAt: number): void {
    const { id: deploymentId, rollout } = route;
    this.#log.record({ ...seen, deploymentId, arm, rollout, latencyMs: endedAt - startedAt });
  }

  /** One try, and more elsewhere when the replica went away under it: a prediction changes nothing. */
  async #infer(
    request: Request,
    arm: ArmRoute,
    inputs: readonly NamedTensor[],
    outputs: readonly string[] | null,
    timeoutMs: number,
  ): Promise<Inferred> {
    const { route, signal } = request;
    const now = performance.now();
    const sentAt = (request.sentAt ||= now);
    let replica = drawReplica(arm.replicas, now, null);
    const mostMs = this.#config.OVERLOAD_WAIT_MS;
    if (replica && replica.load.overloadMs(now, mostMs) > 0) replica = leastLoaded(arm, route, mostMs);
    for (let tries = 1; replica; tries++) {
      try {
        const left = timeoutMs - (performance.now() - sentAt);
        return await send(replica, inputs, outputs, { timeoutMs: left, alone: tries > 1, signal });
      } catch (error) {
        if (!(error instanceof ReplicaUnreachable) || tries === MOST_TRIES)
          throw translate(error, route, timeoutMs);
        const failed = replica;
        // A replica that came up meanwhile counts, too.
        const { replicas } = this.#routes.get(route.id)?.arms.find(({ id }) => id === arm.id) ?? arm;
        replica = drawReplica(replicas, performance.now(), failed);
        // One that broke off may have closed a connection just as that was used again: the only one is asked once more.
        if (!replica && tries === 1 && error.mayHaveExecuted && replicas.includes(failed)) replica = failed;
        else failed.shunUntil = performance.now() + SHUN_MS;
      }
    }
    throw notAnswering(route);
  }
}
