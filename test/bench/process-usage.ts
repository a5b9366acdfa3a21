/** What processes have used so far, as the kernel counts it (proc(5)). */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** USER_HZ, in which /proc tells times: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Fields of /proc/<pid>/stat from the third on; undefined when the process is gone. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command (field 2) may hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

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

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
