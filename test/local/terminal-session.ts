/** A program started as from a terminal, and what it prints, to be waited on. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { endRecorded, endReplicas } from '#src/local/process-record.ts';

/** A folder for one test, with a space in its path; what still runs on it ends with the test. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'modelarium local '));
  onTestFinished(async () => {
    await endRecorded(folder);
    await endReplicas(folder);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  return folder;
}

export class Session {
  readonly process: ChildProcess;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  #printed = '';
  readonly #waiting = new Set<() => void>();

  constructor(file: string, env: NodeJS.ProcessEnv, args: readonly string[] = []) {
    const { DATABASE_URL: _, REDIS_URL: __, PORT: ___, ...surroundings } = process.env;
    this.process = spawn(process.execPath, [file, ...args], {
      env: { ...surroundings, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#printed += text;
        for (const look of this.#waiting) look();
      });
    }
    this.ended = new Promise((resolve) => {
      this.process.once('close', (code, by) => {
        resolve(by ?? code);
        for (const look of this.#waiting) look();
      });
    });
    onTestFinished(() => void this.process.kill('SIGKILL'));
  }

  get printed(): string {
    return this.#printed;
  }

  get #over(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** Resolves with the match once it is printed; rejects when the program ends without. */
  async shows(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = pattern.exec(this.#printed);
        if (!found && !this.#over) return;
        this.#waiting.delete(look);
        if (found) resolve(found);
        else reject(new Error(`ended without ${pattern}:\n${this.#printed}`));
      };
      this.#waiting.add(look);
      look();
    });
  }

  signal(name: NodeJS.Signals): void {
    this.process.kill(name);
  }
}
