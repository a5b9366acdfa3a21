/** Our own processes, the api and the worker, as children. */
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { ProcessIdentity } from '../platform/process-identity.ts';
import { endProcess, spawnChild, tailOf, type Child } from './child.ts';
import { LocalError } from './local-error.ts';
import { endSteps } from './process-record.ts';

export interface ProgramOptions {
  readonly role: 'api' | 'worker';
  /** The file that Node runs. */
  readonly file: string;
  readonly env: NodeJS.ProcessEnv;
  readonly dataDir: string;
  readonly signal: AbortSignal;
  readonly onSpawn: (identity: ProcessIdentity) => void;
}

/** What the api sends once it answers. */
const ready = z.object({ type: z.literal('ready'), url: z.url() });

const startLimit = 60_000;

async function readyUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.on('message', (message) => {
      const parsed = ready.safeParse(message);
      if (parsed.success) resolve(new URL(parsed.data.url).origin);
    });
  });
}

const logOf = (dataDir: string, role: ProgramOptions['role']): string => join(dataDir, 'logs', `${role}.log`);

/** Starts a program; it counts as up at once. */
export async function launchProgram(options: ProgramOptions): Promise<Child> {
  const { file, env, onSpawn } = options;
  options.signal.throwIfAborted();
  const log = logOf(options.dataDir, options.role);
  return spawnChild({ file: process.execPath, args: [file], env }, { log, onSpawn, ipc: true });
}

/**
 * Starts a program that tells when it is ready, and waits for that.
 * @throws LocalError with the end of its log when it ends first or stays silent for a minute.
 */
export async function launchUntilReady(options: ProgramOptions): Promise<{ child: Child; url: string }> {
  const { role, signal } = options;
  const child = await launchProgram(options);
  const log = logOf(options.dataDir, role);
  const over = new AbortController();
  const failed = (how: string): never => {
    throw new LocalError(`The ${role} ${how}. The end of ${log}:\n${tailOf(log)}`);
  };
  try {
    const url = await Promise.race([
      readyUrl(child.process),
      child.exited.then((how) => failed(`ended while starting (${how})`)),
      delay(startLimit, undefined, { signal: AbortSignal.any([signal, over.signal]) }).then(() =>
        failed('was not ready within a minute'),
      ),
    ]);
    return { child, url };
  } catch (error) {
    await endProcess(child.identity, endSteps[role]);
    throw error;
  } finally {
    over.abort();
  }
}
