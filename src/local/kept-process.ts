/** A child that is started again when it ends unexpectedly. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ProcessIdentity } from '../platform/process-identity.ts';
import { endProcess, type Child } from './child.ts';
import { reason } from './local-error.ts';
import { endSteps, type ProcessRole } from './process-record.ts';

/** Starts the child and resolves once it does its work; rejects, leaving nothing behind, when it cannot or `signal` says stop. */
export type Launch = (signal: AbortSignal) => Promise<Child>;

const [firstPause, longestPause] = [200, 10_000];
/** After this long a process counts as sound: the pause before its next start is the first one again. */
const soundAfter = 30_000;

export class KeptProcess {
  readonly role: ProcessRole;
  readonly #launch: Launch;
  readonly #log: (line: string) => void;
  readonly #stopping = new AbortController();
  #hurry: AbortSignal | undefined;
  #child: Child | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(role: ProcessRole, launch: Launch, log: (line: string) => void) {
    this.role = role;
    this.#launch = launch;
    this.#log = log;
  }

  /** The process as it is now; undefined before the first start and between two. */
  get identity(): ProcessIdentity | undefined {
    return this.#child?.identity;
  }

  /** Starts it for the first time. @throws what `launch` throws, and keeps nothing running then. */
  async start(): Promise<void> {
    const first = this.#launch(this.#stopping.signal);
    this.#running = first.then(
      (child) => this.#keep(child),
      () => {},
    );
    await first;
  }

  async #keep(first: Child): Promise<void> {
    let child: Child | undefined = first;
    let pause = firstPause;
    for (;;) {
      if (child) {
        if (await this.#lives(child)) pause = firstPause;
        if (this.#stopping.signal.aborted) return;
      }
      if (!(await this.#paused(pause))) return;
      pause = Math.min(pause * 2, longestPause);
      child = await this.#again();
    }
  }

  /** Waits for the child's end; answers whether it had become sound by then. */
  async #lives(child: Child): Promise<boolean> {
    const since = Date.now();
    this.#child = child;
    // It came up while being stopped.
    if (this.#stopping.signal.aborted) await endProcess(child.identity, endSteps[this.role], this.#hurry);
    const how = await child.exited;
    this.#child = undefined;
    if (!this.#stopping.signal.aborted) this.#log(`${this.role} ended (${how}); starting it again.`);
    return Date.now() - since > soundAfter;
  }

  async #again(): Promise<Child | undefined> {
    try {
      const child = await this.#launch(this.#stopping.signal);
      this.#log(`${this.role} runs again (pid ${child.identity.pid}).`);
      return child;
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#log(`${this.role} does not start: ${reason(error)}`);
      return undefined;
    }
  }

  /** False: it is being stopped. */
  async #paused(ms: number): Promise<boolean> {
    await delay(ms, undefined, { signal: this.#stopping.signal }).catch(() => {});
    return !this.#stopping.signal.aborted;
  }

  /** Ends it for good; `hurry` skips the polite waiting. Also while it is still starting. */
  async stop(hurry?: AbortSignal): Promise<void> {
    this.#hurry = hurry;
    this.#stopping.abort();
    if (this.#child) await endProcess(this.#child.identity, endSteps[this.role], hurry);
    await this.#running;
  }
}
