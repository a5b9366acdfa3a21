/**
 * Counts predictions beside their way, one window per arm and second, and writes the windows to Redis at each
 * second's end. Recording is synchronous and never throws; while Redis is away, windows are dropped and counted.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from '../platform/logger.ts';
import type { Redis } from '../platform/redis.ts';
import { systemClock, type Clock } from './clock.ts';
import { encodeBatch, SHARDS, shardOf, STREAM_LENGTH, streamKey, type ArmWindow } from './stream.ts';
import type { Verdict } from './tally.ts';
import { MetricWindow, type Arm, type Outcome } from './window.ts';

export interface Recorded extends Arm {
  readonly outcome: Outcome;
  readonly latencyMs: number;
  readonly rows: number;
  /** Its outputs were NaN, an infinity or of a wrong shape. */
  readonly invalid?: boolean;
  /** The answer for one of its rows, while a rollout runs: the class, or a regression's number. */
  readonly answer?: string | number | null;
}

export interface Recorder {
  /** Counts a request that has ended, in the second in which it ended. */
  record(request: Recorded): void;
  /** A request to this arm has begun; `leave` must follow, however it ends. */
  enter(arm: Arm): void;
  leave(arm: Pick<Arm, 'armId'>): void;
  /**
   * Counts a request that was mirrored to an arm.
   * @param example the prediction at which the answers differed, `<requestId>:<row>`.
   */
  mirrored(arm: Arm, verdict: Verdict, example?: string): void;
  stats(): RecorderStats;
  /** Writes what is left and waits until it is written, or dropped. The connection stays the caller's. */
  close(): Promise<void>;
}

/** Batches, since the start: one per second and shard with traffic. */
export interface RecorderStats {
  readonly written: number;
  readonly dropped: number;
}

