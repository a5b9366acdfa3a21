import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/**
 * A private folder for the sockets of one data folder. Not inside it: a socket's path may have 107 bytes at most
 * (unix(7)), and data folders lie anywhere.
 * @throws Error when somebody else made it first.
 */
export function socketFolder(dataDir: string): string {
  const { uid } = userInfo();
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 12);
  const folder = join(tmpdir(), `modelarium-${uid}-${name}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new Error(`${folder} must be a folder of mode 0700 that belongs to uid ${uid}; remove it.`);
  }
  return folder;
}
