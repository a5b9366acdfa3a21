/**
 * Calls one replica. What comes for it at the same time (see gather.ts) travels in one exchange: rows of different calls
 * one below the other, the answer taken apart again. Each call keeps its own errors, deadline and abort.
 */
import { sharedRows, unstack } from '../tensor/batch.ts';
import type { NamedTensor } from '../tensor/tensor.ts';
import type { Answer, Exchange } from './exchange.ts';
import { sendSoon, type Sender } from './gather.ts';
import { decodeResponse, headerLengthOf } from './protocol.decode.ts';
import { encodeRequest, type Encoded } from './protocol.ts';
import { errorOf, ReplicaConnection, type ReplicaAddress } from './replica-connection.ts';
import { ReplicaFailed, ReplicaTimeout, ReplicaUnreachable } from './replica-errors.ts';
import type { ReplicaStatus, Timing } from './replica-status.ts';
import { RequestLayouts, type RequestLayout } from './request-layout.ts';

/** As much of an AbortSignal as a call uses; one that is lighter than an EventTarget may stand in for it. */
export interface CallSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: 'abort', listener: () => void, options: { readonly once: true }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

export interface InferOptions {
  readonly timeoutMs?: number;
  readonly signal?: CallSignal;
  /** Never in one exchange with other calls: for a second try of what may have killed a replica. */
  readonly alone?: boolean;
}

/** Outputs in the order asked for; `queueMs` includes the wait in this process. */
export interface Inferred extends Timing {
  readonly outputs: readonly NamedTensor[];
}

const DEFAULT_TIMEOUT_MS = 30_000;
const CONTROL_TIMEOUT_MS = 5000;
/**
 * Exchanges under way at a time; what comes meanwhile shares the next. Where nothing may share, 16 carry twice as much
 * as 4. One more connection is for leases.
 */
const MOST_EXCHANGES = 16;
/** Rows of a call that may share an exchange, and of all calls in it. */
const MOST_ROWS_SHARED = 64;
const MOST_ROWS = 256;

interface Call {
  readonly inputs: readonly NamedTensor[];
  readonly outputs: readonly string[] | null;
  readonly rows: number;
  /** Whether it is not to be sent anywhere else any more. */
  readonly isLastTry: boolean;
  /** null when it goes alone. */
  layout: RequestLayout | null;
  readonly queuedAt: number;
  readonly timeoutMs: number;
  readonly resolve: (inferred: Inferred) => void;
  readonly reject: (reason: unknown) => void;
  timer: NodeJS.Timeout | null;
  stopListening: (() => void) | null;
  trip: Trip | null;
  isSettled: boolean;
}

/** Calls under way in one exchange. */
interface Trip {
  readonly calls: readonly Call[];
  readonly exchange: Exchange;
  readonly sentAt: number;
  /** Calls that still wait for it. */
  left: number;
}

export class ReplicaClient {
  readonly #connection: ReplicaConnection;
  readonly #binary: boolean;
  readonly #layouts = new RequestLayouts();
  #waiting: Call[] = [];
  readonly #underWay = new Set<Call>();
  #exchanges = 0;
  #isScheduled = false;
  readonly #sender: Sender = { shareable: () => this.#shareable(), send: () => this.#sendWaiting() };
  /** Rows of different calls that the replica wants in one exchange, learnt from its answers. */
  #sharedRows = 0;
  #closed: { readonly resolve: () => void; readonly promise: Promise<void> } | null = null;

  constructor(address: ReplicaAddress) {
    this.#binary = address.binary ?? true;
    this.#connection = new ReplicaConnection(address, MOST_EXCHANGES + 1);
  }

