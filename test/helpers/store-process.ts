/** Another process that uses a store. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Environment } from './stores.ts';

const file = fileURLToPath(new URL('../platform/artifact-store.process.ts', import.meta.url));

interface Line {
  readonly seen?: number;
  readonly result?: unknown;
  readonly error?: { readonly name: string; readonly code?: string; readonly retryAfterMs?: number };
}

export class StoreProcess {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  /** @param before commands for the shell, such as a limit. */
  constructor(env: Environment, args: readonly string[], before = '') {
    const { PATH } = process.env;
    const command = `${before} exec "$0" "$@"`;
    this.child = spawn('bash', ['-c', command, process.execPath, file, ...args], { env: { PATH, ...env } });
    this.child.stdin.on('error', () => undefined);
    this.child.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    this.#lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** The next line that is as wanted. @throws Error when it ends before. */
  async #until(isWanted: (line: Line) => boolean): Promise<Line> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`The process ended: ${this.#errors}`);
      const line = JSON.parse(value) as Line;
      if (isWanted(line)) return line;
    }
  }

  /** Sends bytes and waits until it has taken them. */
  async send(content: Buffer): Promise<void> {
    this.child.stdin.write(content);
    await this.#until(({ seen }) => seen === content.length);
  }

  /** What comes of its work. */
  outcome(): Promise<Line> {
    return this.#until(({ seen }) => seen === undefined);
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}
