/**
 * What a subscription's `subscribe` returns when its events are a log of which nobody may miss any: numbered without a
 * gap, kept for ever, the same for everybody who may see them, and each subscriber says where to begin.
 *
 * Any GraphQL server can iterate it, at the pace of its reader. The WebSocket door looks inside instead: it reads the
 * end of the log once for all who asked the same, and each who is behind reads pages until they are there too.
 */
import { Endable } from './endable.ts';

/** A part of a log: the events behind a number, up to and including `through`. */
export interface Stretch<Event extends object> {
  readonly events: readonly Event[];
  /** May be beyond the last event: those between are not of the kind that was asked for. */
  readonly through: number;
}

export interface LogFeed<Event extends object> {
  /** The subscriber gets what is behind this number. */
  readonly after: number;
  /** The last number when it subscribed. */
  readonly end: number;
  /** Arguments of the field that only say where to begin: they do not keep subscribers apart. */
  readonly places: readonly string[];
  /**
   * Some of what is behind a number, oldest first, as soon as there is something; undefined when the log ends, and once
   * the signal aborts. The same event should be the same object at each call: what is made from it is kept by it.
   */
  read(after: number, signal: AbortSignal): Promise<Stretch<Event> | undefined>;
  /** An event's number. */
  at(event: Event): number;
}

const feeds = new WeakMap<object, LogFeed<object>>();

/**
 * @example
 * subscribe: (_root, { after }) => logSource({
 *   after, end: lastNumber, places: ['after'],
 *   read: (from, signal) => tail.read(from, signal),
 *   at: (event) => event.number,
 * })
 */
export function logSource<Event extends object>(feed: LogFeed<Event>): AsyncGenerator<Event, void, void> {
  const ending = new AbortController();
  // A generator, hence one iterator however often it is asked for: graphql 17 asks twice, iterates the one and
  // ends the other. It opens nothing before it is read.
  const source = new Endable(eventsOf(feed, ending.signal), () => ending.abort());
  feeds.set(source, feed);
  return source;
}

/** The feed within a log source; undefined for any other. */
export function logFeedOf(source: object): LogFeed<object> | undefined {
  return feeds.get(source);
}

async function* eventsOf<Event extends object>(
  feed: LogFeed<Event>,
  signal: AbortSignal,
): AsyncGenerator<Event, void, void> {
  for (let after = feed.after; ;) {
    const stretch = await feed.read(after, signal);
    if (!stretch) return;
    yield* stretch.events;
    after = stretch.through;
  }
}
