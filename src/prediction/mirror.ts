/**
 * Requests of a rollout's stable arm that its candidate gets too, so that both are compared on the same questions. It
 * happens beside the way: after the answer, at most so many at a time, and never where the candidate has enough to do;
 * what is left out is counted. Nobody waits for it, and nothing of it can fail a request.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  drawReplica,
  type ArmRoute,
  type DeploymentRoute,
  type ReplicaRoute,
  type RolloutRoute,
} from '../deployment/routing.ts';
import type { Inferred } from '../inference/replica-client.ts';
import type { Recorded, Recorder } from '../metric/recorder.ts';
import type { Verdict } from '../metric/tally.ts';
import type { Arm, Outcome } from '../metric/window.ts';
import type { Config } from '../platform/config.ts';
import type { Signature } from '../signature/signature.ts';
import { rowCount } from '../tensor/parse.ts';
import type { NamedTensor } from '../tensor/tensor.ts';
import { disagreesAt } from './agreement.ts';
import { sampledAnswer } from './answer.ts';
import { checkNumbers, checkOutputs, outputsOf, pack, type Asked } from './checks.ts';
import { isModelsFault } from './failure.ts';
import { ModelError } from './prediction.errors.ts';
import { send } from './send.ts';

/** A request that the stable arm has answered. Its tensors must not change any more. */
export interface Answered {
  readonly route: DeploymentRoute;
  readonly rollout: RolloutRoute;
  /** The stable arm. */
  readonly arm: ArmRoute;
  readonly asked: Asked;
  readonly inputs: readonly NamedTensor[];
  readonly outputs: readonly NamedTensor[];
  readonly rows: number;
  readonly requestId: string;
}

/** Mirrored requests that wait or are under way, of one deployment. */
const MOST_AT_ONCE = 64;
/** Of work that lies ahead at a candidate, which has callers of its own: behind more of it nothing is mirrored. */
const MOST_WAIT_MS = 20;
/**
 * Nobody waits for them, so they wait for each other: what is sent together travels in one exchange, which costs the api
 * and the replica a part of what as many would.
 */
const GATHER_MS = 60;
const TOGETHER = 48;

type MirrorRecorder = Pick<Recorder, 'enter' | 'leave' | 'mirrored' | 'record'>;
type MirrorConfig = Pick<Config, 'MAX_ROWS' | 'OVERLOAD_WAIT_MS' | 'PREDICT_TIMEOUT_MS'>;

