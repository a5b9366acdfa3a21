/** Throughput of two servers under the same load, in rounds that alternate: A B A B … */
import { startChild, type BenchChild } from './child.ts';
import type { Loaded, Target } from './load.process.ts';
import { pin } from './process-usage.ts';
import type { SessionRuns } from './session.process.ts';
import type { PreparedOrder, TransactionOrder } from './sql.process.ts';

/** What is asked over HTTP, of ONNX Runtime in one process, or of PostgreSQL itself. */
export type Asked =
  Target | SessionRuns | ((PreparedOrder | TransactionOrder) & { readonly databaseUrl: string });

export interface Contender {
  readonly target: Asked;
  /** CPU time that its processes have used so far, in seconds, by name. */
  readonly cpu: () => Readonly<Record<string, number>>;
}
/** One contender over all rounds. */
export interface Performance {
  /** Requests per second of each round. */
  readonly rates: number[];
  /** Microseconds of CPU per request, by process. */
  readonly cpuMicros: Record<string, number>;
  readonly p50: number[];
  readonly p99: number[];
}
export interface Duration {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

const IN_FLIGHT = 16;

interface Tally extends Performance {
  requests: number;
  readonly cpuSeconds: Record<string, number>;
}

const newTally = (): Tally => ({ rates: [], cpuMicros: {}, p50: [], p99: [], requests: 0, cpuSeconds: {} });

/**
 * @param connections requests in flight.
 * @param core that the load has to itself; none where nothing is said.
 * @throws Error when a server fails or answers anything else.
 */
export async function compare(
  contenders: readonly [ours: Contender, limit: Contender],
  { rounds, seconds, warmUpSeconds }: Duration,
  connections = IN_FLIGHT,
  core?: number,
): Promise<[ours: Performance, limit: Performance]> {
  const loads = new Map<string, BenchChild>();
  const loadOf = (target: Asked): BenchChild => {
    const file =
      'port' in target ? 'load.process.ts' : 'modelPath' in target ? 'session.process.ts' : 'sql.process.ts';
    const known = loads.get(file);
    if (known) return known;
    const fresh = startChild(file);
    if (core !== undefined) pin([fresh.pid], core);
    loads.set(file, fresh);
    return fresh;
  };
  const run = async (target: Asked, length: number) => {
    const order = { ...target, connections, seconds: length };
    const loaded = await loadOf(target).ask<Loaded>(order);
    if ('failure' in loaded) throw new Error(loaded.failure);
    return loaded;
  };
  const measure = async ({ target, cpu }: Contender, tally: Tally): Promise<void> => {
    const before = cpu();
    const { requests, p50, p99 } = await run(target, seconds);
    for (const [name, used] of Object.entries(cpu())) {
      tally.cpuSeconds[name] = (tally.cpuSeconds[name] ?? 0) + used - (before[name] ?? 0);
      tally.cpuMicros[name] = (tally.cpuSeconds[name] * 1e6) / (tally.requests + requests);
    }
    tally.requests += requests;
    tally.rates.push(requests / seconds);
    tally.p50.push(p50);
    tally.p99.push(p99);
  };
  const tallies: [Tally, Tally] = [newTally(), newTally()];
  try {
    for (const { target } of contenders) await run(target, warmUpSeconds);
    for (let round = 0; round < rounds; round++) {
      await measure(contenders[0], tallies[0]);
      await measure(contenders[1], tallies[1]);
    }
  } finally {
    await Promise.all([...loads.values()].map((load) => load.end()));
  }
  return tallies;
}
