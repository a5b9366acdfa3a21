/** All who asked the same: one source, one execution and one serialisation an event, whatever their number. */
import type { LiveFeed } from './live-source.ts';
import { Member } from './member.ts';
import type { Seat } from './seat.ts';

/** A joiner's past may exceed this, once; live events never do. */
const SLOW_BYTES = 128 * 1024;
/** Events in a row that a slow reader may miss. */
const SKIPS = 30;
const SLOW_READER = 4429;
/** Members served in one turn of the event loop: others get theirs between. */
const CHUNK = 250;
const SWEEP_MS = 100;

export interface SharedStats {
  groups: number;
  members: number;
  /** Executions of events, of the past too. */
  executions: number;
  /** Messages handed to a socket. */
  delivered: number;
  /** Messages that a slow reader did not get. */
  skipped: number;
  /** Sockets closed because their reader was slow for too long. */
  closedSlow: number;
  /** The most that waited in this process for one socket, in bytes. */
  maxBufferedBytes: number;
}

export interface GroupOptions {
  readonly feed: LiveFeed<object>;
  /** The answer to one event as JSON, for a viewer of the group. */
  readonly respond: (event: object, seat: Seat) => string | Promise<string>;
  readonly stats: SharedStats;
  /** The group takes no more members. */
  readonly onEnd: () => void;
}

interface Newest {
  readonly event: object;
  readonly json: string;
  gapJson?: string | Promise<string>;
}

