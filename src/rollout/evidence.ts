/** What has been seen of both arms while a step bakes. It stands in the rollout's row, together with how far it was read. */
import { MetricWindow } from '../metric/window.ts';

/** Of one arm. Counts are of requests. */
export interface ArmEvidence {
  /** Answered by the model, or failed by it or by us; not callers' mistakes, and not what was shed. */
  readonly requests: number;
  /** Failed by the model or by us; invalid outputs are among them. */
  readonly errors: number;
  /** Answered with NaN, an infinity or a wrong shape. */
  readonly invalid: number;
  /** Latencies: a `MetricWindow` as it encodes itself. */
  readonly latency: string;
  /** How often each class was the answer (of one row a request). */
  readonly labels: Readonly<Record<string, number>>;
  /** How often a number of that bin was the answer (of one row a request), see `valueBin`. */
  readonly values: Readonly<Record<string, number>>;
  /** Predictions whose outcome is known, and those that were right. */
  readonly judged: number;
  readonly right: number;
}

export interface Evidence {
  readonly stable: ArmEvidence;
  readonly candidate: ArmEvidence;
  /** Mirrored requests whose answers were compared, those that differed, and those that were left out to slow nobody. */
  readonly compared: number;
  readonly disagreed: number;
  readonly dropped: number;
  /** The running minimum of each gate's p, in the order of the gates. */
  readonly p: readonly number[];
}

const NO_LATENCY = new MetricWindow().encode();

function noEvidence(): ArmEvidence {
  return {
    requests: 0,
    errors: 0,
    invalid: 0,
    latency: NO_LATENCY,
    labels: {},
    values: {},
    judged: 0,
    right: 0,
  };
}

export function emptyEvidence(gates: number): Evidence {
  return {
    stable: noEvidence(),
    candidate: noEvidence(),
    compared: 0,
    disagreed: 0,
    dropped: 0,
    p: Array.from({ length: gates }, () => 1),
  };
}
