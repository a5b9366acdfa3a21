import { constants, copyFileSync, linkSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isPlainRelativePath } from './external-data.ts';

interface LaidFile {
  /** Where the file belongs within the folder, relative, with `/`. */
  readonly path: string;
  /** Absolute path of its bytes. */
  readonly storedAt: string;
}

/**
 * Puts a model and its external data beside each other under their own names, as the runtime looks for them.
 * Hard links, else (another file system) copies: the runtime refuses symbolic links that lead out of the folder.
 * @throws Error when a path would leave the folder, or a file is there already.
 */
export function layOutModel(folder: string, files: readonly LaidFile[]): void {
  for (const { path, storedAt } of files) {
    if (!isPlainRelativePath(path)) throw new Error(`${JSON.stringify(path)} is no plain relative path.`);
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    try {
      linkSync(storedAt, target);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw error;
      copyFileSync(storedAt, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    }
  }
}
