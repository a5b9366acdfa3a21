import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import type { Command } from './child.ts';

/** How a short program ended: its exit code (null when a signal or nothing at all ended it) and what it said. */
export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a short program to its end. Never rejects: a program that cannot be executed says so in `err`. */
export async function run(
  command: Command,
  options: { input?: string; signal?: AbortSignal | undefined } = {},
): Promise<Ran> {
  const child = spawn(command.file, command.args, {
    env: command.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    ...(command.uid === undefined ? {} : { uid: command.uid }),
    ...(command.gid === undefined ? {} : { gid: command.gid }),
  });
  child.stdin.on('error', () => {}); // It ended without reading: its exit code tells more.
  child.stdin.end(options.input ?? '');
  const ended = new Promise<{ code: number | null; why: string }>((resolve) => {
    child.once('error', (error) => resolve({ code: null, why: error.message }));
    child.once('close', (code, by) => resolve({ code, why: by === null ? '' : `ended by ${by}` }));
  });
  const [{ code, why }, out, err] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { code, out, err: [err.trim(), why].filter(Boolean).join('\n') };
}
