/**
 * What a subscription's `subscribe` returns when its events are the same for everybody who may see them: a
 * source that starts with the past and goes on live, and that can be shared.
 *
 * Any GraphQL server can iterate it. The WebSocket door looks inside instead: it iterates one live part for all
 * who asked the same, and gives each joiner the past.
 */
import { Endable } from './endable.ts';

export interface LiveFeed<Event extends object> {
  /**
   * Events before now, oldest first, including everything that `live` has handed out within its range. The same
   * event should be the same object at each call: what is made from it is kept by it.
   */
  past(): readonly Event[];
  /** Events from the first `next()` on. It ends when the signal aborts; until then it may wait. */
  live(signal: AbortSignal): AsyncIterable<Event>;
  /** Orders the events; each event's is higher than the one before. */
  at(event: Event): number;
  /** The same event, saying that others before it were left out. */
  markGap?(event: Event): Event;
}

const feeds = new WeakMap<object, LiveFeed<object>>();

/**
 * @example
 * subscribe: (_root, args) => liveSource({
 *   past: () => metrics.past(args.deployment, options),
 *   live: (signal) => metrics.frames(args.deployment, { ...options, backfillSeconds: 0, signal }),
 *   at: (frame) => frame.at.getTime(),
 *   markGap: withGap,
 * })
 */
export function liveSource<Event extends object>(feed: LiveFeed<Event>): AsyncGenerator<Event, void, void> {
  const ending = new AbortController();
  // A generator, hence one iterator however often it is asked for: graphql 17 asks twice, iterates the one and
  // ends the other. It opens nothing before it is read.
  const source = new Endable(pastThenLive(feed, ending.signal), () => ending.abort());
  feeds.set(source, feed);
  return source;
}

/** The feed within a live source; undefined for any other. */
export function feedOf(source: object): LiveFeed<object> | undefined {
  return feeds.get(source);
}

async function* pastThenLive<Event extends object>(
  feed: LiveFeed<Event>,
  signal: AbortSignal,
): AsyncGenerator<Event, void, void> {
  const live = feed.live(signal)[Symbol.asyncIterator]();
  // Listening begins before the past is read, so nothing falls between the two.
  let upcoming = live.next();
  upcoming.catch(() => undefined);
  let last = -Infinity;
  try {
    for (const event of feed.past()) {
      last = feed.at(event);
      yield event;
    }
    for (;;) {
      const result = await upcoming;
      if (result.done) return;
      if (feed.at(result.value) > last) yield result.value;
      upcoming = live.next();
    }
  } finally {
    await live.return?.();
  }
}
