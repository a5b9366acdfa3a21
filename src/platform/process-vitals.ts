import { readFileSync } from 'node:fs';
import { statOf } from './process-identity.ts';

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

/** Resident memory of a process, in bytes; undefined where the system does not tell (no such process, no /proc). */
export function residentBytes(pid: number): number | undefined {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * KIB;
  } catch {
    return undefined;
  }
}

/** @returns undefined when there is no such process. */
export function vitalsOf(pid: number): ProcessVitals | undefined {
  const [fields, resident] = [statOf(pid), residentBytes(pid)];
  if (fields === undefined || resident === undefined) return undefined;
  return {
    // Fields 14 and 15.
    cpuTicks: Number(fields[11]) + Number(fields[12]),
    residentBytes: resident,
    isStopped: fields[0] === 'T',
    isBusy: fields[0] === 'R' || fields[0] === 'D',
  };
}
