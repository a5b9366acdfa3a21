/** Folders that a killed process left half done: their names tell who made them. */
import { randomUUID } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { identify, isAlive } from './process-identity.ts';

const SEPARATOR = '~';

/** A new unique name that tells which process made it. */
export function ownName(): string {
  return [process.pid, identify(process.pid)?.start ?? '0', randomUUID()].join(SEPARATOR);
}

function isAbandoned(name: string): boolean {
  const [pid, start, unique, ...more] = name.split(SEPARATOR);
  if (!pid || !start || !unique || more.length > 0) return false;
  return !isAlive({ pid: Number(pid), start });
}

/** Removes what processes of this host that are gone have left in a folder under such names. Returns how many. */
export async function removeAbandoned(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  const abandoned = names.filter(isAbandoned);
  for (const name of abandoned) await rm(join(folder, name), { recursive: true, force: true });
  return abandoned.length;
}
