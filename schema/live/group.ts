/** All who asked the same: one source, one execution and one serialisation an event, whatever their number. */
import type { Member } from './member.ts';

/** What waits for a socket may exceed this by what is sent at once; beyond it nothing is added. */
export const SLOW_BYTES = 128 * 1024;
/** Members served in one turn of the event loop: others get theirs between. */
const CHUNK = 250;

export interface SharedStats {
  groups: number;
  members: number;
  /** Executions of events, of the past too. */
  executions: number;
  /** Messages handed to a socket. */
  delivered: number;
  /** Messages that a slow reader did not get. */
  skipped: number;
  /** How often a slow reader of a log was left to catch up by itself. */
  leftBehind: number;
  /** Sockets closed because their reader was slow for too long. */
  closedSlow: number;
  /** The most that waited in this process for one socket, in bytes. */
  maxBufferedBytes: number;
}

export interface GroupOptions {
  /** The answer to one event as JSON, in the context of a viewer of the group. */
  readonly respond: (event: object, context: unknown) => string | Promise<string>;
  readonly stats: SharedStats;
  /** The group takes no more members. */
  readonly onEnd: () => void;
}

interface Answer {
  json: string | Promise<string>;
  readonly madeAt: number;
}

/** Who is in it, and the answers that they share; what its kinds of feed have in common. */
export abstract class Group<M extends Member> {
  protected readonly stats: SharedStats;
  protected readonly members = new Set<M>();
  readonly #options: GroupOptions;
  /** Answers by event: as long as the source keeps the event, a joiner's past costs nothing. */
  readonly #answers = new WeakMap<object, Answer>();
  #ended = false;

  constructor(options: GroupOptions) {
    this.#options = options;
    this.stats = options.stats;
    this.stats.groups++;
  }

  /** Listens to the source: before the first member reads its past, so nothing falls between. */
  start(): void {
    void this.#run();
  }

  /** Gives the member its past, then everything after it. */
  join(member: M): void {
    this.members.add(member);
    this.stats.members++;
    try {
      this.catchUp(member);
    } catch (error) {
      this.dismissOne(member, error);
    }
  }

  /** The last to leave ends the source. */
  async leave(member: M): Promise<void> {
    if (!this.members.delete(member)) return;
    this.stats.members--;
    if (this.members.size > 0) return;
    this.#end();
    await this.stop();
  }

  /** How long an answer may be given again, in milliseconds. */
  protected get answersKeep(): number {
    return Infinity;
  }

  protected get ended(): boolean {
    return this.#ended;
  }

  /** Hands on what the source gives, until its end. */
  protected abstract run(): Promise<void>;

  protected abstract catchUp(member: M): void;

  /** Ends the source. */
  protected abstract stop(): Promise<void>;

  protected dismissOne(member: M, error: unknown): void {
    member.fail(error);
    // The failure is what the client is told; what the source says on ending adds nothing.
    this.leave(member).catch(() => undefined);
  }

  protected answer(event: object, context: () => unknown): string | Promise<string> {
    const now = performance.now();
    const known = this.#answers.get(event);
    if (known && now - known.madeAt <= this.answersKeep) return known.json;
    this.stats.executions++;
    const answer: Answer = { json: this.#options.respond(event, context()), madeAt: now };
    this.#answers.set(event, answer);
    if (typeof answer.json === 'string') return answer.json;
    answer.json.then(
      (json) => (answer.json = json),
      () => this.#answers.delete(event),
    );
    return answer.json;
  }

  /** Serves everybody who is in it now, but those who leave meanwhile. */
  protected async forEachMember(serve: (member: M) => void): Promise<void> {
    let turn = 0;
    const members = [...this.members];
    for (const member of members) {
      if (++turn % CHUNK === 0) await new Promise((resolve) => setImmediate(resolve));
      if (this.members.has(member)) serve(member);
    }
  }

  /** Notes what waits for a member; whether it is too much for more. */
  protected isFull({ seat: { wire } }: M): boolean {
    const buffered = wire.bufferedBytes;
    if (buffered > this.stats.maxBufferedBytes) this.stats.maxBufferedBytes = buffered;
    return buffered > SLOW_BYTES;
  }

  async #run(): Promise<void> {
    try {
      await this.run();
      this.#dismiss((member) => member.end());
    } catch (error) {
      this.#dismiss((member) => member.fail(error));
      await this.stop().catch(() => undefined);
    }
  }

  #dismiss(farewell: (member: M) => void): void {
    this.#end();
    this.stats.members -= this.members.size;
    for (const member of this.members) farewell(member);
    this.members.clear();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.stats.groups--;
    this.#options.onEnd();
  }
}