  /**
   * Runs the model; `outputs` null fetches all of them.
   * @throws ReplicaUnreachable, ReplicaTimeout, ReplicaRejected, ReplicaFailed, or the signal's reason.
   */
  infer(
    inputs: readonly NamedTensor[],
    outputs: readonly string[] | null = null,
    options: InferOptions = {},
  ): Promise<Inferred> {
    return new Promise((resolve, reject) => {
      if (options.signal?.aborted === true) throw options.signal.reason;
      if (this.#closed !== null) throw new ReplicaUnreachable('This client was closed.', false);
      const rows = sharedRows(inputs);
      const call: Call = {
        inputs,
        outputs,
        rows: rows ?? 0,
        isLastTry: options.alone === true,
        layout:
          rows === null || options.alone === true || !this.#binary ? null : this.#layouts.of(inputs, outputs),
        queuedAt: performance.now(),
        timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
        resolve,
        reject,
        timer: null,
        stopListening: null,
        trip: null,
        isSettled: false,
      };
      this.#limit(call, options.signal);
      this.#underWay.add(call);
      this.#waiting.push(call);
      this.#schedule();
    });
  }

  /** Says that the replica is still wanted. @throws as infer */
  renewLease(timeoutMs = CONTROL_TIMEOUT_MS): Promise<ReplicaStatus> {
    return this.#control('/lease', timeoutMs);
  }

  /** Tells the replica to finish what it has and to end. @throws as infer */
  drain(timeoutMs = CONTROL_TIMEOUT_MS): Promise<ReplicaStatus> {
    return this.#control('/drain', timeoutMs);
  }

  /** Gives up calls that wait for an answer, so that they may be sent to another replica; second tries stay. */
  giveUp(reason: string): void {
    for (const call of this.#underWay) {
      if (!call.isLastTry) this.#fail(call, new ReplicaUnreachable(reason, true));
    }
  }

  /** Takes no more calls; resolves when those under way are settled. */
  async close(): Promise<void> {
    this.#closed ??= Promise.withResolvers<void>();
    this.#closeIfIdle();
    await this.#closed.promise;
    await this.#connection.close();
  }

  // Deadlines

  #limit(call: Call, signal: CallSignal | undefined): void {
    call.timer = setTimeout(() => {
      this.#fail(call, new ReplicaTimeout(call.timeoutMs, call.trip?.exchange.isSent ?? false));
    }, call.timeoutMs);
    if (signal === undefined) return;
    const abort = () => this.#fail(call, signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    call.stopListening = () => signal.removeEventListener('abort', abort);
  }

