/** A host's own copy of what its replicas load: checked against the digests once, then shared by all of them. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { layOutModel } from '../onnx/model-folder.ts';
import { ownName } from '../platform/abandoned.ts';
import type { Platform } from '../platform/platform.ts';
import { listArtifacts } from '../version/version.queries.ts';

/**
 * The path of a version's served model on this host, with its external data beside it.
 * @throws Error when stored bytes are missing or differ from their digest.
 */
export async function fetchModel(platform: Platform, versionId: string, modelFile: string): Promise<string> {
  const files = await servedFiles(platform, versionId);
  const main = files.find((file) => file.path === modelFile);
  if (!main) throw new Error(`Version ${versionId} has no file ${modelFile}.`);
  const cache = cacheFolder(platform);
  const folder = join(cache, `${versionId}-${main.digest.slice(0, 16)}`);
  if (!existsSync(folder)) await fill(platform, cache, folder, files);
  return join(folder, modelFile);
}

/** Where this host's copies lie. */
export function cacheFolder(platform: Platform): string {
  return join(platform.config.DATA_DIR, 'cache/models');
}

interface ServedFile {
  readonly path: string;
  readonly digest: string;
}

/** The uploaded files, with the derived graph in the place of the one it was derived from. */
async function servedFiles(platform: Platform, versionId: string): Promise<ServedFile[]> {
  const uploaded = await listArtifacts(platform.db, [versionId], 'UPLOADED');
  const derived = await listArtifacts(platform.db, [versionId], 'SERVING');
  const byPath = new Map([...uploaded, ...derived].map((file) => [file.path, file]));
  return [...byPath.values()];
}

async function fill(
  platform: Platform,
  cache: string,
  folder: string,
  files: readonly ServedFile[],
): Promise<void> {
  const building = join(cache, ownName());
  await mkdir(building, { recursive: true, mode: 0o700 });
  try {
    // One by one: a copy of what is kept elsewhere may make room for the next one, unless it is linked by then.
    for (const { path, digest } of files) {
      layOutModel(building, [{ path, storedAt: await platform.store.localise(digest) }]);
    }
    for (const file of files) await verify(join(building, file.path), file);
    await rename(building, folder);
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    // Another worker on this host was faster: its copy is as good.
    if (!existsSync(folder)) throw error;
  }
}

async function verify(path: string, file: ServedFile): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const found = hash.digest('hex');
  if (found !== file.digest) {
    throw new Error(
      `${file.path} is damaged in the artifact store: expected sha256 ${file.digest}, found ${found}.`,
    );
  }
}
