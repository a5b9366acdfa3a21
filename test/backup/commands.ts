/** The commands as processes, on the data of an installation. */
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Installation } from '#test/helpers/installation.ts';
import { Session } from '#test/local/terminal-session.ts';

export type CommandName = 'backup' | 'restore' | 'verify' | 'start';

export function begin(name: CommandName, env: NodeJS.ProcessEnv, ...args: readonly string[]): Session {
  return new Session(join(import.meta.dirname, `../../src/local/${name}.ts`), env, args);
}

/** What it printed. @throws Error unless it ends with this exit code. */
export async function ended(session: Session, code = 0): Promise<string> {
  expect({ code: await session.ended, printed: session.printed }).toEqual({
    code,
    printed: session.printed,
  });
  return session.printed;
}

export function run(
  name: CommandName,
  { environment }: Pick<Installation, 'environment'>,
  args: readonly string[] = [],
  code = 0,
): Promise<string> {
  return ended(begin(name, environment, ...args), code);
}