export class Mirror {
  readonly #recorder: MirrorRecorder;
  readonly #config: MirrorConfig;
  readonly #random: () => number;
  readonly #underWay = new Map<string, number>();
  readonly #closing = new AbortController();
  #waiting: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(recorder: MirrorRecorder, config: MirrorConfig, random: () => number = Math.random) {
    this.#recorder = recorder;
    this.#config = config;
    this.#random = random;
  }

  /** Mirrors a share of what is offered. Never throws, and never waits. */
  offer(answered: Answered): void {
    const { route, rollout, arm } = answered;
    if (!rollout.measures || arm.id !== rollout.stableArmId || this.#random() >= rollout.mirrorShare) return;
    const candidate = route.arms.find(({ id }) => id === rollout.candidateArmId);
    if (!candidate) return;
    const underWay = this.#underWay.get(route.id) ?? 0;
    if (underWay >= MOST_AT_ONCE) {
      this.#recorder.mirrored(countedAs(route, candidate), 'dropped');
      return;
    }
    this.#underWay.set(route.id, underWay + 1);
    this.#gather(() => void this.#run(answered, candidate));
  }

  /** Gives up what is under way. */
  close(): void {
    this.#closing.abort();
    this.#start();
  }

  /** By the time that it runs, the answer is on its way to the caller. */
  #gather(run: () => void): void {
    this.#waiting.push(run);
    if (this.#waiting.length === 1) this.#timer = setTimeout(() => this.#start(), GATHER_MS);
    else if (this.#waiting.length === TOGETHER) setImmediate(() => this.#start());
  }

  #start(): void {
    clearTimeout(this.#timer);
    const runs = this.#waiting;
    this.#waiting = [];
    for (const run of runs) run();
  }

  /** Never rejects. */
  async #run(answered: Answered, candidate: ArmRoute): Promise<void> {
    const { route, requestId } = answered;
    const counted = countedAs(route, candidate);
    let verdict: Verdict = 'dropped';
    let row: number | null = null;
    try {
      const replica = this.#replicaOf(candidate);
      const inputs = replica && this.#inputsFor(candidate.signature, answered);
      if (inputs) {
        row = await this.#compare(answered, candidate, replica, inputs);
        verdict = row === null ? 'agreed' : 'disagreed';
      }
    } catch {
      // It could not be asked, or did not answer in time: nothing was learnt.
    }
    this.#recorder.mirrored(counted, verdict, row === null ? undefined : `${requestId}:${row}`);
    const left = this.#underWay.get(route.id)! - 1;
    if (left > 0) this.#underWay.set(route.id, left);
    else this.#underWay.delete(route.id);
  }

  /** One that takes more without making its callers wait; a SHADOW has none, so that it may have a queue. */
  #replicaOf({ role, replicas }: ArmRoute): ReplicaRoute | undefined {
    const now = performance.now();
    const replica = drawReplica(replicas, now, null);
    if (!replica || replica.load.overloadMs(now, this.#config.OVERLOAD_WAIT_MS) > 0) return undefined;
    const { inFlight } = replica.load;
    const isBusy = role !== 'SHADOW' && inFlight > 0 && replica.load.expectedMs() > MOST_WAIT_MS;
    return isBusy ? undefined : replica;
  }

  /** @throws ValidationError where the candidate does not take what was asked. */
  #inputsFor(signature: Signature, { arm, asked, inputs }: Answered): readonly NamedTensor[] {
    checkOutputs(signature, asked.outputs);
    if (takeTheSame(arm.signature, signature)) return inputs;
    return pack(signature, asked, this.#config.MAX_ROWS, undefined);
  }

  /**
   * The row, one at random, at which the candidate differs, or fails; null where it agrees.
   * @throws what tells nothing about the model.
   */
  async #compare(
    answered: Answered,
    candidate: ArmRoute,
    replica: ReplicaRoute,
    inputs: readonly NamedTensor[],
  ): Promise<number | null> {
    const { rollout, arm, outputs, rows } = answered;
    const { signature } = candidate;
    const theirs = await this.#answerOf(answered, candidate, replica, inputs);
    const row = rows === 1 ? 0 : Math.floor(this.#random() * rows);
    if (theirs === null) return row;
    const [ours, other] = [
      { signature: arm.signature, outputs },
      { signature, outputs: theirs },
    ];
    return disagreesAt(row, ours, other, rows, rollout.tolerance) ? row : null;
  }

  /** null where the model fails. What is mirrored to a SHADOW counts as its request; a CANDIDATE has callers of its own. */
  async #answerOf(
    { route, asked }: Answered,
    { id: armId, name: armName, role, signature }: ArmRoute,
    replica: ReplicaRoute,
    inputs: readonly NamedTensor[],
  ): Promise<readonly NamedTensor[] | null> {
    const counted = { deploymentId: route.id, armId, armName };
    const rows = rowCount(signature, inputs);
    const begunAt = performance.now();
    const end = (outcome: Outcome, result: Pick<Recorded, 'invalid' | 'answer'>): void => {
      if (role !== 'SHADOW') return;
      this.#recorder.leave(counted);
      this.#recorder.record({ ...counted, ...result, outcome, latencyMs: performance.now() - begunAt, rows });
    };
    if (role === 'SHADOW') this.#recorder.enter(counted);
    try {
      const inferred = await this.#infer(replica, inputs, asked.outputs ?? null);
      const outputs = outputsOf(signature, asked.outputs ?? null, inferred.outputs);
      checkNumbers(signature, outputs, rows, false);
      end('ok', { answer: sampledAnswer(signature, outputs, rows) });
      return outputs;
    } catch (error) {
      const isModels = isModelsFault(error);
      end(isModels ? 'model' : 'server', { invalid: error instanceof ModelError && error.isInvalid });
      if (isModels) return null;
      throw error;
    }
  }

  #infer(
    replica: ReplicaRoute,
    inputs: readonly NamedTensor[],
    outputs: readonly string[] | null,
  ): Promise<Inferred> {
    return send(replica, inputs, outputs, {
      timeoutMs: this.#config.PREDICT_TIMEOUT_MS,
      alone: false,
      signal: this.#closing.signal,
    });
  }
}

const countedAs = ({ id }: DeploymentRoute, arm: ArmRoute): Arm => ({
  deploymentId: id,
  armId: arm.id,
  armName: arm.name,
});

const same = new WeakMap<Signature, WeakMap<Signature, boolean>>();

/** Whether tensors for the one signature are tensors for the other. */
function takeTheSame(one: Signature, other: Signature): boolean {
  const known = same.get(one) ?? new WeakMap<Signature, boolean>();
  same.set(one, known);
  const answer = known.get(other) ?? isDeepStrictEqual(one.inputs, other.inputs);
  known.set(other, answer);
  return answer;
}
