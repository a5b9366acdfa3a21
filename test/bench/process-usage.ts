/** What processes have used so far, as the kernel counts it (proc(5)). */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { statOf } from '#src/platform/process-identity.ts';
import { residentBytes as residentOf } from '#src/platform/process-vitals.ts';

/** USER_HZ, in which /proc tells times: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

const sum = (fields: readonly string[], from: number, to: number): number =>
  fields.slice(from, to).reduce((ticks, field) => ticks + Number(field), 0) / TICKS_PER_SECOND;

/** User and system time of processes, in seconds. */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((seconds, pid) => seconds + sum(statOf(pid) ?? [], 11, 13), 0);
}

/** The same of a process and its children, those that have ended too: PostgreSQL has one for each connection. */
export function familyCpuSeconds(pid: number): number {
  const children = readdirSync('/proc')
    .map(Number)
    .filter((other) => other > 0 && statOf(other)?.[1] === String(pid));
  return sum(statOf(pid) ?? [], 11, 15) + cpuSeconds(children);
}

/** Pids of a process and all that it started, and they. */
export function family(pid: number): number[] {
  const others = readdirSync('/proc').map(Number).filter(Boolean);
  const childrenOf = (parent: number): number[] =>
    others
      .filter((other) => statOf(other)?.[1] === String(parent))
      .flatMap((each) => [each, ...childrenOf(each)]);
  return [pid, ...childrenOf(pid)];
}

/** Keeps processes, with all their threads, on one core (null: on any). */
export function pin(pids: readonly number[], core: number | null): void {
  const cores = core === null ? `0-${availableParallelism() - 1}` : String(core);
  for (const pid of pids)
    execFileSync('taskset', ['-a', '-c', '-p', cores, String(pid)], { stdio: 'ignore' });
}

/** Resident memory in bytes. @throws Error when the process is gone. */
export function residentBytes(pid: number): number {
  const bytes = residentOf(pid);
  if (bytes === undefined) throw new Error(`Process ${pid} is gone.`);
  return bytes;
}
