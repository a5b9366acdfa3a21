/** Predictions that come by the clock, so many a second, over the Open Inference Protocol; each counted by how it ended. */
import { Agent, request } from 'node:http';

const headers = { 'content-type': 'application/json' };

export interface Totals {
  readonly sent: number;
  /** By HTTP status, or by the code of an error without one. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly slowestMs: number;
  readonly p99Ms: number;
  readonly seconds: number;
}

/** How one request ended. */
export interface Answer {
  readonly origin: string;
  /** HTTP status, or the code of an error without one. */
  readonly outcome: string;
  /** Empty where none came. */
  readonly body: string;
}

export class SteadyLoad {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 512 });
  readonly #origins: readonly URL[];
  readonly #path: string;
  readonly #bodies: readonly string[];
  readonly #perSecond: number;
  readonly #onAnswer: ((answer: Answer) => void) | undefined;
  readonly #began = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #outcomes: Record<string, number> = {};
  readonly #latencies: number[] = [];
  readonly #underWay = new Set<Promise<void>>();
  readonly #waiting = new Set<() => void>();
  #sent = 0;

  /**
   * @param origins of apis, which take turns, as bodies do.
   * @param onAnswer told of each request as it ends.
   */
  constructor(
    origins: readonly string[],
    path: string,
    body: object | readonly object[],
    perSecond: number,
    onAnswer?: (answer: Answer) => void,
  ) {
    this.#origins = origins.map((origin) => new URL(origin));
    this.#path = path;
    this.#bodies = [body].flat().map((each) => JSON.stringify(each));
    this.#perSecond = perSecond;
    this.#onAnswer = onAnswer;
    this.#timer = setInterval(() => this.#due(), 1);
  }

  #due(): void {
    const now = performance.now();
    while (this.#began + (this.#sent * 1000) / this.#perSecond <= now) {
      const origin = this.#origins[this.#sent++ % this.#origins.length] as URL;
      const work = this.#count(origin).finally(() => this.#underWay.delete(work));
      this.#underWay.add(work);
    }
    for (const look of this.#waiting) look();
  }

  async #count(origin: URL): Promise<void> {
    const outcome = await this.#ask(origin);
    this.#outcomes[outcome] = (this.#outcomes[outcome] ?? 0) + 1;
  }

  #ask({ hostname, port, origin }: URL): Promise<string> {
    return new Promise((resolve) => {
      const from = performance.now();
      const parts: string[] = [];
      const done = (outcome: string): void => {
        this.#latencies.push(performance.now() - from);
        this.#onAnswer?.({ origin, outcome, body: parts.join('') });
        resolve(outcome);
      };
      const outgoing = request(
        { agent: this.#agent, hostname, port, path: this.#path, method: 'POST', headers },
        (answer) => {
          if (this.#onAnswer) answer.setEncoding('utf8').on('data', (part: string) => parts.push(part));
          else answer.resume();
          answer.once('end', () => done(String(answer.statusCode)));
          answer.once('error', (error) => done((error as NodeJS.ErrnoException).code ?? error.message));
        },
      );
      outgoing.once('error', (error) => done((error as NodeJS.ErrnoException).code ?? error.message));
      outgoing.end(this.#bodies[this.#sent % this.#bodies.length]);
    });
  }

  /** Resolves once so many have been sent in all. */
  sent(count: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#sent < count) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
    });
  }

  /** Sends for so many seconds more. */
  seconds(count: number): Promise<void> {
    return this.sent(this.#sent + count * this.#perSecond);
  }

  /** Sends no more, and waits for what is under way. */
  async stop(): Promise<Totals> {
    clearInterval(this.#timer);
    const seconds = (performance.now() - this.#began) / 1000;
    await Promise.all(this.#underWay);
    this.#agent.destroy();
    const sorted = Float64Array.from(this.#latencies).toSorted();
    return {
      sent: this.#sent,
      outcomes: this.#outcomes,
      slowestMs: sorted.at(-1) ?? 0,
      p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
      seconds,
    };
  }
}
