/** What the statistic behind a gate found, before it is judged. */
export interface Finding {
  /** See `GateStatus`. */
  readonly observed: number | null;
  readonly baseline: number | null;
  readonly threshold: number | null;
  readonly samples: number;
  /** Valid at every look: that the candidate is worse than allowed. 1 while nothing speaks for it. */
  readonly p: number;
  /** What the gate or its statistic still needs: `70 more requests`; null where that is nothing. */
  readonly missing: string | null;
  /**
   * What the statistic needs beyond that until its silence means anything; null where that is nothing. An alarm counts
   * without it: what is much too slow shows long before p99 has an upper end.
   */
  readonly silent: string | null;
  /** Whether p holds for any number of samples; else an alarm, too, needs what is missing. */
  readonly isExact?: true;
  /** What was seen, and what may be: one sentence. */
  readonly seen: string;
  /** The always-valid bound that lies on the good side, as one sentence; null where it does not lie there. */
  readonly good: string | null;
  /** What worse is: `more`, `less`. */
  readonly worse: 'more' | 'less';
}
