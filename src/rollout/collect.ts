/** What metric windows add to a rollout's evidence. Pure. */
import type { Batch } from '../metric/stream.ts';
import { MetricWindow } from '../metric/window.ts';
import type { ArmEvidence, Evidence } from './evidence.ts';

/** What the mirrored requests of a minute showed. */
export interface MinuteOfAgreement {
  /** Its beginning, as ISO 8601. */
  readonly minute: string;
  readonly compared: number;
  readonly disagreed: number;
  readonly dropped: number;
  /** Ids of predictions of the stable arm with which the candidate disagreed. */
  readonly examples: readonly string[];
}

export interface Watched {
  readonly deploymentId: string;
  readonly stableArmId: string;
  readonly candidateArmId: string | null;
  /** Seconds that began before, in milliseconds since 1970, are of another step. */
  readonly since: number;
}

export interface Collected {
  readonly evidence: Evidence;
  readonly agreement: readonly MinuteOfAgreement[];
}

/** Classes that are told apart; answers beyond them count together. */
const MOST_LABELS = 50;
const REST = '…';
const MINUTE_MS = 60_000;
/** Examples of a minute. */
const MOST_EXAMPLES = 20;

/** The evidence with what the batches hold of the step's seconds; undefined when that is nothing. */
export function collect(
  evidence: Evidence,
  watched: Watched,
  batches: readonly Batch[],
): Collected | undefined {
  const stable = new Sum();
  const candidate = new Sum();
  const minutes = new Map<number, MinuteOfAgreement>();
  for (const { second, windows } of batches) {
    if (second * 1000 < watched.since) continue;
    for (const { arm, window } of windows) {
      if (arm.deploymentId !== watched.deploymentId) continue;
      if (arm.armId === watched.stableArmId) stable.add(window);
      else if (arm.armId === watched.candidateArmId) {
        candidate.add(window);
        addAgreement(minutes, second, window);
      }
    }
  }
  if (stable.isEmpty && candidate.isEmpty) return undefined;
  const { compared, disagreed, dropped } = candidate.window;
  return {
    evidence: {
      ...evidence,
      stable: stable.onto(evidence.stable),
      candidate: candidate.onto(evidence.candidate),
      compared: evidence.compared + compared,
      disagreed: evidence.disagreed + disagreed,
      dropped: evidence.dropped + dropped,
    },
    agreement: [...minutes.values()],
  };
}

class Sum {
  readonly window = new MetricWindow();
  isEmpty = true;

  add(window: MetricWindow): void {
    this.window.addBeside(window);
    this.isEmpty = false;
  }

  onto(before: ArmEvidence): ArmEvidence {
    if (this.isEmpty) return before;
    const { ok, model, server, invalid, labels, values } = this.window;
    const latency = MetricWindow.decode(before.latency);
    latency.addBeside(this.window);
    return {
      ...before,
      requests: before.requests + ok + model + server,
      errors: before.errors + model + server,
      invalid: before.invalid + invalid,
      latency: latency.encode(),
      labels: counted(before.labels, labels),
      values: counted(before.values, values),
    };
  }
}

function counted(
  before: Readonly<Record<string, number>>,
  more: ReadonlyMap<string | number, number>,
): Record<string, number> {
  const sum = new Map(Object.entries(before));
  for (const [key, count] of more) {
    const name = String(key);
    const place = typeof key === 'number' || sum.has(name) || sum.size < MOST_LABELS ? name : REST;
    sum.set(place, (sum.get(place) ?? 0) + count);
  }
  return Object.fromEntries(sum);
}

function addAgreement(minutes: Map<number, MinuteOfAgreement>, second: number, window: MetricWindow): void {
  const { compared, disagreed, dropped, examples } = window;
  if (compared + dropped === 0) return;
  const at = Math.floor((second * 1000) / MINUTE_MS) * MINUTE_MS;
  const before = minutes.get(at);
  minutes.set(at, {
    minute: new Date(at).toISOString(),
    compared: (before?.compared ?? 0) + compared,
    disagreed: (before?.disagreed ?? 0) + disagreed,
    dropped: (before?.dropped ?? 0) + dropped,
    examples: [...(before?.examples ?? []), ...examples].slice(0, MOST_EXAMPLES),
  });
}
