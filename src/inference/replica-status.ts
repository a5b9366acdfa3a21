/** What a replica and those who call it agree on beyond the Open Inference Protocol. */

/** Raised when `/lease`, `/drain` or the meaning of their answers changes; a worker adopts only what it speaks. */
export const REPLICA_PROTOCOL_VERSION = 1;

export type ReplicaState = 'LOADING' | 'WARMING' | 'READY' | 'DRAINING' | 'FAILED';

/** The answer to `POST /lease` and `POST /drain`. */
export interface ReplicaStatus {
  readonly state: ReplicaState;
  /** Milliseconds that loading and warming up took; null until they are over. */
  readonly loadMs: number | null;
  readonly warmUpMs: number | null;
  /** Resident memory of the whole process. */
  readonly memoryBytes: number;
  /** Inference requests that are being read, waiting, running or being answered. */
  readonly inFlight: number;
  /** Inference requests since the start. */
  readonly requests: number;
  readonly protocolVersion: number;
  /** Whether a row's answer does not depend on its neighbours, so that requests may share a run; null until tried. */
  readonly rowsIndependent: boolean | null;
  /** Why it is about to end; null while it is not. */
  readonly exitReason: string | null;
}

/** What a replica writes to its ready file once it listens (it does not answer inference yet). */
export interface ReplicaReady {
  /** `unix:/path` or `http://host:port`. */
  readonly endpoint: string;
  readonly pid: number;
  /** Start time of the process, as in `ProcessIdentity`. */
  readonly start: string;
}

/** What a replica writes to its exit file. A replica without one was killed. */
export interface ReplicaExit {
  readonly code: 'LOAD_FAILED' | 'LISTEN_FAILED' | 'LEASE_EXPIRED' | 'DRAINED' | 'CRASHED';
  readonly message: string;
}

/** HTTP response header of an inference: `queueMs;computeMs;batchRows;sharedRows`. */
export const TIMING_HEADER = 'modelarium-timing';

export interface Timing {
  /** Milliseconds between the arrival of the request and the start of its run. */
  readonly queueMs: number;
  /** Milliseconds of the run that it shared. */
  readonly computeMs: number;
  /** Rows in that run, those of other requests included. */
  readonly batchSize: number;
}

/** What a replica tells with each answer. */
export interface ToldTiming extends Timing {
  /** Rows of several requests that are best run together; 0 or 1 when none are. */
  readonly sharedRows: number;
}

export function formatTiming({ queueMs, computeMs, batchSize, sharedRows }: ToldTiming): string {
  return `${queueMs.toFixed(3)};${computeMs.toFixed(3)};${batchSize};${sharedRows}`;
}

/** Reads the header; a server that sends none gets zeros and no merged requests. */
export function parseTiming(header: unknown): ToldTiming {
  const [queue, compute, rows, shared] = typeof header === 'string' ? header.split(';') : [];
  return {
    queueMs: Number(queue) || 0,
    computeMs: Number(compute) || 0,
    batchSize: Number(rows) || 0,
    sharedRows: Number(shared) || 0,
  };
}