export interface RecorderOptions {
  /** A connection of mode `fast`. */
  readonly redis: Redis;
  readonly prefix: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** Seconds without traffic after which a writer pauses in a shard; after six times as many an arm is forgotten. */
const IDLE_SECONDS = 10;
const COMPLAIN_MS = 10_000;

interface Meter {
  readonly arm: Arm;
  readonly shard: number;
  inFlight: number;
  window: MetricWindow | undefined;
  /** Second of the last traffic. */
  lastSecond: number;
}

interface ShardState {
  sequence: number;
  lastSecond: number;
  active: boolean;
}

export function openRecorder(options: RecorderOptions): Recorder {
  return new StreamRecorder(options);
}

class StreamRecorder implements Recorder {
  readonly #options: RecorderOptions;
  readonly #clock: Clock;
  readonly #writer = randomUUID();
  readonly #meters = new Map<string, Meter>();
  readonly #shards: ShardState[] = Array.from({ length: SHARDS }, () => ({
    sequence: 0,
    lastSecond: 0,
    active: false,
  }));
  readonly #writing = new Set<Promise<void>>();
  #second: number;
  /** End of the running second, in milliseconds: the one comparison that a record costs. */
  #end: number;
  #cancel: () => void;
  #written = 0;
  #dropped = 0;
  #complained = 0;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#second = Math.floor(this.#clock.now() / 1000);
    this.#end = (this.#second + 1) * 1000;
    this.#cancel = this.#clock.wakeAt(this.#end, () => this.#turn());
  }

  record(request: Recorded): void {
    const window = this.#window(request);
    window.add(request.outcome, request.latencyMs, request.rows);
    if (request.invalid === true) window.invalid++;
    const { answer } = request;
    if (answer !== undefined && answer !== null) window.addAnswer(answer);
  }

  mirrored(arm: Arm, verdict: Verdict, example?: string): void {
    this.#window(arm).addMirrored(verdict, example);
  }

  enter(arm: Arm): void {
    this.#meter(arm).inFlight++;
  }

  leave(arm: Pick<Arm, 'armId'>): void {
    const meter = this.#meters.get(arm.armId);
    if (meter && meter.inFlight > 0) meter.inFlight--;
  }

  stats(): RecorderStats {
    return { written: this.#written, dropped: this.#dropped };
  }

  async close(): Promise<void> {
    this.#cancel();
    this.#cancel = () => undefined;
    // Twice: a second that ended while the timer slept, then the running one, as this writer's last word.
    if (this.#clock.now() >= this.#end) this.#roll();
    this.#flush(true);
    this.#meters.clear();
    await Promise.all(this.#writing);
  }

  /** Of the running second. */
  #window(arm: Arm): MetricWindow {
    if (this.#clock.now() >= this.#end) this.#roll();
    const meter = this.#meter(arm);
    meter.lastSecond = this.#second;
    return (meter.window ??= new MetricWindow());
  }

  #meter(arm: Arm): Meter {
    let meter = this.#meters.get(arm.armId);
    if (!meter) {
      const { deploymentId, armId, armName } = arm;
      meter = {
        arm: { deploymentId, armId, armName },
        shard: shardOf(deploymentId),
        inFlight: 0,
        window: undefined,
        lastSecond: this.#second,
      };
      this.#meters.set(armId, meter);
    }
    return meter;
  }

  #turn(): void {
    // A timer may fire a little early.
    if (this.#clock.now() >= this.#end) this.#roll();
    this.#cancel = this.#clock.wakeAt(this.#end, () => this.#turn());
  }

  /** Ends the running second and begins the present one. */
  #roll(): void {
    this.#flush(false);
    this.#second = Math.floor(this.#clock.now() / 1000);
    this.#end = (this.#second + 1) * 1000;
  }

  #flush(last: boolean): void {
    const byShard = this.#takeWindows();
    const batches: [key: string, fields: string[]][] = [];
    this.#shards.forEach((state, shard) => {
      const windows = byShard[shard] ?? [];
      if (windows.length > 0) state.lastSecond = this.#second;
      if (windows.length === 0 && !state.active) return;
      const idle = last || this.#second - state.lastSecond >= IDLE_SECONDS;
      state.active = !idle;
      state.sequence++;
      const { sequence } = state;
      const fields = encodeBatch({ writer: this.#writer, sequence, second: this.#second, idle, windows });
      batches.push([streamKey(this.#options.prefix, shard), fields]);
    });
    if (batches.length === 0) return;
    const writing = this.#write(batches).finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
  }

  #takeWindows(): ArmWindow[][] {
    const byShard: ArmWindow[][] = Array.from({ length: SHARDS }, () => []);
    for (const [armId, meter] of this.#meters) {
      // An arm in which requests hang has no ended ones to count: its window still tells how many are under way.
      if (meter.inFlight > 0) meter.window ??= new MetricWindow();
      if (meter.window) {
        meter.window.inFlight = meter.inFlight;
        byShard[meter.shard]?.push({ arm: meter.arm, window: meter.window });
        meter.window = undefined;
      } else if (this.#second - meter.lastSecond > 6 * IDLE_SECONDS) {
        this.#meters.delete(armId);
      }
    }
    return byShard;
  }

  /** Never rejects. The connection's command timeout bounds how long, and so how much, is under way. */
  async #write(batches: readonly [key: string, fields: string[]][]): Promise<void> {
    let lost: unknown;
    let written = 0;
    try {
      const pipeline = this.#options.redis.pipeline();
      for (const [key, fields] of batches) {
        pipeline.xadd(key, 'MAXLEN', '~', STREAM_LENGTH, '*', ...fields);
      }
      for (const [error] of (await pipeline.exec()) ?? []) {
        if (error) lost = error;
        else written++;
      }
    } catch (error) {
      lost = error;
    }
    this.#written += written;
    this.#dropped += batches.length - written;
    if (lost !== undefined) this.#complain(lost);
  }

  #complain(error: unknown): void {
    const now = this.#clock.now();
    if (now - this.#complained < COMPLAIN_MS) return;
    this.#complained = now;
    this.#options.logger.warn(
      { err: error, dropped: this.#dropped },
      'metrics: windows dropped, Redis is away',
    );
  }
}
