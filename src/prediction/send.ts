/** One exchange with one replica, counted in its load. */
import type { ReplicaRoute } from '../deployment/routing.ts';
import type { CallSignal, Inferred } from '../inference/replica-client.ts';
import type { NamedTensor } from '../tensor/tensor.ts';

export interface Limits {
  readonly timeoutMs: number;
  /** Never in one exchange with others. */
  readonly alone: boolean;
  readonly signal: CallSignal | undefined;
}

/** @throws as ReplicaClient.infer */
export async function send(
  replica: ReplicaRoute,
  inputs: readonly NamedTensor[],
  outputs: readonly string[] | null,
  { timeoutMs, alone, signal }: Limits,
): Promise<Inferred> {
  const { load } = replica;
  const begunAt = performance.now();
  load.begin(begunAt);
  try {
    const limits = { timeoutMs: Math.max(1, timeoutMs), alone };
    const inferred = await replica.client.infer(inputs, outputs, signal ? { ...limits, signal } : limits);
    load.answered(performance.now(), begunAt, inferred.computeMs);
    return inferred;
  } catch (error) {
    load.end();
    throw error;
  }
}
