/** A group whose members get the newest: whoever is slow misses events, and is told so. */
import { Group, SLOW_BYTES, type GroupOptions } from './group.ts';
import type { LiveFeed } from './live-source.ts';
import { Member } from './member.ts';
import type { Seat } from './seat.ts';
import { SLOW_READER } from './socket-wire.ts';

/** Events in a row that a slow reader may miss. */
const SKIPS = 30;
const SWEEP_MS = 100;

export class LiveMember extends Member {
  readonly feed: LiveFeed<object>;
  /** Missed an event; the next one must say so. */
  behind = false;
  /** Events missed in a row. */
  skipped = 0;
  readonly #head: string;

  constructor(
    seat: Seat,
    feed: LiveFeed<object>,
    join: (member: LiveMember) => void,
    leave: (member: LiveMember) => Promise<void>,
  ) {
    super(
      seat,
      -Infinity,
      () => join(this),
      () => leave(this),
    );
    this.feed = feed;
    this.#head = `{"id":${JSON.stringify(seat.id)},"type":"next","payload":`;
  }

  send(json: string, at: number): void {
    this.seat.wire.write(`${this.#head}${json}}`);
    this.#sent(at);
  }

  sendAll(jsons: readonly string[], at: number): void {
    this.seat.wire.writeAll(jsons.map((json) => `${this.#head}${json}}`));
    this.#sent(at);
  }

  #sent(at: number): void {
    this.last = at;
    this.behind = false;
    this.skipped = 0;
  }
}

interface Newest {
  readonly event: object;
  readonly json: string;
  gapJson?: string | Promise<string>;
}

export class LiveGroup extends Group<LiveMember> {
  readonly #feed: LiveFeed<object>;
  readonly #ending = new AbortController();
  readonly #iterator: AsyncIterator<object>;
  #newest: Newest | undefined;
  #sweep: NodeJS.Timeout | undefined;

  constructor(feed: LiveFeed<object>, options: GroupOptions) {
    super(options);
    this.#feed = feed;
    this.#iterator = feed.live(this.#ending.signal)[Symbol.asyncIterator]();
  }

  protected override async run(): Promise<void> {
    for (;;) {
      const result = await this.#iterator.next();
      if (result.done || this.ended) break;
      await this.#deliver(result.value);
    }
    clearInterval(this.#sweep);
  }

  protected override async stop(): Promise<void> {
    clearInterval(this.#sweep);
    this.#ending.abort();
    await this.#iterator.return?.();
  }

  /** Sends the past, again and again until none is newer than what was sent, then the member is live. */
  protected override catchUp(member: LiveMember): void {
    const feed = this.#feed;
    const past = member.feed.past().filter((event) => feed.at(event) > member.last);
    const newest = past.at(-1);
    if (!newest || member.seat.wire.bufferedBytes > SLOW_BYTES) {
      member.live = true;
      // Its socket is full of something else: it will get the newest when that is read.
      if (newest) this.#skip(member);
      return;
    }
    const answers = past.map((event) => this.#answerTo(event));
    if (answers.every((answer) => typeof answer === 'string')) {
      this.#sendPast(member, answers, newest);
      member.live = true;
    } else {
      this.#catchUpLater(member, answers, newest).catch((error: unknown) => this.dismissOne(member, error));
    }
  }

  async #catchUpLater(
    member: LiveMember,
    answers: readonly (string | Promise<string>)[],
    newest: object,
  ): Promise<void> {
    const jsons = await Promise.all(answers.map(async (answer) => answer));
    if (!this.members.has(member)) return;
    this.#sendPast(member, jsons, newest);
    this.catchUp(member);
  }

  #sendPast(member: LiveMember, jsons: readonly string[], newest: object): void {
    this.stats.delivered += jsons.length;
    member.sendAll(jsons, this.#feed.at(newest));
  }

  /** In the context of anybody: all see the same. */
  #answerTo(event: object): string | Promise<string> {
    const [member] = this.members;
    return member ? this.answer(event, () => member.seat.context()) : '';
  }

  async #deliver(event: object): Promise<void> {
    const answer = this.#answerTo(event);
    const json = typeof answer === 'string' ? answer : await answer;
    const newest: Newest = (this.#newest = { event, json });
    // Those who join meanwhile have it in their past.
    await this.forEachMember((member) => this.#offer(member, newest));
  }

  #offer(member: LiveMember, newest: Newest): void {
    const at = this.#feed.at(newest.event);
    if (!member.live || at <= member.last || !member.seat.wire.open) return;
    if (this.isFull(member)) return this.#skip(member);
    if (member.behind) return this.#sendGap(member, newest);
    this.stats.delivered++;
    member.send(newest.json, at);
  }

  #skip(member: LiveMember): void {
    this.stats.skipped++;
    member.behind = true;
    if (++member.skipped === SKIPS) {
      this.stats.closedSlow++;
      member.seat.wire.close(SLOW_READER, 'Slow reader');
    }
    this.#sweep ??= setInterval(() => this.#sweepOnce(), SWEEP_MS).unref();
  }

  /** Looks after those who were slow: nobody tells when a socket has been read. */
  #sweepOnce(): void {
    let behind = 0;
    for (const member of this.members) {
      if (!member.behind || !member.seat.wire.open) continue;
      behind++;
      const read = member.seat.wire.bufferedBytes < SLOW_BYTES / 2;
      if (read && this.#newest) this.#sendGap(member, this.#newest);
    }
    if (behind > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  #sendGap(member: LiveMember, newest: Newest): void {
    const feed = this.#feed;
    newest.gapJson ??= feed.markGap ? this.#answerTo(feed.markGap(newest.event)) : newest.json;
    const at = feed.at(newest.event);
    const send = (json: string): void => {
      const late = newest !== this.#newest || at <= member.last || !this.members.has(member);
      if (late || !member.behind) return;
      this.stats.delivered++;
      member.send(json, at);
    };
    if (typeof newest.gapJson === 'string') return send(newest.gapJson);
    // Where this fails, so will the next event for everybody, who are told then.
    newest.gapJson.then(send).catch(() => undefined);
  }
}
