/** The only importer of onnxruntime-node. `run` blocks the calling thread: keep it out of the api and the workers. */
import { InferenceSession, Tensor, env } from 'onnxruntime-node';

export type Session = InferenceSession;
export type RuntimeTensor = Tensor;
export { Tensor };

env.logLevel = 'error';

/**
 * float16 goes in and out as Uint16Array of bits: onnxruntime-common would turn it into Node 24's Float16Array, which
 * the native binding cannot read. It looks for that class once, at the first tensor, so it is out of sight until then.
 */
function settleFloat16AsBits(): void {
  const hidden = Object.getOwnPropertyDescriptor(globalThis, 'Float16Array');
  if (!hidden) return;
  Reflect.deleteProperty(globalThis, 'Float16Array');
  void new Tensor('bool', [true], [1]);
  Object.defineProperty(globalThis, 'Float16Array', hidden);
}
settleFloat16AsBits();

export interface SessionOptions {
  /** Threads within one operator; 1 is fastest for small models. */
  readonly threads: number;
}

/**
 * Loads a graph from a path (external data is found beside it).
 * @throws Error with the runtime's own message: an unknown operator is named with its domain.
 */
export function loadSession(path: string, options: SessionOptions): Promise<Session> {
  return InferenceSession.create(path, {
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
  });
}
