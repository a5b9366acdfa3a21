/**
 * Subscriptions over sockets: executed and serialised once per distinct operation, variables and access where
 * their source is a live source or a log source; one by one otherwise.
 */
import {
  createSourceEventStream,
  executeSubscriptionEvent,
  validateSubscriptionArgs,
  type ExecutionResult,
  type ValidatedSubscriptionArgs,
} from 'graphql';
import { Endable } from './endable.ts';
import type { Group, GroupOptions, SharedStats } from './group.ts';
import { LiveGroup, LiveMember } from './live-group.ts';
import { feedOf } from './live-source.ts';
import { LogGroup, LogMember } from './log-group.ts';
import { logFeedOf } from './log-source.ts';
import { maskResult, type MaskError } from './mask.ts';
import type { Member } from './member.ts';
import { placeVariables } from './place-variables.ts';
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
  const liveGroups = new Map<string, LiveGroup>();
  const logGroups = new Map<string, LogGroup>();
  const stats: SharedStats = {
    groups: 0,
    members: 0,
    executions: 0,
    delivered: 0,
    skipped: 0,
    leftBehind: 0,
    closedSlow: 0,
    maxBufferedBytes: 0,
  };

  const serialize = (result: ExecutionResult): string =>
    JSON.stringify(maskResult(result, options.maskError));

  const optionsFor = (args: ValidatedSubscriptionArgs, onEnd: () => void): GroupOptions => ({
    respond: (event, context) => {
      const result = respond(args, event, context);
      return result instanceof Promise ? result.then(serialize) : serialize(result);
    },
    stats,
    onEnd,
  });

  /** A member, where the source can be shared. */
  function memberOf(source: object, seat: Seat, args: ValidatedSubscriptionArgs): Member | undefined {
    const live = feedOf(source);
    if (live) {
      const key = seat.key(new Set());
      const group = joinable(liveGroups, key, (onEnd) => new LiveGroup(live, optionsFor(args, onEnd)));
      return new LiveMember(seat, live, group.join, group.leave);
    }
    const log = logFeedOf(source);
    if (!log) return undefined;
    const key = seat.key(placeVariables(args.document, log.places));
    const group = joinable(logGroups, key, (onEnd) => new LogGroup(log, optionsFor(args, onEnd)));
    return new LogMember(seat, log.after, group.join, group.leave);
  }

  return {
    subscribe: async (args) => {
      const ending = new AbortController();
      const validated = validateSubscriptionArgs({ ...args, abortSignal: ending.signal });
      if (!('schema' in validated)) return { errors: validated };
      const source = await createSourceEventStream(validated);
      if (!(Symbol.asyncIterator in source)) return source;
      return (
        memberOf(source, args.seat, validated) ??
        new Endable(results(source, validated, args.seat), () => ending.abort())
      );
    },
    stats: () => ({ ...stats }),
  };
}

/** The group of that key, when somebody joins: the one there is then, or a new one. */
function joinable<M extends Member, G extends Group<M>>(
  groups: Map<string, G>,
  key: string,
  open: (onEnd: () => void) => G,
): { join: (member: M) => void; leave: (member: M) => Promise<void> } {
  let joined: G | undefined;
  function opened(): G {
    const group = open(() => {
      if (groups.get(key) === group) groups.delete(key);
    });
    groups.set(key, group);
    group.start();
    return group;
  }
  return {
    join: (member) => (joined = groups.get(key) ?? opened()).join(member),
    leave: async (member) => joined?.leave(member),
  };
}

function respond(
  args: ValidatedSubscriptionArgs,
  event: unknown,
  contextValue: unknown,
): ExecutionResult | Promise<ExecutionResult> {
  return executeSubscriptionEvent({
    ...args,
    rootValue: event,
    contextValue,
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
      return { done: false, value: await respond(args, value, seat.context()) };
    },
    return: async () => {
      await events.return?.();
      return { done: true, value: undefined };
    },
  };
}
