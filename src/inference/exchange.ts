/** One question to a replica and its answer, whichever way they travel. */
import type { ToldTiming } from './replica-status.ts';

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
  /** Bytes of the JSON header before binary tensors, as the other side tells it: text of HTTP is not read yet. */
  readonly headerLength: number | string | string[] | undefined;
  readonly timing: ToldTiming;
}

/** Called once, with exactly one of the two; also after `abort`. */
export type Done = (error: Error | null, answer: Answer | null) => void;

export interface Exchange {
  /** Whether the request went out: from then on the other side may have acted on it. */
  readonly isSent: boolean;
  /** Lets the other side learn that nobody waits any more. */
  abort(): void;
}

/** Why an exchange that was aborted has no answer. */
export const abandoned = (): Error => new Error('Nobody waits for the answer any more.');
