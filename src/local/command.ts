/** The commands beside `npm start` that take long: progress, Ctrl-C, and words instead of stack traces. */
import { resolve } from 'node:path';
import { BackupError } from '../backup/backup.errors.ts';
import type { Watch } from '../backup/watch.ts';
import { ConfigError } from '../platform/config.ts';
import { isDatabaseAway } from '../platform/database.ts';
import { DomainError } from '../platform/errors.ts';
import { UnfinishedRestoreError } from '../platform/migrate.ts';
import { LocalError } from './local-error.ts';
import { Progress } from './progress.ts';

export interface Command {
  /** The surrounding environment. */
  readonly env: NodeJS.ProcessEnv;
  /** What a person types, such as `npm run backup -- <folder>`. */
  readonly usage: string;
  /** @returns the exit code. @throws what a person can change, with what to do. */
  readonly run: (watch: Watch, folder: string | undefined) => Promise<number>;
}

/** Set once somebody wants it to stop; the words are for nobody. */
class Stopped extends Error {}

/** Runs a command on the folder that stands behind it, until its end or Ctrl-C, and ends this process. */
export async function runCommand({ env, usage, run }: Command): Promise<never> {
  const stop = new AbortController();
  const progress = new Progress(process.stdout);
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(1);
    progress.say('\nStopping.');
    stop.abort(new Stopped('stopped'));
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal);
  process.stdout.on('error', () => {}); // A closed terminal: what is said is lost.
  const watch: Watch = {
    signal: stop.signal,
    begin: (what, bytes) => progress.begin(what, bytes),
    moved: (bytes) => progress.moved(bytes),
    say: (line) => progress.say(line),
  };
  let code: number;
  try {
    const [given, ...more] = process.argv.slice(2);
    if (more.length > 0) throw new LocalError(`Usage: ${usage}`);
    // npm changes to the project's folder, and tells where the person stands.
    const folder = given === undefined ? undefined : resolve(env['INIT_CWD'] ?? '.', given);
    code = await run(watch, folder);
  } catch (error) {
    progress.say(wordsOf(error));
    code = error instanceof Stopped ? 130 : 1;
  }
  progress.end();
  // Not by itself: connections to S3 stay open for a while.
  process.exit(code);
}

function wordsOf(error: unknown): string {
  if (error instanceof Stopped) return 'Stopped.';
  if (error instanceof DomainError) return [error.message, error.hint].filter(Boolean).join(' ');
  const isForPeople = [BackupError, LocalError, ConfigError, UnfinishedRestoreError].some(
    (kind) => error instanceof kind,
  );
  if (isForPeople) return (error as Error).message;
  if (isDatabaseAway(error)) {
    return `PostgreSQL cannot be reached (${(error as Error).message}). Look at DATABASE_URL, then try again.`;
  }
  return error instanceof Error ? String(error.stack) : String(error);
}
