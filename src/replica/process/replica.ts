/** The life of a replica process: it listens, loads, warms up, serves as long as its lease is renewed, and drains. */
import { lstatSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  REPLICA_PROTOCOL_VERSION,
  type ReplicaExit,
  type ReplicaReady,
  type ReplicaState,
  type ReplicaStatus,
} from '../../inference/replica-status.ts';
import { loadSession } from '../../platform/onnx-runtime.ts';
import { identify } from '../../platform/process-identity.ts';
import type { NamedTensor } from '../../tensor/tensor.ts';
import { Batcher, type Ran } from './batcher.ts';
import type { Served } from './infer.ts';
import type { Launch } from './launch.ts';
import { runner } from './runner.ts';
import { createReplicaServer } from './server.ts';
import { warmUp, type Learnt } from './warm-up.ts';

/** Exit codes; those beyond 0 are of sysexits.h. */
const exitCodes = {
  DRAINED: 0,
  LEASE_EXPIRED: 0,
  LOAD_FAILED: 65,
  LISTEN_FAILED: 69,
  CRASHED: 70,
} as const satisfies Record<ReplicaExit['code'], number>;

/** How long a failure to load is told to those who ask, before it can only be read from the exit file. */
const FAILED_MS = 1000;
/** A request that is still not answered by then is given up. */
const DRAIN_MS = 5 * 60_000;
/** How long nothing must come before it ends. Whoever routes has been told before. */
const LINGER_MS = 100;

export class Replica implements Served {
  readonly launch: Launch;
  readonly token: string | null;
  readonly #server: Server;
  #state: ReplicaState = 'LOADING';
  #batcher: Batcher | null = null;
  #loadMs: number | null = null;
  #warmUpMs: number | null = null;
  #learnt: Learnt | null = null;
  #inFlight = 0;
  #requests = 0;
  #exit: ReplicaExit | null = null;
  #lingering: NodeJS.Timeout | undefined;
  #leasedAt = performance.now();

  constructor(launch: Launch, token: string | null) {
    this.launch = launch;
    this.token = token;
    this.#server = createReplicaServer(this);
  }

