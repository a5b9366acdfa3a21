/** Names of what is staged: whose it is, and when it may be removed. The same for files and for objects. */
import { identify, isAlive } from './process-identity.ts';

const SEPARATOR = '~';
const UPLOAD = `upload${SEPARATOR}`;
const DAY_MS = 86_400_000;

/** Tells this process from all others on any host. */
export function stagingMark(hostId: string): string {
  return [encodeURIComponent(hostId), process.pid, identify(process.pid)?.start ?? '0'].join(SEPARATOR);
}

/** @throws Error for an id that could lead elsewhere. */
export function uploadName(id: string): string {
  if (!/^[\w-]{1,128}$/.test(id)) throw new Error(`${JSON.stringify(id)} is no id of an upload.`);
  return UPLOAD + id;
}

/** The upload's id in a name that `uploadName` made. */
export function uploadIn(name: string): string | undefined {
  return name.startsWith(UPLOAD) ? name.slice(UPLOAD.length) : undefined;
}

/** Whether whoever staged under this mark is gone, or must be: processes of other hosts are given a day. */
export function isOrphaned(mark: string, hostId: string, modifiedAt: Date): boolean {
  const [host, pid, start] = mark.split(SEPARATOR);
  if (Date.now() - modifiedAt.getTime() > DAY_MS) return true;
  return (
    host === encodeURIComponent(hostId) &&
    pid !== undefined &&
    start !== undefined &&
    !isAlive({ pid: Number(pid), start })
  );
}
