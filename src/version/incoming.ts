/** Files on their way into the store. */
import type { Readable } from 'node:stream';
import { shown } from '../name/name.ts';
import { isPlainRelativePath } from '../onnx/external-data.ts';
import type { StagedFile } from '../platform/artifact-store.ts';
import { ValidationError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';

/** A file on its way: nothing of it is read before `open` is called, and files come in the sender's order. */
export interface IncomingFile {
  /** The name that its sender gave it (`/` separates folders) and its bytes. */
  open(): Promise<{ readonly fileName: string; readonly stream: Readable }>;
}

/** A stored file under its checked path. */
export interface NamedFile extends StagedFile {
  readonly path: string;
}

/** Stores all or nothing: when one fails, those already stored are discarded. */
export async function storeAll(platform: Platform, files: readonly IncomingFile[]): Promise<NamedFile[]> {
  const seen = new Paths();
  const results = await Promise.allSettled(files.map((file, index) => storeOne(platform, file, index, seen)));
  const failed = results.find((result) => result.status === 'rejected');
  const stored = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  if (!failed) return stored;
  for (const file of stored) await platform.store.discard(file);
  throw failed.reason;
}

/** Its name is checked before the first of its bytes is stored. */
async function storeOne(
  platform: Platform,
  file: IncomingFile,
  index: number,
  seen: Paths,
): Promise<NamedFile> {
  const { fileName, stream } = await file.open();
  try {
    const path = checkPath(['files', index], fileName);
    seen.add(['files', index], path);
    return { path, ...(await platform.store.stage(stream, platform.config.MAX_FILE_BYTES)) };
  } catch (error) {
    stream.resume();
    throw error;
  }
}

/** The names of a version's files, each checked: they can all be unpacked into one folder. */
export class Paths {
  readonly #files = new Set<string>();
  readonly #folders = new Set<string>();

  /** @throws ValidationError for a name that is there already, and where one file would be another one's folder. */
  add(at: readonly (string | number)[], path: string): void {
    const names = path.split('/');
    const folders = names.slice(1).map((_name, index) => names.slice(0, index + 1).join('/'));
    if (this.#files.has(path)) throw ValidationError.of(at, 'each file name once', shown(path));
    const file = folders.find((folder) => this.#files.has(folder));
    if (file !== undefined || this.#folders.has(path)) {
      throw ValidationError.of(at, `no file ${shown(file ?? path)} that is a folder, too`, shown(path));
    }
    this.#files.add(path);
    for (const folder of folders) this.#folders.add(folder);
  }
}

/** @throws ValidationError */
export function checkPath(at: readonly (string | number)[], fileName: string): string {
  const path = fileName.normalize('NFC');
  if (path.length > 255 || !path.isWellFormed() || !isPlainRelativePath(path)) {
    throw ValidationError.of(
      at,
      'a file name of at most 255 characters without "..", "\\", "*" or a leading "/"',
      shown(path),
    );
  }
  return path;
}
