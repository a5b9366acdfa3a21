import { readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { identify, type ProcessIdentity } from '../platform/process-identity.ts';

const link = (path: string): string | undefined => {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
};

/**
 * Processes of one of these programs whose working directory is `folder`. PostgreSQL and Redis both move into their
 * data, so this finds one even when it was started just before its record could be written.
 */
export function processesIn(folder: string, programs: readonly string[]): ProcessIdentity[] {
  const real = realpathSync(folder);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => link(`/proc/${pid}/cwd`) === real)
    .filter((pid) => {
      const program = link(`/proc/${pid}/exe`)?.replace(/ \(deleted\)$/, '');
      return program !== undefined && programs.includes(basename(program));
    })
    .flatMap((pid) => identify(Number(pid)) ?? []);
}