export class Group {
  readonly #options: GroupOptions;
  readonly #members = new Set<Member>();
  readonly #ending = new AbortController();
  readonly #iterator: AsyncIterator<object>;
  /** Answers by event: as long as the source keeps the event, a joiner's past costs nothing. */
  readonly #answers = new WeakMap<object, string | Promise<string>>();
  #newest: Newest | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(options: GroupOptions) {
    this.#options = options;
    this.#iterator = options.feed.live(this.#ending.signal)[Symbol.asyncIterator]();
    options.stats.groups++;
  }

  /** Listens to the source: before the first member reads its past, so nothing falls between. */
  start(): void {
    void this.#run();
  }

  /** Gives the member its past, then everything after it. */
  join(member: Member): void {
    this.#members.add(member);
    this.#options.stats.members++;
    try {
      this.#catchUp(member);
    } catch (error) {
      this.#dismissOne(member, error);
    }
  }

  /** The last to leave ends the source. */
  async leave(member: Member): Promise<void> {
    if (!this.#members.delete(member)) return;
    this.#options.stats.members--;
    if (this.#members.size > 0) return;
    this.#end();
    this.#ending.abort();
    await this.#iterator.return?.();
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        const result = await this.#iterator.next();
        if (result.done || this.#ended) break;
        await this.#deliver(result.value);
      }
      this.#dismiss((member) => member.end());
    } catch (error) {
      this.#dismiss((member) => member.fail(error));
      this.#ending.abort();
      await this.#iterator.return?.().catch(() => undefined);
    }
  }

  #dismissOne(member: Member, error: unknown): void {
    member.fail(error);
    // The failure is what the client is told; what the source says on ending adds nothing.
    this.leave(member).catch(() => undefined);
  }

  #dismiss(farewell: (member: Member) => void): void {
    this.#end();
    this.#options.stats.members -= this.#members.size;
    for (const member of this.#members) farewell(member);
    this.#members.clear();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#sweep);
    this.#options.stats.groups--;
    this.#options.onEnd();
  }

  #answer(event: object): string | Promise<string> {
    const known = this.#answers.get(event);
    if (known !== undefined) return known;
    const [member] = this.#members;
    if (!member) return '';
    this.#options.stats.executions++;
    const answer = this.#options.respond(event, member.seat);
    this.#answers.set(event, answer);
    if (typeof answer === 'string') return answer;
    answer.then(
      (json) => this.#answers.set(event, json),
      () => this.#answers.delete(event),
    );
    return answer;
  }

  /** Sends the past, again and again until none is newer than what was sent, then the member is live. */
  #catchUp(member: Member): void {
    const { feed } = this.#options;
    const past = member.feed.past().filter((event) => feed.at(event) > member.last);
    const newest = past.at(-1);
    if (!newest || member.seat.wire.bufferedBytes > SLOW_BYTES) {
      member.live = true;
      // Its socket is full of something else: it will get the newest when that is read.
      if (newest) this.#skip(member);
      return;
    }
    const answers = past.map((event) => this.#answer(event));
    if (answers.every((answer) => typeof answer === 'string')) {
      this.#sendPast(member, answers, newest);
      member.live = true;
    } else {
      this.#catchUpLater(member, answers, newest).catch((error: unknown) => this.#dismissOne(member, error));
    }
  }

  async #catchUpLater(
    member: Member,
    answers: readonly (string | Promise<string>)[],
    newest: object,
  ): Promise<void> {
    const jsons = await Promise.all(answers.map(async (answer) => answer));
    if (!this.#members.has(member)) return;
    this.#sendPast(member, jsons, newest);
    this.#catchUp(member);
  }

  #sendPast(member: Member, jsons: readonly string[], newest: object): void {
    this.#options.stats.delivered += jsons.length;
    member.sendAll(jsons, this.#options.feed.at(newest));
  }

  async #deliver(event: object): Promise<void> {
    const answer = this.#answer(event);
    const json = typeof answer === 'string' ? answer : await answer;
    const newest: Newest = (this.#newest = { event, json });
    let turn = 0;
    // Those who join meanwhile have it in their past.
    const members = [...this.#members];
    for (const member of members) {
      if (++turn % CHUNK === 0) await new Promise((resolve) => setImmediate(resolve));
      if (this.#members.has(member)) this.#offer(member, newest);
    }
  }

  #offer(member: Member, newest: Newest): void {
    const at = this.#options.feed.at(newest.event);
    if (!member.live || at <= member.last || !member.seat.wire.open) return;
    const buffered = member.seat.wire.bufferedBytes;
    const { stats } = this.#options;
    if (buffered > stats.maxBufferedBytes) stats.maxBufferedBytes = buffered;
    if (buffered > SLOW_BYTES) return this.#skip(member);
    if (member.behind) return this.#sendGap(member, newest);
    stats.delivered++;
    member.send(newest.json, at);
  }

  #skip(member: Member): void {
    this.#options.stats.skipped++;
    member.behind = true;
    if (++member.skipped === SKIPS) {
      this.#options.stats.closedSlow++;
      member.seat.wire.close(SLOW_READER, 'Slow reader');
    }
    this.#sweep ??= setInterval(() => this.#sweepOnce(), SWEEP_MS).unref();
  }

  /** Looks after those who were slow: nobody tells when a socket has been read. */
  #sweepOnce(): void {
    let behind = 0;
    for (const member of this.#members) {
      if (!member.behind || !member.seat.wire.open) continue;
      behind++;
      const read = member.seat.wire.bufferedBytes < SLOW_BYTES / 2;
      if (read && this.#newest) this.#sendGap(member, this.#newest);
    }
    if (behind > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  #sendGap(member: Member, newest: Newest): void {
    const { feed, stats } = this.#options;
    newest.gapJson ??= feed.markGap ? this.#answer(feed.markGap(newest.event)) : newest.json;
    const at = feed.at(newest.event);
    const send = (json: string): void => {
      const late = newest !== this.#newest || at <= member.last || !this.#members.has(member);
      if (late || !member.behind) return;
      stats.delivered++;
      member.send(json, at);
    };
    if (typeof newest.gapJson === 'string') return send(newest.gapJson);
    // Where this fails, so will the next event for everybody, who are told then.
    newest.gapJson.then(send).catch(() => undefined);
  }
}
