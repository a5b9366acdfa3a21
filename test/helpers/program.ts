/** An api or a worker as a process of its own, to be killed and started again. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { endProcess, type Child } from '#src/local/child.ts';
import { endSteps, recordProcess } from '#src/local/process-record.ts';
import { launchProgram, launchUntilReady, type ProgramOptions } from '#src/local/program.ts';
import { isAlive } from '#src/platform/process-identity.ts';

const files = {
  api: fileURLToPath(new URL('../../schema/server.ts', import.meta.url)),
  worker: fileURLToPath(new URL('../../workers/main.ts', import.meta.url)),
};

export class Program {
  readonly role: 'api' | 'worker';
  /** Standard output and error; shared by the programs of a role. */
  readonly log: string;
  readonly #dataDir: string;
  readonly #env: NodeJS.ProcessEnv;
  #child: Child | undefined;
  #url: string | undefined;

  constructor(role: 'api' | 'worker', dataDir: string, env: NodeJS.ProcessEnv) {
    this.role = role;
    this.log = `${dataDir}/logs/${role}.log`;
    this.#dataDir = dataDir;
    this.#env = env;
  }

  /** Origin of an api that has been started, such as `http://127.0.0.1:4000`. */
  get url(): string {
    if (this.#url === undefined) throw new Error(`No ${this.role} has told its URL.`);
    return this.#url;
  }

  get pid(): number {
    if (!this.#child) throw new Error(`The ${this.role} has not been started.`);
    return this.#child.identity.pid;
  }

  get alive(): boolean {
    return this.#child !== undefined && isAlive(this.#child.identity);
  }

  /** An api counts as started once it answers, a worker at once. An api comes back on the port that it had. */
  async start(): Promise<void> {
    const options: ProgramOptions = {
      role: this.role,
      file: files[this.role],
      env: { ...this.#env, PORT: this.#url ? new URL(this.#url).port : '0' },
      dataDir: this.#dataDir,
      signal: new AbortController().signal,
      onSpawn: (identity) => recordProcess(this.#dataDir, this.role, identity),
    };
    if (this.role === 'worker') {
      this.#child = await launchProgram(options);
      return;
    }
    const { child, url } = await launchUntilReady(options);
    this.#child = child;
    this.#url = url;
  }

  /** Resolves once it is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child?.process.kill(signal);
    await this.#child?.exited;
  }

  /** Ends it, with SIGKILL where nothing else is asked for, and starts it again. */
  async restart(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.kill(signal);
    await this.start();
  }

  /**
   * @throws Error when it does not end by itself, without an error, soon after SIGTERM. What has not begun yet, a worker
   * that was started just now, ends by the signal.
   */
  async stop(): Promise<void> {
    if (!this.#child || !this.alive) return;
    await endProcess(this.#child.identity, endSteps[this.role]);
    const how = await this.#child.exited;
    const hasBegun = this.written().includes(`"pid":${this.pid},`);
    if (how !== 'exit code 0' && (hasBegun || how !== 'signal SIGTERM'))
      throw new Error(`The ${this.role} did not stop as it should: ${how}.`);
  }

  /** Everything that it has written so far. */
  written(): string {
    return readFileSync(this.log, 'utf8');
  }
}
