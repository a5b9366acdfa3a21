/** Child processes that outlive a terminal's Ctrl-C: own process group, output to a file, never a pipe. */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { identify, isAlive, signal, type ProcessIdentity } from '../platform/process-identity.ts';

/** What to run. `uid` and `gid` only matter to root. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
}

export interface Child {
  readonly identity: ProcessIdentity;
  readonly process: ChildProcess;
  /** Settles once, with how it ended: `exit code 1` or `signal SIGKILL`. Never rejects. */
  readonly exited: Promise<string>;
}

export interface SpawnOptions {
  /** Standard output and error are appended here. */
  readonly log: string;
  /** Called before this function returns, so that a record of the child is written before anything waits on it. */
  readonly onSpawn?: ((identity: ProcessIdentity) => void) | undefined;
  /** Opens a channel for messages from a Node child. */
  readonly ipc?: boolean;
}

const logLimit = 16 * 1024 * 1024;

/** Opens a log for appending; a long one is set aside first, as `<name>.1`. */
function openLog(path: string): number {
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (bytes > logLimit) renameSync(path, `${path}.1`);
  return openSync(path, 'a', 0o600);
}

/** The last lines of a log, for a message about why something ended. */
export function tailOf(log: string, lines = 8): string {
  try {
    return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}

/**
 * Starts a process in a group of its own.
 * @throws the system's error (ENOENT, EACCES …) where it cannot be executed.
 */
export async function spawnChild(command: Command, options: SpawnOptions): Promise<Child> {
  const log = openLog(options.log);
  const stdio: StdioOptions = options.ipc ? ['ignore', log, log, 'ipc'] : ['ignore', log, log];
  let child: ChildProcess;
  try {
    child = spawn(command.file, command.args, {
      env: command.env,
      cwd: command.cwd,
      stdio,
      detached: true,
      ...(command.uid === undefined ? {} : { uid: command.uid }),
      ...(command.gid === undefined ? {} : { gid: command.gid }),
    });
  } finally {
    closeSync(log);
  }
  const { pid } = child;
  // Not executed: the error event that tells why comes next.
  if (pid === undefined) return new Promise((_, reject) => child.once('error', reject));
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, by) => resolve(by === null ? `exit code ${code}` : `signal ${by}`));
  });
  // It may be gone already; a start time that no process has then stands for "not alive".
  const identity = identify(pid) ?? { pid, start: '' };
  options.onSpawn?.(identity);
  return { identity, process: child, exited };
}

/** One step of ending a process: what to send, and how long to wait for its effect, in milliseconds. */
export type EndStep = readonly [NodeJS.Signals, number];

const waitLimitAfterKill = 5_000;

/** Waits until a process is gone; a foreign process sends no event, so this looks at it. False: it outlived the limit. */
async function gone(identity: ProcessIdentity, limitMs: number, hurry?: AbortSignal): Promise<boolean> {
  const limit = Date.now() + limitMs;
  while (isAlive(identity)) {
    if (Date.now() > limit || hurry?.aborted) return false;
    await delay(15);
  }
  return true;
}

/** What is left of a process's group. As long as it has a member its number is not given to another process. */
function killGroup(identity: ProcessIdentity): void {
  try {
    process.kill(-identity.pid, 'SIGKILL');
  } catch {
    // Nobody is left in it.
  }
}

/**
 * Ends a process politely, then less so; SIGKILL comes last in any case. What remains of its group goes with it.
 * `hurry` skips the waiting of the polite steps.
 */
export async function endProcess(
  identity: ProcessIdentity,
  steps: readonly EndStep[],
  hurry?: AbortSignal,
): Promise<void> {
  if (!isAlive(identity)) return;
  for (const [name, limitMs] of steps) {
    if (!signal(identity, name) || (await gone(identity, limitMs, hurry))) break;
  }
  signal(identity, 'SIGKILL');
  killGroup(identity);
  await gone(identity, waitLimitAfterKill);
}
