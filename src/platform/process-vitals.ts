import { readFileSync } from 'node:fs';

/** How a process is doing, as proc(5) tells. */
export interface ProcessVitals {
  /** Clock ticks of processor time that it has used since its start. */
  readonly cpuTicks: number;
  readonly residentBytes: number;
  /** Whether somebody has stopped it (SIGSTOP): it does nothing until it is continued. */
  readonly isStopped: boolean;
  /** Whether it wants to run, or waits for a disk. */
  readonly isBusy: boolean;
}

const KIB = 1024;

/** @returns undefined when there is no such process. */
export function vitalsOf(pid: number): ProcessVitals | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command (field 2) may hold spaces and parentheses: count from the last one. Fields 3, 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return {
      cpuTicks: Number(fields[11]) + Number(fields[12]),
      residentBytes: Number(resident ?? 0) * KIB,
      isStopped: fields[0] === 'T',
      isBusy: fields[0] === 'R' || fields[0] === 'D',
    };
  } catch {
    return undefined;
  }
}
