/**
 * The end of each ledger that is followed: one reader of PostgreSQL for a project and process, whatever the number of
 * followers. What Redis tells only wakes it, and it looks by itself every second; while PostgreSQL is away it waits.
 * The newest events are kept, so that followers who are almost up to date cost nothing; whoever is further behind
 * reads pages of their own.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ChangeFeed } from '../events.ts';
import { isDatabaseAway, type Db } from '../platform/database.ts';
import type { LedgerEventType } from '../platform/database.types.ts';
import type { Logger } from '../platform/logger.ts';
import { Gate } from './gate.ts';
import type { LedgerEvent } from './ledger.ts';
import { lastSequence, listEventsAfter, type SizedEvent } from './ledger.queries.ts';

/** A part of a ledger: what happened behind a number, up to and including another. */
export interface Stretch {
  readonly events: readonly LedgerEvent[];
  readonly through: number;
}

export interface LedgerTails {
  /**
   * What happened in a project behind a number, oldest first, as soon as there is something: a page of it. Without
   * an event where none was of these types. Undefined once the signal aborts, and after `close`.
   */
  read(
    projectId: string,
    after: number,
    types: readonly LedgerEventType[] | undefined,
    signal: AbortSignal,
  ): Promise<Stretch | undefined>;
  close(): Promise<void>;
}

export interface TailOptions {
  readonly db: Db;
  readonly feed: Pick<ChangeFeed, 'watch'>;
  readonly logger: Logger;
}

/** The newest are kept, as long as their data is not larger than this. */
const KEPT = { events: 1_000, bytes: 4 * 1024 * 1024 };
/** What the tail reads at once. */
const READ = { events: 500, bytes: 1024 * 1024 };
/** What a follower gets at once: it waits in memory while they are slow to take it. */
const PAGE = { events: 100, bytes: 64 * 1024 };
/** What happens within this time is read, and goes on, together. */
const EVERY_MS = 50;
/** How soon a change is found that nobody has told of. */
const LOOK_MS = 900;
/** PostgreSQL is away: how soon to try again. */
const RETRY_MS = 250;
/** A tail that nobody asks is kept this long, for those who come back. */
const IDLE_MS = 15_000;
/** Followers who read pages of their own at a time: the rest of the connections is for requests. */
const PAGES_AT_ONCE = 2;

export function openLedgerTails(options: TailOptions): LedgerTails {
  return new Tails(options);
}

class Tails implements LedgerTails {
  readonly #options: TailOptions;
  readonly #tails = new Map<string, Tail>();
  readonly #running = new Set<Promise<void>>();
  readonly #gate = new Gate(PAGES_AT_ONCE);
  readonly #underway = new Map<string, Promise<Stretch | undefined>>();
  readonly #closing = new AbortController();

  constructor(options: TailOptions) {
    this.#options = options;
  }

  async read(
    projectId: string,
    after: number,
    types: readonly LedgerEventType[] | undefined,
    signal: AbortSignal,
  ): Promise<Stretch | undefined> {
    while (!signal.aborted && !this.#closing.signal.aborted) {
      const tail = this.#tailOf(projectId);
      tail.touch();
      if (tail.isBefore(after)) return this.#page(projectId, tail, after, types);
      const stretch = tail.recent(after, types);
      if (stretch) return stretch;
      await tail.news(signal);
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#running, ...this.#underway.values()]);
  }

  /** Those who are equally far behind read the same page. */
  #page(
    projectId: string,
    tail: Tail,
    after: number,
    types: readonly LedgerEventType[] | undefined,
  ): Promise<Stretch | undefined> {
    const key = JSON.stringify([projectId, after, types]);
    const known = this.#underway.get(key);
    if (known) return known;
    const page = this.#gate.through(() => tail.page(after, types)).finally(() => this.#underway.delete(key));
    this.#underway.set(key, page);
    return page;
  }

  #tailOf(projectId: string): Tail {
    const known = this.#tails.get(projectId);
    if (known) return known;
    const tail = new Tail(projectId, this.#options, this.#closing.signal);
    this.#tails.set(projectId, tail);
    const running = tail
      .run(() => this.#tails.delete(projectId))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
    return tail;
  }
}

class Tail {
  readonly #projectId: string;
  readonly #options: TailOptions;
  readonly #closing: AbortSignal;
  /** The newest events, one after the other without a gap. */
  readonly #kept: SizedEvent[] = [];
  readonly #waiting = new Set<() => void>();
  /** Number of the last event that was read; undefined until that is known. */
  #end: number | undefined;
  #keptBytes = 0;
  #askedAt = Date.now();
  #hinted = false;
  #wake: (() => void) | undefined;
  #complainedAt = 0;

