/**
 * The last two minutes of every deployment with traffic, as closed frames. Pure: what arrives is added, the
 * caller says when a second is over.
 *
 * Frames keep their identity: asking twice for the same second gives the same object, so that what was made from
 * it can be kept by it.
 */
import { frameOf, type ArmTotal, type FrameSpan, type MetricFrame, type Step } from './frame.ts';
import { Completeness } from './completeness.ts';
import { shardOf, type ArmWindow, type Batch } from './stream.ts';
import { MetricWindow } from './window.ts';

/** Closed seconds kept. */
export const KEPT_SECONDS = 120;
/** A writer whose clock is further ahead is not waited for: its windows would pile up. */
const AHEAD_SECONDS = KEPT_SECONDS + 60;
const IDLE_SECONDS = 300;
const MINUTE = 60;

type Totals = Map<string, ArmTotal>;

interface Ring {
  readonly shard: number;
  /** Frames by second modulo KEPT_SECONDS. */
  readonly seconds: (MetricFrame | undefined)[];
  /** Closed minutes by their first second. */
  readonly minutes: Map<number, MetricFrame>;
  /** The running minute. */
  minute: Totals;
  /** Arms with traffic lately, and in which second last. */
  readonly arms: Map<string, { name: string; lastSecond: number }>;
}

/** What is true of a closed second for everybody. */
interface ClosedSecond {
  readonly second: number;
  readonly closedAt: number;
  /** Shards that lack something, one bit each. */
  readonly lacking: number;
}

export class History {
  readonly completeness = new Completeness();
  readonly #open = new Map<number, Map<string, Totals>>();
  readonly #rings = new Map<string, Ring>();
  readonly #closed: (ClosedSecond | undefined)[] = Array.from({ length: KEPT_SECONDS });
  /** The last closed second. */
  #last: number;

  /** @param last the second before the first that is covered, in seconds since 1970. */
  constructor(last: number) {
    this.#last = last;
  }

  get last(): number {
    return this.#last;
  }