  async start(): Promise<void> {
    process.on('SIGTERM', () => this.drain());
    process.on('SIGINT', () => this.drain());
    process.on('uncaughtException', (error) => this.#end({ code: 'CRASHED', message: error.message }));
    try {
      await this.#listen();
    } catch (error) {
      this.#end({ code: 'LISTEN_FAILED', message: (error as Error).message });
    }
    this.#watchLease();
    try {
      await this.#load();
    } catch (error) {
      this.#fail((error as Error).message);
    }
  }

  async #listen(): Promise<void> {
    const { listen } = this.launch;
    // Files and sockets of this process are its user's alone.
    process.umask(0o177);
    if ('socketPath' in listen) {
      removeStale(listen.socketPath);
      this.#server.listen(listen.socketPath);
    } else {
      if (this.token === null) throw new Error('A replica on TCP needs a token.');
      this.#server.listen(listen.port, listen.host);
    }
    await once(this.#server, 'listening');
    const { pid, start } = identify(process.pid) ?? { pid: process.pid, start: '' };
    writeAtomically(this.launch.readyFile, { endpoint: this.#endpoint(), pid, start } satisfies ReplicaReady);
  }

  #endpoint(): string {
    const { listen } = this.launch;
    if ('socketPath' in listen) return `unix:${listen.socketPath}`;
    const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
    return `http://${host}:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Loading blocks the thread: whoever connects meanwhile is answered after it. */
  async #load(): Promise<void> {
    const { launch } = this;
    const startedAt = performance.now();
    const session = await loadSession(launch.modelPath, { threads: launch.threads });
    const missing = [
      ...launch.signature.inputs.filter(({ name }) => !session.inputNames.includes(name)),
      ...launch.signature.outputs.filter(({ name }) => !session.outputNames.includes(name)),
    ];
    if (missing.length > 0) {
      throw new Error(
        `The graph has no tensor named ${missing.map(({ name }) => JSON.stringify(name)).join(', ')}.`,
      );
    }
    const loadedAt = performance.now();
    this.#loadMs = loadedAt - startedAt;
    const run = runner(session);
    const batcher = new Batcher(run, launch.batching);
    this.#batcher = batcher;
    if (this.#state === 'LOADING') this.#state = 'WARMING';
    this.#learnt = await warmUp(run, launch.signature, launch.threads);
    batcher.sharedRows = this.#learnt.sharedRows;
    this.#warmUpMs = performance.now() - loadedAt;
    if (this.#state === 'WARMING') this.#state = 'READY';
  }

  #fail(message: string): void {
    if (this.#exit !== null) return;
    this.#state = 'FAILED';
    this.#exit = { code: 'LOAD_FAILED', message };
    writeAtomically(this.launch.exitFile, this.#exit);
    setTimeout(() => process.exit(exitCodes.LOAD_FAILED), FAILED_MS);
  }

  #watchLease(): void {
    const leaseMs = this.launch.leaseSeconds * 1000;
    let isOverdue = false;
    const timer = setInterval(
      () => {
        const wasOverdue = isOverdue;
        isOverdue = performance.now() - this.#leasedAt > leaseMs;
        // Twice in a row: a renewal may be waiting behind a run that took longer than the lease.
        if (isOverdue && wasOverdue) {
          clearInterval(timer);
          this.#drainFor('LEASE_EXPIRED', `Nobody renewed the lease for ${this.launch.leaseSeconds} s.`);
        }
      },
      Math.min(1000, leaseMs / 4),
    );
  }

  renewLease(): void {
    this.#leasedAt = performance.now();
  }

  /** Answers what it has and what is on its way, and ends with 0. */
  drain(): void {
    this.#drainFor('DRAINED', 'It was told to end.');
  }

  #drainFor(code: ReplicaExit['code'], message: string): void {
    if (this.#exit !== null) return;
    this.#exit = { code, message };
    this.#state = 'DRAINING';
    setTimeout(() => this.#end(this.#exit as ReplicaExit), DRAIN_MS);
    this.#endIfIdle();
  }

  /**
   * Not at once: a run blocks the thread, so requests may wait unread in their sockets behind it (one turn of the event
   * loop takes new connections, the next reads them), and the answer to /drain itself is still to be written.
   */
  #endIfIdle(): void {
    if (this.#state !== 'DRAINING') return;
    clearTimeout(this.#lingering);
    this.#lingering = setTimeout(() => {
      setImmediate(() => setImmediate(() => this.#inFlight === 0 && this.#end(this.#exit as ReplicaExit)));
    }, LINGER_MS);
  }

  #end(exit: ReplicaExit): never {
    this.#server.close();
    writeAtomically(this.launch.exitFile, exit);
    process.exit(exitCodes[exit.code]);
  }

  get isReady(): boolean {
    return this.#state === 'READY';
  }

  /** What was sent before it was told to end may arrive after: it is answered, too. */
  get answers(): boolean {
    return this.#state === 'READY' || (this.#state === 'DRAINING' && this.#warmUpMs !== null);
  }

  get sharedRows(): number {
    return this.#batcher?.sharedRows ?? 0;
  }

  status(): ReplicaStatus {
    return {
      state: this.#state,
      loadMs: this.#loadMs,
      warmUpMs: this.#warmUpMs,
      memoryBytes: process.memoryUsage.rss(),
      inFlight: this.#inFlight,
      requests: this.#requests,
      protocolVersion: REPLICA_PROTOCOL_VERSION,
      rowsIndependent: this.#learnt?.rowsIndependent ?? null,
      exitReason: this.#exit?.message ?? null,
    };
  }

  begin(): void {
    this.#inFlight++;
    this.#requests++;
  }

  end(): void {
    this.#inFlight--;
    this.#endIfIdle();
  }

  infer(
    inputs: readonly NamedTensor[],
    outputs: readonly string[],
    isAbandoned: () => boolean,
  ): Promise<Ran> {
    return (this.#batcher as Batcher).submit(inputs, outputs, isAbandoned);
  }
}

/** A socket file that a killed predecessor left; anything else at that path stays, and listening fails. */
function removeStale(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) rmSync(path);
}

/** Whoever reads the file finds all of it or none. */
function writeAtomically(path: string, value: unknown): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(value));
  renameSync(draft, path);
}
