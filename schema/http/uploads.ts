/**
 * The tus protocol (https://tus.io/protocols/resumable-upload, 1.0.0, with creation, expiration and termination): files
 * over lines that break. The protocol is the library's; what is received, locked and stored is the domain's.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { DataStore, Server, Upload as TusUpload, type Locker } from '@tus/server';
import type { Viewer } from '#src/access/access.ts';
import { DomainError, ValidationError } from '#src/platform/errors.ts';
import type { Lock } from '#src/platform/locks.ts';
import type { Platform } from '#src/platform/platform.ts';
import {
  createUpload,
  discardUpload,
  finishUpload,
  getUpload,
  lockUpload,
  receive,
  receivedBytes,
} from '#src/upload/upload.ts';
import { UPLOADS } from './paths.ts';
import { bodyOf, statusOf, unexpected } from './refusal.ts';

/** Who asks: the library's hooks are not told. */
const asking = new AsyncLocalStorage<Viewer>();

function viewer(): Viewer {
  const found = asking.getStore();
  if (!found) throw new Error('Nobody asks.');
  return found;
}

/** Aborted for an upload whose lock is lost. */
type Receiving = Map<string, AbortController>;

class UploadStore extends DataStore {
  readonly #platform: Platform;
  readonly #receiving: Receiving;

  constructor(platform: Platform, receiving: Receiving) {
    super();
    this.#platform = platform;
    this.#receiving = receiving;
    this.extensions = ['creation', 'expiration', 'termination'];
  }

  /** It was made when it got its id. */
  override async create(upload: TusUpload): Promise<TusUpload> {
    return upload;
  }

  override async getUpload(id: string): Promise<TusUpload> {
    const upload = await getUpload(this.#platform, viewer(), id);
    const offset = Number(await receivedBytes(this.#platform, upload));
    // The library counts from here.
    const touched = new Date(upload.expiresAt.getTime() - this.getExpiration());
    return new TusUpload({ id, offset, size: Number(upload.bytes), creation_date: touched.toISOString() });
  }

  /** Bytes that have arrived stay, whatever comes next; the last ones make the upload whole. */
  override async write(source: Readable, id: string, offset: number): Promise<number> {
    const upload = await getUpload(this.#platform, viewer(), id);
    const lost = this.#receiving.get(id) ?? new AbortController();
    const reached = await receive(this.#platform, upload, offset, source, lost.signal);
    if (BigInt(reached) === upload.bytes) await finishUpload(this.#platform, upload);
    return reached;
  }

  override async remove(id: string): Promise<void> {
    await getUpload(this.#platform, viewer(), id);
    await discardUpload(this.#platform, id);
  }

  override getExpiration(): number {
    return this.#platform.config.UPLOAD_EXPIRY_SECONDS * 1000;
  }
}

/** What the library answers with. */
class Locked extends Error {
  readonly status_code = 423;
  readonly body = 'Another request is sending this upload; it was asked to stop. Try again.\n';
}

/** How long a request waits for the one before it to let go. */
const LOCK_MS = 10_000;

function lockerOf(platform: Platform, receiving: Receiving): Locker {
  return {
    newLock(id) {
      let lock: Lock | undefined;
      return {
        async lock(signal, onAsked) {
          const lost = new AbortController();
          const waiting = AbortSignal.any([signal, AbortSignal.timeout(LOCK_MS)]);
          try {
            const asked = (): void => void onAsked();
            const onLost = (): void => lost.abort();
            lock = await lockUpload(platform, id, { signal: waiting, onAsked: asked, onLost });
          } catch (error) {
            if (waiting.aborted) throw new Locked();
            throw error;
          }
          receiving.set(id, lost);
        },
        async unlock() {
          receiving.delete(id);
          await lock?.release();
        },
      };
    },
  };
}

/** What the client says of a new upload: `project`, `path` (or `filename`) and perhaps `digest`. */
async function create(
  platform: Platform,
  header: string | null,
  metadata: Record<string, string | null> | undefined,
): Promise<string> {
  const { project, path, filename, digest } = metadata ?? {};
  if (!project) throw ValidationError.of(['Upload-Metadata', 'project'], 'the name of a project', 'nothing');
  const name = path ?? filename;
  if (!name) throw ValidationError.of(['Upload-Metadata', 'path'], 'the name of the file', 'nothing');
  if (digest && !/^[0-9a-f]{64}$/.test(digest)) {
    throw ValidationError.of(['Upload-Metadata', 'digest'], '64 lower-case hex digits of a SHA-256', digest);
  }
  const bytes = header !== null && /^\d{1,18}$/.test(header) ? BigInt(header) : undefined;
  if (bytes === undefined)
    throw ValidationError.of(['Upload-Length'], 'a number of bytes', header ?? 'nothing');
  return (await createUpload(platform, viewer(), { project, path: name, bytes, digest: digest ?? null })).id;
}

/** The handler of everything below `/uploads`, for whoever was let in. */
export function uploads(
  platform: Platform,
): (req: IncomingMessage, res: ServerResponse, viewer: Viewer) => Promise<void> {
  const receiving: Receiving = new Map();
  const server = new Server({
    path: UPLOADS,
    datastore: new UploadStore(platform, receiving),
    locker: lockerOf(platform, receiving),
    relativeLocation: true,
    allowedOrigins: (origin) => platform.config.ALLOWED_ORIGINS.includes(origin),
    allowedHeaders: ['authorization'],
    // Before anything of it is looked at: nobody else's upload exists.
    onIncomingRequest: async (_req, id) => {
      await getUpload(platform, viewer(), id);
    },
    namingFunction: (req, metadata) => create(platform, req.headers.get('upload-length'), metadata),
    onResponseError: (_req, error) => {
      if (error instanceof DomainError) return { status_code: statusOf(error), body: bodyOf(error) };
      if (!(error instanceof Error) || error instanceof Locked) return undefined;
      const { status, code, message } = unexpected(error, platform.logger);
      return { status_code: status, body: JSON.stringify({ errors: [{ message, extensions: { code } }] }) };
    },
  });
  return (req, res, who) => asking.run(who, () => server.handle(req, res));
}