  /** Adds what a writer saw. Returns false when that second is over already, or far from having come. */
  add(shard: number, batch: Batch): boolean {
    if (batch.second > this.#last + AHEAD_SECONDS) return false;
    if (!this.completeness.arrived(shard, batch)) return true;
    if (batch.second <= this.#last) return batch.windows.length === 0;
    let deployments = this.#open.get(batch.second);
    if (!deployments) this.#open.set(batch.second, (deployments = new Map()));
    for (const { arm, window } of batch.windows) {
      let totals = deployments.get(arm.deploymentId);
      if (!totals) deployments.set(arm.deploymentId, (totals = new Map()));
      addBeside(totals, { arm, window });
    }
    return true;
  }

  /** Starts anew after this second: nothing before it is known. */
  skipTo(second: number): void {
    this.#last = Math.max(this.#last, second);
    for (const each of this.#open.keys()) if (each <= this.#last) this.#open.delete(each);
    this.completeness.forget(this.#last);
  }

  /** Closes the next second. Returns which it was. */
  close(closedAt: number): number {
    const second = ++this.#last;
    const lacking = this.completeness.close(second);
    this.#closed[second % KEPT_SECONDS] = { second, closedAt, lacking };
    const deployments = this.#open.get(second);
    this.#open.delete(second);
    for (const [deploymentId, totals] of deployments ?? []) this.#append(deploymentId, second, totals);
    if (second % MINUTE === MINUTE - 1) this.#closeMinute(second);
    return second;
  }

  /** The frame that ended with this closed second: none where it is not kept, or where no such step ended. */
  frame(deploymentId: string, step: Step, second: number): MetricFrame | undefined {
    const closed = this.#closed[second % KEPT_SECONDS];
    if (closed?.second !== second) return undefined;
    if (step === 'SECOND') return this.#secondFrame(deploymentId, closed);
    if (second % MINUTE !== MINUTE - 1) return undefined;
    const ring = this.#ring(deploymentId);
    return ring.minutes.get(second - MINUTE + 1) ?? this.#minuteFrame(ring, second, new Map());
  }

  /** Closed frames of steps that ended within the last `seconds`, oldest first. */
  past(deploymentId: string, step: Step, seconds: number): MetricFrame[] {
    const frames: MetricFrame[] = [];
    for (let second = this.#last - Math.min(seconds, KEPT_SECONDS) + 1; second <= this.#last; second++) {
      const frame = this.frame(deploymentId, step, second);
      if (frame) frames.push(frame);
    }
    return frames;
  }

  #append(deploymentId: string, second: number, totals: Totals): void {
    const ring = this.#ring(deploymentId);
    for (const [armId, total] of totals) {
      ring.arms.set(armId, { name: total.name, lastSecond: second });
      const minute = ring.minute.get(armId);
      if (minute) minute.window.addAfter(total.window);
      else {
        const window = new MetricWindow();
        window.addAfter(total.window);
        ring.minute.set(armId, { name: total.name, window });
      }
    }
    const closed = this.#closed[second % KEPT_SECONDS];
    if (closed) ring.seconds[second % KEPT_SECONDS] = frameOf(span(closed, ring), withIdle(ring, totals));
  }

  #secondFrame(deploymentId: string, closed: ClosedSecond): MetricFrame {
    const ring = this.#ring(deploymentId);
    const slot = closed.second % KEPT_SECONDS;
    const kept = ring.seconds[slot];
    if (kept && kept.at.getTime() === closed.second * 1000) return kept;
    return (ring.seconds[slot] = frameOf(span(closed, ring), withIdle(ring, new Map())));
  }

  #closeMinute(second: number): void {
    for (const [deploymentId, ring] of this.#rings) {
      for (const [armId, arm] of ring.arms) {
        if (second - arm.lastSecond > IDLE_SECONDS) ring.arms.delete(armId);
        // No window at the end: nothing was under way.
        const total = ring.minute.get(armId);
        if (total && arm.lastSecond < second) total.window.inFlight = 0;
      }
      if (ring.arms.size === 0) this.#rings.delete(deploymentId);
      else if (ring.minute.size > 0) this.#minuteFrame(ring, second, ring.minute);
      ring.minute = new Map();
    }
  }

  #minuteFrame(ring: Ring, second: number, totals: Totals): MetricFrame {
    const first = second - MINUTE + 1;
    let partial = false;
    for (let each = first; each <= second; each++) {
      const closed = this.#closed[each % KEPT_SECONDS];
      partial ||= closed?.second !== each || span(closed, ring).partial;
    }
    const closedAt = this.#closed[second % KEPT_SECONDS]?.closedAt ?? 0;
    const frame = frameOf({ second: first, seconds: MINUTE, closedAt, partial }, withIdle(ring, totals));
    ring.minutes.set(first, frame);
    for (const each of ring.minutes.keys())
      if (each <= this.#last - KEPT_SECONDS - MINUTE) ring.minutes.delete(each);
    return frame;
  }

  #ring(deploymentId: string): Ring {
    let ring = this.#rings.get(deploymentId);
    if (!ring) {
      ring = {
        shard: shardOf(deploymentId),
        seconds: [],
        minutes: new Map(),
        minute: new Map(),
        arms: new Map(),
      };
      this.#rings.set(deploymentId, ring);
    }
    return ring;
  }
}

function span(closed: ClosedSecond, ring: Ring): FrameSpan {
  const { second, closedAt, lacking } = closed;
  return { second, seconds: 1, closedAt, partial: (lacking & (1 << ring.shard)) !== 0 };
}

function addBeside(totals: Totals, { arm, window }: ArmWindow): void {
  const total = totals.get(arm.armId);
  if (total) total.window.addBeside(window);
  else totals.set(arm.armId, { name: arm.armName, window });
}

const nothing = new MetricWindow();

/** The arms with traffic, and those that had some lately. */
function withIdle(ring: Ring, totals: Totals): ArmTotal[] {
  const arms = [...totals.values()];
  for (const [armId, { name }] of ring.arms) if (!totals.has(armId)) arms.push({ name, window: nothing });
  return arms;
}
