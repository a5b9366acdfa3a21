/** Artifact stores for tests: a folder, or a bucket of a server in this process; each test has its own. */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { openStore } from '#src/platform/artifact-store.open.ts';
import type { ArtifactStore } from '#src/platform/artifact-store.ts';
import { loadConfig } from '#src/platform/config.ts';
import { filesIn } from './folder.ts';
import { S3Server } from './s3-server.ts';
import { newFolder } from './services.ts';

export const kinds = ['local', 's3'] as const;
export type Kind = (typeof kinds)[number];
export type Environment = Readonly<Record<string, string>>;

export const MB = 1024 ** 2;
export const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');

/** Random bytes in chunks, as a socket brings them. */
function chunksOf(content: Buffer, chunkBytes = 64 * 1024): Buffer[] {
  return Array.from({ length: Math.ceil(content.length / chunkBytes) }, (_, index) =>
    content.subarray(index * chunkBytes, (index + 1) * chunkBytes),
  );
}

export const streamOf = (content: Buffer, chunkBytes?: number): Readable =>
  Readable.from(chunksOf(content, chunkBytes), { objectMode: false });

/** A stream that brings these bytes and then fails. */
export function breakingAfter(content: Buffer): Readable {
  return Readable.from(
    (async function* () {
      yield* chunksOf(content);
      throw new Error('The line broke.');
    })(),
    { objectMode: false },
  );
}

/** Opens the store that environment variables name, as a process of the program would. */
export function openFrom(env: Environment, databaseId = 'database-of-a-test'): Promise<ArtifactStore> {
  const unused = { DATABASE_URL: 'postgresql://nobody@localhost/none', REDIS_URL: 'redis://localhost' };
  return openStore(loadConfig({ ...unused, ...env }), { databaseId, onFault: () => undefined });
}

/** A place for a store, and what is to be seen of it from outside. */
export class StorePlace implements AsyncDisposable {
  readonly kind: Kind;
  readonly dataDir = newFolder();
  readonly server = new S3Server();

  constructor(kind: Kind) {
    this.kind = kind;
  }

  static async of(kind: Kind): Promise<StorePlace> {
    const place = new StorePlace(kind);
    if (kind === 's3') await place.server.start();
    return place;
  }

  get environment(): Environment {
    const shared = { DATA_DIR: this.dataDir, HOST_ID: 'a host' };
    return this.kind === 's3'
      ? { ...shared, ...this.server.environment('some/prefix') }
      : { ...shared, ARTIFACT_STORE: this.root };
  }

  get root(): string {
    return join(this.dataDir, 'artifacts');
  }

  /** Where copies of what S3 keeps are. */
  get cache(): string {
    return join(this.dataDir, 'cache/blobs');
  }

  open(more: Environment = {}, databaseId?: string): Promise<ArtifactStore> {
    return openFrom({ ...this.environment, ...more }, databaseId);
  }

  /** Names of everything that is staged, multipart uploads among it. */
  staged(): string[] {
    if (this.kind === 'local') return filesIn(join(this.root, 'staging'));
    const uploads = [...this.server.uploads.values()].map(({ key }) => key);
    return [...this.server.objects.keys(), ...uploads].filter((key) => key.includes('/staging/'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop();
    if (existsSync(this.dataDir)) rmSync(this.dataDir, { recursive: true });
  }
}

/** Stores bytes under their digest, which is answered. */
export async function kept(store: ArtifactStore, content: Buffer): Promise<string> {
  const staged = await store.stage(streamOf(content), content.length);
  await store.keep(staged);
  return staged.digest;
}

export async function bytesOf(
  store: ArtifactStore,
  digest: string,
  range?: { start: number; end: number },
): Promise<Buffer> {
  return buffer(await store.read(digest, range));
}

export const random = (bytes: number): Buffer => randomBytes(bytes);
