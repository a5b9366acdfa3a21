/**
 * Subscriptions over sockets: executed and serialised once per distinct operation, variables and access where
 * their source is a live source; one by one otherwise.
 */
import {
  createSourceEventStream,
  executeSubscriptionEvent,
  validateSubscriptionArgs,
  type ExecutionResult,
  type ValidatedSubscriptionArgs,
} from 'graphql';
import { Endable } from './endable.ts';
import { Group, type SharedStats } from './group.ts';
import { feedOf, type LiveFeed } from './live-source.ts';
import { maskResult, type MaskError } from './mask.ts';
import { Member } from './member.ts';
import type { Seat, SeatedArgs } from './seat.ts';

export interface SharedSubscriptions {
  /**
   * Runs the field's own `subscribe` for every viewer, so access is checked for each. Then: a generator that never
   * yields (messages go straight to the socket), a generator of results, or one result with errors.
   */
  subscribe(args: SeatedArgs): Promise<AsyncGenerator<ExecutionResult, void, void> | ExecutionResult>;
  stats(): Readonly<SharedStats>;
}

export interface SharedOptions {
  readonly maskError: MaskError;
}

export function shareSubscriptions(options: SharedOptions): SharedSubscriptions {
  const groups = new Map<string, Group>();
  const stats: SharedStats = {
    groups: 0,
    members: 0,
    executions: 0,
    delivered: 0,
    skipped: 0,
    closedSlow: 0,
    maxBufferedBytes: 0,
  };

  const serialize = (result: ExecutionResult): string =>
    JSON.stringify(maskResult(result, options.maskError));

  function groupOf(key: string, feed: LiveFeed<object>, args: ValidatedSubscriptionArgs): Group {
    const known = groups.get(key);
    if (known) return known;
    const group = new Group({
      feed,
      respond: (event, seat) => {
        const result = respond(args, event, seat);
        return result instanceof Promise ? result.then(serialize) : serialize(result);
      },
      stats,
      onEnd: () => {
        if (groups.get(key) === group) groups.delete(key);
      },
    });
    groups.set(key, group);
    group.start();
    return group;
  }

  function memberOf(seat: Seat, feed: LiveFeed<object>, args: ValidatedSubscriptionArgs): Member {
    let group: Group | undefined;
    const join = (member: Member): void => (group = groupOf(seat.key, feed, args)).join(member);
    return new Member(seat, feed, join, async (member) => group?.leave(member));
  }

  return {
    subscribe: async (args) => {
      const ending = new AbortController();
      const validated = validateSubscriptionArgs({ ...args, abortSignal: ending.signal });
      if (!('schema' in validated)) return { errors: validated };
      const source = await createSourceEventStream(validated);
      if (!(Symbol.asyncIterator in source)) return source;
      const feed = feedOf(source);
      if (feed) return memberOf(args.seat, feed, validated);
      return new Endable(results(source, validated, args.seat), () => ending.abort());
    },
    stats: () => ({ ...stats }),
  };
}

function respond(
  args: ValidatedSubscriptionArgs,
  event: unknown,
  seat: Seat,
): ExecutionResult | Promise<ExecutionResult> {
  return executeSubscriptionEvent({
    ...args,
    rootValue: event,
    contextValue: seat.context(),
    externalAbortSignal: undefined,
  });
}

/** Not an async generator: one that was not started yet would not end its source. */
function results(
  source: AsyncIterable<unknown>,
  args: ValidatedSubscriptionArgs,
  seat: Seat,
): AsyncIterator<ExecutionResult> {
  const events = source[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { done, value } = await events.next();
      if (done === true) return { done, value: undefined };
      return { done: false, value: await respond(args, value, seat) };
    },
    return: async () => {
      await events.return?.();
      return { done: true, value: undefined };
    },
  };
}
