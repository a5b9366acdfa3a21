/** One supervisor for a data folder. `run/supervisor.json` tells who; a process of that pid and start time makes it true. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, realpathSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { identify, isAlive } from '../platform/process-identity.ts';
import { codeOf, LocalError } from './local-error.ts';
import { replaceFile } from './secret.ts';

const holder = z.object({
  pid: z.int().positive(),
  start: z.string(),
  since: z.iso.datetime(),
  /** null until its api answers. */
  url: z.string().nullable(),
  /** The command that has the folder, where it is not `npm start`. */
  command: z.string().optional(),
});
export type Holder = z.infer<typeof holder>;

export interface Lock {
  /** Tells who comes second where this one answers. */
  announce(url: string): void;
  release(): void;
}

const fileOf = (dataDir: string): string => join(dataDir, 'run/supervisor.json');

/** Who holds the folder right now, if anybody does. */
export function holderOf(dataDir: string): Holder | undefined {
  try {
    const found = holder.parse(JSON.parse(readFileSync(fileOf(dataDir), 'utf8')));
    return isAlive(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Runs `work` while no other process does for this folder. The guard is a socket in Linux's abstract namespace: the
 * kernel lets one process bind a name, and frees it when that process dies, however it dies. A guard file could be
 * left behind, and deciding that it was is the very race that has to be excluded.
 */
async function alone<Result>(dataDir: string, work: () => Result): Promise<Result> {
  const name = createHash('sha256').update(realpathSync(dataDir)).digest('hex').slice(0, 32);
  const limit = Date.now() + 5_000;
  for (;;) {
    const server = createServer();
    try {
      server.listen(`\0modelarium-${name}`);
      await once(server, 'listening');
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') throw error;
      if (Date.now() > limit) throw new LocalError(`Another process keeps ${dataDir} locked. Try again.`);
      await delay(20);
      continue;
    }
    try {
      return work();
    } finally {
      server.close();
    }
  }
}

/** Takes the folder for this process (`command` where it is not `npm start`), or tells who has it. */
export async function takeLock(
  dataDir: string,
  command?: string,
): Promise<Lock | { readonly heldBy: Holder }> {
  return alone(dataDir, () => {
    const heldBy = holderOf(dataDir);
    if (heldBy) return { heldBy };
    const self = identify(process.pid) ?? { pid: process.pid, start: '' };
    const since = new Date().toISOString();
    const write = (url: string | null): void =>
      replaceFile(fileOf(dataDir), `${JSON.stringify({ ...self, since, url, command } satisfies Holder)}\n`);
    write(null);
    return { announce: write, release: () => rmSync(fileOf(dataDir), { force: true }) };
  });
}

function whatHolds({ url, command }: Holder): string {
  if (command !== undefined) return `\`${command}\` is at work on this folder`;
  return `Modelarium runs already${url ? ` at ${url}` : ', it is just starting'}`;
}

/** The calm words about a first start, for whoever comes second. */
export const describeHolder = (held: Holder): string =>
  `${whatHolds(held)}: ` +
  `process ${held.pid}, since ${held.since.replace('T', ' ').replace(/\.\d+Z$/, ' UTC')}.`;
