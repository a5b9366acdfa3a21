/**
 * A group whose members get everything, in order: those who keep up get the end of the log together; whoever is behind,
 * or too slow to take more, reads pages at their own pace until they have what the others have.
 */
import { Frames } from './frames.ts';
import { Group, SLOW_BYTES, type GroupOptions } from './group.ts';
import type { LogFeed, Stretch } from './log-source.ts';
import { Member } from './member.ts';
import type { Seat } from './seat.ts';

export class LogMember extends Member {
  /** The operation's id as JSON. */
  readonly id: Buffer;

  constructor(
    seat: Seat,
    after: number,
    join: (member: LogMember) => void,
    leave: (member: LogMember) => Promise<void>,
  ) {
    super(
      seat,
      after,
      () => join(this),
      () => leave(this),
    );
    this.id = Buffer.from(JSON.stringify(seat.id));
  }
}

/** An old event may be asked for hours later, and what it leads to is to be as it is then. */
const ANSWERS_KEEP_MS = 5_000;

/** Events that go to a socket in one go. */
interface Bundle {
  /** The number of each. */
  readonly numbers: readonly number[];
  readonly frames: Frames;
}

export class LogGroup extends Group<LogMember> {
  readonly #feed: LogFeed<object>;
  readonly #ending = new AbortController();
  readonly #bundled = new WeakMap<Stretch<object>, Promise<readonly Bundle[]>>();
  /** Whoever is live has everything up to this, or is getting it. */
  #through: number;

  constructor(feed: LogFeed<object>, options: GroupOptions) {
    super(options);
    this.#feed = feed;
    this.#through = feed.end;
  }

  protected override get answersKeep(): number {
    return ANSWERS_KEEP_MS;
  }

  protected override async run(): Promise<void> {
    for (;;) {
      const stretch = await this.#feed.read(this.#through, this.#ending.signal);
      const [member] = this.members;
      if (!stretch || !member) return;
      await this.#deliver(await this.#bundles(stretch, member.seat), stretch.through);
    }
  }

  protected override async stop(): Promise<void> {
    this.#ending.abort();
  }

  protected override catchUp(member: LogMember): void {
    member.live = member.last >= this.#through;
    if (!member.live) this.#pages(member).catch((error: unknown) => this.dismissOne(member, error));
  }

  /** Reads on for one member, until it has what the others have. */
  async #pages(member: LogMember): Promise<void> {
    while (member.last < this.#through) {
      if (!(await this.#room(member))) return;
      const stretch = await this.#feed.read(member.last, this.#ending.signal);
      if (!stretch) return;
      for (const bundle of await this.#bundles(stretch, member.seat)) {
        if (!(await this.#room(member))) return;
        this.#send(member, bundle);
      }
      member.last = stretch.through;
    }
    member.live = true;
  }

  /** Waits until a member takes more; false where it has left. */
  async #room(member: LogMember): Promise<boolean> {
    const { wire } = member.seat;
    const isThere = (): boolean => wire.open && this.members.has(member);
    // Others who wait for the same socket may come first.
    while (isThere() && !wire.hasRoom) await wire.room();
    return isThere();
  }

  async #deliver(bundles: readonly Bundle[], through: number): Promise<void> {
    // Whoever is behind this from now on is not live before they have read it.
    this.#through = through;
    await this.forEachMember((member) => {
      if (member.live && member.last < through) this.#offer(member, bundles, through);
    });
  }

  #offer(member: LogMember, bundles: readonly Bundle[], through: number): void {
    for (const bundle of bundles) {
      if (this.isFull(member)) {
        this.stats.leftBehind++;
        return this.catchUp(member);
      }
      this.#send(member, bundle);
    }
    member.last = through;
  }

  /** Sends what the member does not have yet. */
  #send(member: LogMember, { numbers, frames }: Bundle): void {
    const last = numbers.at(-1) ?? 0;
    if (last <= member.last) return;
    // Nearly always it has none of them.
    const skip = (numbers[0] ?? 0) > member.last ? 0 : numbers.findIndex((number) => number > member.last);
    frames.writeTo(member.seat.wire, member.id, skip);
    member.last = last;
    this.stats.delivered += numbers.length - skip;
  }

  /** Those who read the same stretch together share its bundles. */
  #bundles(stretch: Stretch<object>, seat: Seat): Promise<readonly Bundle[]> {
    const known = this.#bundled.get(stretch);
    if (known) return known;
    const bundles = this.#bundle(stretch, seat);
    this.#bundled.set(stretch, bundles);
    return bundles;
  }

  /** All events of a stretch run at once, in one context: what they load is loaded together. */
  async #bundle({ events }: Stretch<object>, seat: Seat): Promise<Bundle[]> {
    let context: unknown;
    const contextOnce = (): unknown => (context ??= seat.context());
    const answers = events.map((event) => this.answer(event, contextOnce));
    const isReady = answers.every((answer) => typeof answer === 'string');
    return bundlesOf(
      isReady ? answers : await Promise.all(answers.map(async (answer) => answer)),
      events.map((event) => this.#feed.at(event)),
    );
  }
}

/** Bundles of as many bytes as may wait for a socket, about. */
function bundlesOf(jsons: readonly string[], numbers: readonly number[]): Bundle[] {
  const bundles: Bundle[] = [];
  let [from, length] = [0, 0];
  for (const [index, json] of jsons.entries()) {
    length += json.length;
    if (length < SLOW_BYTES && index + 1 < jsons.length) continue;
    const to = index + 1;
    bundles.push({ numbers: numbers.slice(from, to), frames: new Frames(jsons.slice(from, to)) });
    [from, length] = [to, 0];
  }
  return bundles;
}
