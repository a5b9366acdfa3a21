/**
 * Locks between all processes, kept in PostgreSQL by one connection a process: whoever dies lets go. Whoever waits asks
 * the holder to let go; whether that one does is its own affair.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openSession, type Session } from './database.ts';

export interface Lock {
  /** Resolves when it was still had after this was called. A process that stood still does not know by itself. @throws Error */
  confirm(): Promise<void>;
  release(): Promise<void>;
}

export interface LockOptions {
  /** Stops the waiting, with its reason. */
  readonly signal: AbortSignal;
  /** Somebody else wants it: let go as soon as that does no harm. */
  readonly onAsked: () => void;
  /** PostgreSQL went away, and the lock with it: stop at once. */
  readonly onLost: () => void;
}

export interface Locks {
  /** Waits until nobody else has it. @throws the signal's reason; Error when PostgreSQL cannot be reached. */
  acquire(key: string, options: LockOptions): Promise<Lock>;
  close(): Promise<void>;
}

/**
 * Who reads all bytes that rows refer to has this one, shared with others who do; whoever frees bytes takes it alone, or
 * leaves that for later. In PostgreSQL it is `hashtextextended(key, 0)`, as all of these are.
 */
export const KEPT_BYTES_LOCK = 'kept bytes';

const CHANNEL = 'modelarium_lock';
const AGAIN_MS = 100;

export function openLocks(url: string): Locks {
  return new SessionLocks(url);
}

type Holder = Pick<LockOptions, 'onAsked' | 'onLost'>;

class SessionLocks implements Locks {
  readonly #url: string;
  /** A session gets the same lock as often as it asks: who has it here is decided here. */
  readonly #held = new Map<string, Holder>();
  #session: Promise<Session> | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  async acquire(key: string, { signal, onAsked, onLost }: LockOptions): Promise<Lock> {
    const mine: Holder = { onAsked, onLost };
    for (;;) {
      signal.throwIfAborted();
      const holder = this.#held.get(key);
      if (holder) holder.onAsked();
      else if (await this.#take(key, mine)) {
        return { confirm: () => this.#confirm(key, mine), release: () => this.#release(key, mine) };
      }
      await delay(AGAIN_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  async close(): Promise<void> {
    const session = await this.#session?.catch(() => undefined);
    this.#session = undefined;
    await session?.close();
  }

  async #take(key: string, holder: Holder): Promise<boolean> {
    this.#held.set(key, holder);
    try {
      const session = await this.#connected();
      const [row] = await session.query('select pg_try_advisory_lock(hashtextextended($1, 0)) as got', [key]);
      if (row?.['got'] === true) return true;
      await session.query('select pg_notify($1, $2)', [CHANNEL, key]);
    } catch (error) {
      this.#held.delete(key);
      throw error;
    }
    this.#held.delete(key);
    return false;
  }

  async #confirm(key: string, holder: Holder): Promise<void> {
    const session = await this.#session;
    // It is had as long as its connection answers.
    await session?.query('select');
    if (!session || this.#held.get(key) !== holder) throw new Error(`The lock ${key} is lost.`);
  }

  async #release(key: string, holder: Holder): Promise<void> {
    if (this.#held.get(key) !== holder) return;
    try {
      const session = await this.#session;
      await session?.query('select pg_advisory_unlock(hashtextextended($1, 0))', [key]);
    } catch {
      // With its connection the lock is gone, too.
    }
    this.#held.delete(key);
  }

  #connected(): Promise<Session> {
    return (this.#session ??= this.#connect());
  }

  async #connect(): Promise<Session> {
    try {
      const session = await openSession({
        url: this.#url,
        onNotification: (key) => this.#held.get(key)?.onAsked(),
        onLost: () => this.#lost(),
      });
      await session.query(`listen ${CHANNEL}`);
      return session;
    } catch (error) {
      this.#session = undefined;
      throw error;
    }
  }

  #lost(): void {
    this.#session = undefined;
    const holders = [...this.#held.values()];
    this.#held.clear();
    for (const { onLost } of holders) onLost();
  }
}
