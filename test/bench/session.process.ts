/** The limit of inference: bare ONNX Runtime, one session in one process that runs the same batch again and again. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Loaded } from './load.process.ts';

export interface SessionRuns {
  readonly modelPath: string;
  readonly threads: number;
  readonly input: string;
  readonly shape: readonly number[];
  /** Float32 values. */
  readonly values: readonly number[];
}
type Order = SessionRuns & { readonly seconds: number };

const sessions = new Map<string, Promise<InferenceSession>>();

function sessionOf({ modelPath, threads }: Order): Promise<InferenceSession> {
  const options = {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
  } as const;
  const session = sessions.get(modelPath) ?? InferenceSession.create(modelPath, options);
  sessions.set(modelPath, session);
  return session;
}

async function run(order: Order): Promise<Loaded> {
  const session = await sessionOf(order);
  const data = Float32Array.from(order.values);
  const latencies: number[] = [];
  const until = performance.now() + order.seconds * 1000;
  for (let now = performance.now(); now < until;) {
    await session.run({ [order.input]: new Tensor('float32', data, order.shape) });
    const end = performance.now();
    latencies.push(end - now);
    now = end;
  }
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * sorted.length)] ?? Number.NaN;
  return { requests: sorted.length, seconds: order.seconds, p50: at(0.5), p99: at(0.99) };
}

process.on('message', (order: Order) => void run(order).then((loaded) => process.send?.(loaded)));
process.once('disconnect', () => process.exit());
