import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

const readOrUndefined = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
};

let counter = 0;
const beside = (path: string): string => `${path}.${process.pid}.${counter++}`;

/** Replaces a file as a whole: a reader, or a start after a crash, sees the old content or the new. */
export function replaceFile(path: string, content: string): void {
  const next = beside(path);
  writeFileSync(next, content, { mode: 0o600, flush: true });
  renameSync(next, path);
}

/** The content of a file that is written once with `content()` and then stays; only its owner can read it. */
export function keptOnce(path: string, content: () => string): string {
  const kept = readOrUndefined(path);
  if (kept !== undefined) return kept;
  const next = beside(path);
  writeFileSync(next, `${content()}\n`, { mode: 0o600, flush: true });
  try {
    linkSync(next, path);
  } catch {
    // Somebody else was first, or an empty file is left of a full disk: theirs counts, an empty one does not.
    if (readOrUndefined(path) === undefined) renameSync(next, path);
  }
  rmSync(next, { force: true });
  return readFileSync(path, 'utf8').trim();
}

/** A random secret of 192 bits, kept in a file; its characters need no quoting in URLs and configuration files. */
export const keptSecret = (path: string): string =>
  keptOnce(path, () => randomBytes(24).toString('base64url'));