  constructor(projectId: string, options: TailOptions, closing: AbortSignal) {
    this.#projectId = projectId;
    this.#options = options;
    this.#closing = closing;
  }

  /**
   * Reads on and on, until nobody has asked for a while.
   * @param onEnd called before anybody else can ask.
   */
  async run(onEnd: () => void): Promise<void> {
    const wake = (): void => {
      this.#hinted = true;
      this.#wake?.();
    };
    const stop = this.#options.feed.watch('ledger', this.#projectId, wake);
    this.#closing.addEventListener('abort', wake);
    try {
      await this.#begin();
      while (!this.#closing.aborted && !this.#isIdle()) {
        const begun = performance.now();
        this.#hinted = false;
        await this.#readOn();
        await this.#hint();
        await delay(Math.max(0, EVERY_MS - (performance.now() - begun)));
      }
    } finally {
      onEnd();
      stop();
      this.#closing.removeEventListener('abort', wake);
      for (const go of this.#waiting) go();
    }
  }

  /** Somebody asks. */
  touch(): void {
    this.#askedAt = Date.now();
  }

  /** Whether what is behind a number has been forgotten. */
  isBefore(after: number): boolean {
    return this.#end !== undefined && after < this.#end - this.#kept.length;
  }

  /** What is known to be behind a number that is not before what is kept; undefined where that is nothing. */
  recent(after: number, types: readonly LedgerEventType[] | undefined): Stretch | undefined {
    if (this.#end === undefined || after >= this.#end) return undefined;
    const from = this.#kept.length - (this.#end - after);
    const events = this.#kept.slice(from, from + PAGE.events).map(({ event }) => event);
    return {
      events: types ? events.filter(({ type }) => types.includes(type)) : events,
      through: after + events.length,
    };
  }

  /** Resolves when there may be something new, or the signal aborts. */
  async news(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const go = (): void => resolve();
    this.#waiting.add(go);
    signal.addEventListener('abort', go, { once: true });
    await promise;
    this.#waiting.delete(go);
    signal.removeEventListener('abort', go);
  }

  /** What is behind a number, from PostgreSQL. */
  page(after: number, types: readonly LedgerEventType[] | undefined): Promise<Stretch | undefined> {
    const { db } = this.#options;
    return this.#insist(async () => {
      // Before the events: all up to this one are among those that are read then.
      const last = Number(await lastSequence(db, this.#projectId));
      const { events, complete } = await listEventsAfter(db, this.#projectId, BigInt(after), PAGE, types);
      const through = Math.max(after, numberOf(events.at(-1)), complete ? last : 0);
      return { events: events.map(({ event }) => event), through };
    });
  }

  #isIdle(): boolean {
    return this.#waiting.size === 0 && Date.now() - this.#askedAt > IDLE_MS;
  }

  async #begin(): Promise<void> {
    const last = await this.#insist(() => lastSequence(this.#options.db, this.#projectId));
    if (last !== undefined) this.#end = Math.max(0, Number(last) - KEPT.events);
  }

  async #readOn(): Promise<void> {
    const { db } = this.#options;
    for (let complete = false; !complete && !this.#closing.aborted;) {
      const after = BigInt(this.#end ?? 0);
      const read = await this.#insist(() => listEventsAfter(db, this.#projectId, after, READ));
      if (read) this.#keep(read.events);
      complete = read?.complete ?? true;
    }
  }

  #keep(events: readonly SizedEvent[]): void {
    if (events.length === 0) return;
    this.#kept.push(...events);
    this.#end = numberOf(events.at(-1));
    for (const { bytes } of events) this.#keptBytes += bytes;
    let over = 0;
    while (this.#kept.length - over > KEPT.events || this.#keptBytes > KEPT.bytes) {
      this.#keptBytes -= this.#kept[over++]?.bytes ?? 0;
    }
    this.#kept.splice(0, over);
    for (const go of this.#waiting) go();
  }

  /** Resolves at a hint, and when it is time to look. */
  async #hint(): Promise<void> {
    if (this.#hinted || this.#closing.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, LOOK_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  /** Reads, again and again until that succeeds; undefined where it closes meanwhile. */
  async #insist<T>(read: () => Promise<T>): Promise<T | undefined> {
    while (!this.#closing.aborted) {
      try {
        return await read();
      } catch (error) {
        this.#complain(error);
        await delay(RETRY_MS);
      }
    }
    return undefined;
  }

  #complain(err: unknown): void {
    if (Date.now() - this.#complainedAt < 60_000) return;
    this.#complainedAt = Date.now();
    const level = isDatabaseAway(err) ? 'warn' : 'error';
    this.#options.logger[level]({ err }, 'ledger: the tail cannot be read; trying again');
  }
}

const numberOf = (sized: SizedEvent | undefined): number => Number(sized?.event.sequence ?? 0);
