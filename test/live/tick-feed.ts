import { Mailbox } from '#src/metric/mailbox.ts';
import type { LiveFeed } from '#schema/live/live-source.ts';

export interface Tick {
  readonly at: number;
  readonly value: string;
  readonly gap: boolean;
}

const withGap = (tick: Tick): Tick => ({ ...tick, gap: true });

/** A source of numbered events that the test pushes, with everything kept as the past. */
export class TickFeed {
  readonly ticks: Tick[] = [];
  /** How often the live part was opened, and how often it was ended. */
  opened = 0;
  ended = 0;
  readonly #mailboxes = new Set<Mailbox<Tick>>();
  #onEnded: (() => void) | undefined;

  /** Makes the next event, for all who listen. */
  push(value = `tick ${this.ticks.length + 1}`): Tick {
    const tick = { at: this.ticks.length + 1, value, gap: false };
    this.ticks.push(tick);
    for (const mailbox of this.#mailboxes) mailbox.push(tick);
    return tick;
  }

  /** The source itself comes to its end. */
  finish(): void {
    for (const mailbox of this.#mailboxes) mailbox.end();
  }

  /** Resolves when nobody listens any more. */
  async allEnded(): Promise<void> {
    if (this.ended < this.opened) await new Promise<void>((resolve) => (this.#onEnded = resolve));
  }

  /** The last `backfill` events, then what comes. */
  feed(backfill: number): LiveFeed<Tick> {
    return {
      past: () => (backfill === 0 ? [] : this.ticks.slice(-backfill)),
      live: (signal) => this.#live(signal),
      at: (tick) => tick.at,
      markGap: withGap,
    };
  }

  #live(signal: AbortSignal): AsyncIterable<Tick> {
    this.opened++;
    const mailbox = new Mailbox<Tick>(withGap, () => {
      this.ended++;
      this.#mailboxes.delete(mailbox);
      if (this.ended === this.opened) this.#onEnded?.();
    });
    this.#mailboxes.add(mailbox);
    signal.addEventListener('abort', () => mailbox.end(), { once: true });
    return mailbox;
  }
}
