/** What a subscriber sees: all arms of a deployment over one step, with rates and quantiles worked out. */
import { MetricWindow, type LatencyQuantiles } from './window.ts';

/** HOUR comes with the rollups. */
export const steps = ['SECOND', 'MINUTE'] as const;
export type Step = (typeof steps)[number];

export interface ErrorCounts {
  readonly client: number;
  readonly model: number;
  readonly server: number;
  readonly shed: number;
}

export interface MetricPoint {
  /** Start of the step. */
  readonly at: Date;
  /** Length of the step. */
  readonly seconds: number;
  /** Name of the arm. */
  readonly arm: string;
  /** All requests that ended, whatever their outcome. */
  readonly requests: number;
  readonly errors: ErrorCounts;
  readonly requestsPerSecond: number;
  /** Requests that the model or this server failed, over all requests; 0 when there were none. */
  readonly errorRate: number;
  readonly latencyMs: LatencyQuantiles;
  readonly rowsPerSecond: number;
  /** Requests under way at the step's end. */
  readonly inFlight: number;
  /** Windows of this time are known to be missing. */
  readonly partial: boolean;
}

export interface MetricFrame {
  /** Start of the step. */
  readonly at: Date;
  /** When this process closed it; what arrived later is not in it. */
  readonly closedAt: Date;
  /** The reader was slow, and frames before this one were left out. */
  readonly gapBefore: boolean;
  /** By name. An arm without traffic for five minutes is left out. */
  readonly arms: readonly MetricPoint[];
}

export interface ArmTotal {
  readonly name: string;
  readonly window: MetricWindow;
}

export interface FrameSpan {
  /** Seconds since 1970. */
  readonly second: number;
  readonly seconds: number;
  /** Milliseconds since 1970. */
  readonly closedAt: number;
  readonly partial: boolean;
}

/** A frame of the arms given; those without traffic have an empty window. */
export function frameOf(span: FrameSpan, arms: readonly ArmTotal[]): MetricFrame {
  const at = new Date(span.second * 1000);
  const points = arms.map(({ name, window }) => pointOf(at, span, name, window));
  points.sort((a, b) => (a.arm < b.arm ? -1 : 1));
  return { at, closedAt: new Date(span.closedAt), gapBefore: false, arms: points };
}

export function withGap(frame: MetricFrame): MetricFrame {
  return { ...frame, gapBefore: true };
}

function pointOf(at: Date, span: FrameSpan, arm: string, window: MetricWindow): MetricPoint {
  const { client, model, server, shed, requests } = window;
  return {
    at,
    seconds: span.seconds,
    arm,
    requests,
    errors: { client, model, server, shed },
    requestsPerSecond: requests / span.seconds,
    errorRate: requests === 0 ? 0 : (model + server) / requests,
    latencyMs: window.quantiles(),
    rowsPerSecond: window.rows / span.seconds,
    inFlight: window.inFlight,
    partial: span.partial,
  };
}
