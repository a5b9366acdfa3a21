/** What the callers of a deployment got, and from which version: the other side of what a rollout has seen. */
import type { Answer } from '#test/fault/full/steady-load.ts';

interface Heard {
  /** Milliseconds since 1970, by the clock by which rollouts go, too. */
  readonly at: number;
  readonly origin: string;
  readonly outcome: string;
  /** Number of the version that answered; null where none did. */
  readonly version: number | null;
}

export class Answers {
  readonly heard: Heard[] = [];

  readonly hear = ({ origin, outcome, body }: Answer): void => {
    const version =
      outcome === '200' ? Number((JSON.parse(body) as { model_version: string }).model_version) : null;
    this.heard.push({ at: Date.now(), origin, outcome, version });
  };

  /** How many a version answered from one time up to another. */
  by(version: number, from = 0, to = Number.POSITIVE_INFINITY): number {
    return this.heard.filter((one) => one.version === version && one.at >= from && one.at < to).length;
  }

  /** The versions that have answered since. */
  versionsSince(from: number): number[] {
    const answered = this.heard.filter((one) => one.at >= from && one.version !== null);
    return [...new Set(answered.map(({ version }) => version!))].toSorted((a, b) => a - b);
  }

  /** Everything but an answer that an api gave, or that came of asking it. */
  failures(origin: string): string[] {
    return this.heard.flatMap((one) => (one.origin === origin && one.outcome !== '200' ? [one.outcome] : []));
  }
}
