/** Which processes a start has made: written as soon as each exists, read by the next start after a crash. */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { isAlive, type ProcessIdentity } from '../platform/process-identity.ts';
import { endProcess, type EndStep } from './child.ts';
import { endPostgres } from './postgres-cluster.ts';
import { endRedis } from './redis.ts';
import { replaceFile } from './secret.ts';

/** In the order in which they are ended: whoever uses a service goes before it. */
export const roles = ['api', 'worker', 'redis', 'postgres'] as const;
export type ProcessRole = (typeof roles)[number];

/** How each is ended: signals and the time each gets. */
export const endSteps: Readonly<Record<ProcessRole, readonly EndStep[]>> = {
  api: [['SIGTERM', 15_000]],
  worker: [['SIGTERM', 15_000]],
  redis: endRedis,
  postgres: endPostgres,
};

const identity = z.object({ pid: z.int().positive(), start: z.coerce.string() });
const record = z.partialRecord(z.enum(roles), identity);

const fileOf = (dataDir: string): string => join(dataDir, 'run/processes.json');

/** The recorded processes, alive or not. An unreadable record counts as an empty one. */
export function recordedProcesses(dataDir: string): Partial<Record<ProcessRole, ProcessIdentity>> {
  try {
    return record.parse(JSON.parse(readFileSync(fileOf(dataDir), 'utf8')));
  } catch {
    return {};
  }
}

/** Puts a process on record, in place of an earlier one of its role. */
export function recordProcess(dataDir: string, role: ProcessRole, process: ProcessIdentity): void {
  mkdirSync(join(dataDir, 'run'), { recursive: true, mode: 0o700 });
  replaceFile(fileOf(dataDir), `${JSON.stringify({ ...recordedProcesses(dataDir), [role]: process })}\n`);
}

/**
 * Ends the recorded processes that are still alive (by pid and start time), in order, and forgets them.
 * @returns the roles that were ended.
 */
export async function endRecorded(dataDir: string): Promise<ProcessRole[]> {
  const recorded = recordedProcesses(dataDir);
  const ended: ProcessRole[] = [];
  for (const role of roles) {
    const process = recorded[role];
    if (!process || !isAlive(process)) continue;
    await endProcess(process, endSteps[role]);
    ended.push(role);
  }
  rmSync(fileOf(dataDir), { force: true });
  return ended;
}

/** The replicas that workers have put on record under `run/replicas`, alive or not, with the files that say so. */
export function recordedReplicas(dataDir: string): { file: string; replica: ProcessIdentity }[] {
  const folder = join(dataDir, 'run/replicas');
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return files.flatMap((name) => {
    const file = join(folder, name);
    try {
      return { file, replica: identity.parse(JSON.parse(readFileSync(file, 'utf8'))) };
    } catch {
      return []; // Not a replica's record, or it went away by itself just now.
    }
  });
}

/** Ends the recorded replicas, all at once. */
export async function endReplicas(dataDir: string, hurry?: AbortSignal): Promise<void> {
  const ending = recordedReplicas(dataDir).map(async ({ file, replica }) => {
    await endProcess(replica, [['SIGTERM', 5_000]], hurry);
    rmSync(file, { force: true });
  });
  await Promise.all(ending);
}
