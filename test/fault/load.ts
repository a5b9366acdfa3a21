/** Predictions without a pause, so many at a time, each timed and told by how it ended. */
import { breastCancerColumns } from '#test/helpers/models.ts';
import { sendPredict } from '#test/helpers/predict.ts';
import type { Stack } from '#test/helpers/stack.ts';

export interface Ended {
  /** `PredictPayload`, the type of an expected error, or `request failed: …` where no answer came. */
  readonly outcome: string;
  readonly latencyMs: number;
}

const rows = [Object.fromEntries(breastCancerColumns.map((name) => [name, 1]))];

export class Load {
  readonly ended: Ended[] = [];
  readonly #stack: Stack;
  readonly #deployment: string;
  readonly #loops: Promise<void>[];
  readonly #waiting = new Set<() => void>();
  #stopped = false;

  constructor(stack: Stack, deployment: string, inFlight: number) {
    this.#stack = stack;
    this.#deployment = deployment;
    this.#loops = Array.from({ length: inFlight }, () => this.#loop());
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      const started = performance.now();
      const outcome = await this.#predict();
      this.ended.push({ outcome, latencyMs: performance.now() - started });
      for (const look of this.#waiting) look();
    }
  }

  async #predict(): Promise<string> {
    try {
      const { body, status } = await sendPredict(this.#stack, { deployment: this.#deployment, rows });
      return (
        body.data?.result.__typename ?? `HTTP ${status}: ${String(body.errors?.[0]?.extensions?.['code'])}`
      );
    } catch (error) {
      return `request failed: ${String((error as Error).cause ?? error)}`;
    }
  }

  /** Resolves once `count` more have ended with an outcome, from now on. */
  more(count: number, outcome = 'PredictPayload'): Promise<void> {
    const from = this.ended.length;
    return this.until(
      () => this.ended.slice(from).filter((each) => each.outcome === outcome).length >= count,
    );
  }

  /** Looks whenever one has ended. */
  until(isReached: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!isReached()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
    });
  }

  /** Lets what is in flight end; everything that ended. */
  async stop(): Promise<readonly Ended[]> {
    this.#stopped = true;
    await Promise.all(this.#loops);
    return this.ended;
  }
}

/** How often each outcome came. */
export function outcomes(ended: readonly Ended[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome } of ended) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

export const slowest = (ended: readonly Ended[]): number =>
  Math.max(...ended.map(({ latencyMs }) => latencyMs));
