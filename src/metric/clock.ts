/** Time as the metrics see it, so that tests can turn the hands. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back once, at that time or as soon after as it can. Returns how to call it off. Never keeps a process alive. */
  wakeAt(at: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  wakeAt: (at, callback) => {
    const timer = setTimeout(callback, Math.max(0, at - Date.now())).unref();
    return () => clearTimeout(timer);
  },
};
