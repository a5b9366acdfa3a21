/**
 * How busy a replica is, as one api sees it, and whether one more request would have to wait too long. A replica runs one
 * batch after the other, so the wait is what lies ahead times the time between two answers while it is busy. Other
 * callers' requests make that time longer, so each api takes its part. Pure: the caller says what time it is.
 */

/** Answers whose gaps are averaged; of the last windows the best counts, so that a hiccup is no overload. */
const WINDOW = 8;
const WINDOWS = 3;
/** Weight of the newest answer in the moving mean of runs. */
const ALPHA = 0.1;
/** The longest wait, in runs: what is accepted is answered within about this many times the time that it takes alone. */
const RUNS = 4;
/** How long the wait may be too long, and how much, before anybody is refused. */
const BURST_MS = 250;
const FAR = 4;
/** Silence that is taken for a stall: this long, or so many runs. */
const STALLED_MS = 1_000;
const STALLED_RUNS = 20;

export class ReplicaLoad {
  inFlight = 0;
  /** Since when there was work without an answer. */
  #silentSince = 0;
  #answeredAt = 0;
  #answers = 0;
  /** Sum of the gaps in the window that is being filled, and the means of those before, in milliseconds. */
  #sumMs = 0;
  #gaps: number[] = [];
  #gapMs = 0;
  #runMs = 0;
  /** Since when the wait has been too long. */
  #overSince = Infinity;
  #isShedding = false;

  begin(now: number): void {
    if (this.inFlight === 0) this.#silentSince = now;
    this.inFlight += 1;
  }

  /** Without an answer: nothing was learnt. */
  end(): void {
    this.inFlight -= 1;
  }

  /** @param computeMs of the run that answered it. */
  answered(now: number, begunAt: number, computeMs: number): void {
    this.inFlight -= 1;
    this.#silentSince = now;
    this.#sumMs += now - Math.max(this.#answeredAt, begunAt);
    this.#answeredAt = now;
    this.#answers += 1;
    this.#runMs += Math.max(ALPHA, 1 / this.#answers) * (computeMs - this.#runMs);
    if (this.#answers % WINDOW > 0) return;
    this.#gaps = [...this.#gaps.slice(1 - WINDOWS), this.#sumMs / WINDOW];
    this.#gapMs = Math.min(...this.#gaps);
    this.#sumMs = 0;
  }

  /** Whether it has had work for much longer than a run takes, and answered nobody: it hangs, or has a very long run. */
  isStalled(now: number): boolean {
    return this.inFlight > 0 && now - this.#silentSince > Math.max(STALLED_MS, STALLED_RUNS * this.#runMs);
  }

  /** Milliseconds until one more request would be answered; 0 while nothing is known. */
  expectedMs(): number {
    return (this.inFlight + 1) * this.#gapMs;
  }

  /**
   * Milliseconds to come back after, when one more request is to be refused; 0 when it may come. A burst may make the
   * wait longer than `mostMs` (and than a few runs) for a moment; where it stays so, or is far too long, requests are
   * refused until it is short again. One that finds nobody ahead always may come.
   */
  overloadMs(now: number, mostMs: number): number {
    const expected = this.expectedMs();
    const most = Math.max(mostMs, RUNS * this.#runMs);
    if (this.inFlight === 0 || expected <= most) {
      this.#overSince = Infinity;
      if (expected <= most / 2) this.#isShedding = false;
      return 0;
    }
    this.#overSince = Math.min(this.#overSince, now);
    if (now - this.#overSince > BURST_MS || expected > FAR * most) this.#isShedding = true;
    return this.#isShedding ? Math.max(1, Math.ceil(expected - most + this.#gapMs)) : 0;
  }
}