  /** Ends a call's claims; false when it had none any more. An exchange without calls is broken off. */
  #settle(call: Call): boolean {
    if (call.isSettled) return false;
    call.isSettled = true;
    this.#underWay.delete(call);
    if (call.timer !== null) clearTimeout(call.timer);
    call.stopListening?.();
    if (call.trip !== null && --call.trip.left === 0) call.trip.exchange.abort();
    return true;
  }

  #fail(call: Call, reason: unknown): void {
    if (this.#settle(call)) call.reject(reason);
  }

  // Exchanges

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    sendSoon(this.#sender);
  }

  /** Where rows are not to be run together, nothing is gained by waiting for others. */
  #shareable(): number {
    if (this.#sharedRows <= 1) return 0;
    let count = 0;
    for (const { layout, rows } of this.#waiting) if (layout !== null && rows <= MOST_ROWS_SHARED) count++;
    return count;
  }

  #sendWaiting(): void {
    this.#isScheduled = false;
    while (this.#exchanges < MOST_EXCHANGES && this.#waiting.length > 0) this.#send(this.#take());
    this.#closeIfIdle();
  }

  /** The oldest call and those that can travel with it. */
  #take(): Call[] {
    const batch: Call[] = [];
    const rest: Call[] = [];
    let rows = 0;
    for (const call of this.#waiting) {
      if (call.isSettled) continue;
      const [first] = batch;
      const joins =
        first === undefined ||
        (this.#mayShare(first, call) && rows + call.rows <= Math.min(MOST_ROWS, this.#sharedRows));
      (joins ? batch : rest).push(call);
      if (joins) rows += call.rows;
    }
    this.#waiting = rest;
    return batch;
  }

  #mayShare(first: Call, call: Call): boolean {
    return (
      first.layout !== null &&
      first.layout === call.layout &&
      first.rows <= MOST_ROWS_SHARED &&
      call.rows <= MOST_ROWS_SHARED
    );
  }

  #send(calls: readonly Call[]): void {
    const [first] = calls;
    if (first === undefined) return;
    const { layout, inputs, outputs } = first;
    let rows = 0;
    for (const call of calls) rows += call.rows;
    let encoded: Encoded;
    try {
      encoded =
        layout === null
          ? encodeRequest(inputs, { outputs, binary: this.#binary })
          : layout.encode(
              calls.map((call) => call.inputs),
              rows,
            );
    } catch (error) {
      // As JSON it may be longer than any text: that is these calls' affair, not the process's.
      for (const call of calls) this.#fail(call, error);
      return;
    }
    this.#exchanges++;
    const exchange = this.#connection.infer(encoded, (error, answer) => {
      this.#exchanges--;
      this.#finish(trip, error, answer);
      if (this.#waiting.length > 0 || this.#closed !== null) this.#schedule();
    });
    const trip: Trip = { calls, exchange, sentAt: performance.now(), left: calls.length };
    for (const call of calls) call.trip = trip;
  }

  #finish(trip: Trip, error: Error | null, answer: Answer | null): void {
    const calls = trip.calls.filter((call) => !call.isSettled);
    // Settling the last one must not abort what is over.
    for (const call of calls) call.trip = null;
    if (calls.length === 0) return;
    if (answer === null) {
      const failure = this.#connection.errorBy(error as Error, trip.exchange.isSent);
      for (const call of calls) this.#fail(call, failure);
      return;
    }
    try {
      this.#answer(trip, answer);
    } catch (failure) {
      if (trip.calls.length === 1 || failure instanceof ReplicaUnreachable) {
        for (const call of calls) this.#fail(call, failure);
        return;
      }
      // One of them is to blame: alone, only that one fails. Inference changes nothing, so it may run again.
      for (const call of calls) call.layout = null;
      this.#waiting.push(...calls);
    }
  }

  /** @throws ReplicaError when the answer is none for these calls. */
  #answer(trip: Trip, answer: Answer): void {
    const { outputs, timing } = readAnswer(answer);
    this.#sharedRows = timing.sharedRows;
    const { calls } = trip;
    const parts =
      calls.length === 1
        ? [outputs]
        : unstack(
            outputs,
            calls.map((call) => call.rows),
          );
    if (parts === null)
      throw new ReplicaFailed(answer.status, 'The answer does not have a row for each row sent.');
    for (let index = 0; index < calls.length; index++) {
      const call = calls[index]!;
      if (!this.#settle(call)) continue;
      const queueMs = trip.sentAt - call.queuedAt + timing.queueMs;
      const { computeMs, batchSize } = timing;
      call.resolve({ outputs: parts[index]!, queueMs, computeMs, batchSize });
    }
  }

  // The keeper's calls

  #control(path: '/lease' | '/drain', timeoutMs: number): Promise<ReplicaStatus> {
    return new Promise((resolve, reject) => {
      const exchange = this.#connection.control(path, (error, answer) => {
        clearTimeout(timer);
        try {
          if (answer === null) throw this.#connection.errorBy(error as Error, exchange.isSent);
          if (answer.status !== 200) throw errorOf(answer);
          resolve(JSON.parse(answer.body.toString()) as ReplicaStatus);
        } catch (failure) {
          reject(failure);
        }
      });
      const timer = setTimeout(() => {
        reject(new ReplicaTimeout(timeoutMs, exchange.isSent));
        exchange.abort();
      }, timeoutMs);
    });
  }

  #closeIfIdle(): void {
    if (this.#exchanges === 0 && this.#waiting.length === 0) this.#closed?.resolve();
  }
}

function readAnswer(answer: Answer) {
  if (answer.status !== 200) throw errorOf(answer);
  try {
    const told = answer.headerLength;
    const length = typeof told === 'number' ? told : headerLengthOf(told);
    return { outputs: decodeResponse(answer.body, length).outputs, timing: answer.timing };
  } catch (cause) {
    const message = `The replica's answer cannot be read: ${(cause as Error).message}`;
    throw new ReplicaFailed(answer.status, message, { cause });
  }
}
