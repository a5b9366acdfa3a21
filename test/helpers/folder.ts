/** What lies in a folder, and waiting for it. */
import { watch } from 'node:fs';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Every file below a folder, by its path within. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted();
}

/** Resolves with a folder's files once they are as wanted; looks again whenever something in it changes. */
export function filesOnce(
  folder: string,
  isWanted: (files: readonly string[]) => boolean,
): Promise<string[]> {
  return new Promise((resolve) => {
    const watcher = watch(folder, { recursive: true }, () => look());
    const look = (): void => {
      const files = filesIn(folder);
      if (!isWanted(files)) return;
      watcher.close();
      resolve(files);
    };
    look();
  });
}
