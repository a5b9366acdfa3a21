/**
 * The tus protocol (https://tus.io/protocols/resumable-upload, 1.0.0, with creation, expiration and termination): files
 * over lines that break. The protocol is the library's; what is received, locked and stored is the domain's.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { DataStore, ERRORS, Server, Upload as TusUpload, type Locker } from '@tus/server';
import type { Viewer } from '#src/access/access.ts';
import { DomainError, NotFoundError, ValidationError } from '#src/platform/errors.ts';
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
  type Receiving,
  type Upload,
} from '#src/upload/upload.ts';
import { UPLOADS } from './paths.ts';
import { bodyOf, statusOf, unexpected } from './refusal.ts';
import { cutOff } from './request.ts';

/** A request that is being answered. */
interface Asked {
  readonly viewer: Viewer;
  readonly req: IncomingMessage;
  /** The upload that it has made. */
  made?: string;
  /** What the library was told of the upload. */
  shown?: TusUpload;
}

/** Who asks, and for what: the library's hooks are not told. */
const asking = new AsyncLocalStorage<Asked>();

function asked(): Asked {
  const found = asking.getStore();
  if (!found) throw new Error('Nobody asks.');
  return found;
}

/** The locks under which uploads are received. */
type Locks = Map<string, Receiving>;

class UploadStore extends DataStore {
  readonly #platform: Platform;
  readonly #locks: Locks;

  constructor(platform: Platform, locks: Locks) {
    super();
    this.#platform = platform;
    this.#locks = locks;
    this.extensions = ['creation', 'expiration', 'termination'];
  }

  /** It was made when it got its id. */
  override async create(upload: TusUpload): Promise<TusUpload> {
    return upload;
  }

  override async getUpload(id: string): Promise<TusUpload> {
    const upload = await getUpload(this.#platform, asked().viewer, id);
    const received = await receivedBytes(this.#platform, upload);
    // The library counts from here.
    const touched = new Date(upload.expiresAt.getTime() - this.getExpiration());
    const shown = new TusUpload({
      id,
      offset: Number(isSentAgain(upload) ? 0n : received),
      size: Number(upload.bytes),
      creation_date: touched.toISOString(),
    });
    asked().shown = shown;
    return shown;
  }

  /** Bytes that have arrived stay, whatever comes next; the last ones make the upload whole. */
  override async write(source: Readable, id: string, offset: number): Promise<number> {
    const upload = await getUpload(this.#platform, asked().viewer, id);
    const lock = this.#locks.get(id);
    if (!lock) throw new Error(`Upload ${id} is received without its lock.`);
    const reached = await receive(this.#platform, upload, offset, source, lock);
    if (BigInt(reached) === upload.bytes) await finishUpload(this.#platform, upload);
    const { shown } = asked();
    if (shown) shown.creation_date = new Date().toISOString();
    return reached;
  }

  override async remove(id: string): Promise<void> {
    await getUpload(this.#platform, asked().viewer, id);
    if (!(await discardUpload(this.#platform, id))) throw new NotFoundError(`Upload ${id}`);
  }

  override getExpiration(): number {
    return this.#platform.config.UPLOAD_EXPIRY_SECONDS * 1000;
  }
}

/**
 * Whether a client sends bytes from the start that were held under their digest before it began. It may not know: what
 * answers the making of an upload does not say how much is there.
 */
function isSentAgain({ storedAt, expectedDigest }: Upload): boolean {
  const { method, headers } = asked().req;
  return (
    storedAt !== null && expectedDigest !== null && method === 'PATCH' && headers['upload-offset'] === '0'
  );
}

/** What the library answers with. */
class Locked extends Error {
  readonly status_code = 423;
  readonly body = 'Another request sends this upload, or the lock on it was lost. Try again.\n';
}

/** How long a request waits for the one before it to let go. */
const LOCK_MS = 10_000;

function lockerOf(platform: Platform, locks: Locks): Locker {
  return {
    newLock(id) {
      let lock: Lock | undefined;
      return {
        async lock(signal, onAsked) {
          const lost = new AbortController();
          const waiting = AbortSignal.any([signal, AbortSignal.timeout(LOCK_MS)]);
          try {
            const letGo = (): void => void onAsked();
            const onLost = (): void => lost.abort();
            lock = await lockUpload(platform, id, { signal: waiting, onAsked: letGo, onLost });
          } catch (error) {
            if (waiting.aborted) throw new Locked();
            throw error;
          }
          locks.set(id, { signal: lost.signal, confirm: () => confirmed(lock, lost) });
        },
        async unlock() {
          locks.delete(id);
          await lock?.release();
        },
      };
    },
  };
}

/** @throws as when the loss of the lock is noticed. */
async function confirmed(lock: Lock | undefined, lost: AbortController): Promise<void> {
  await lock?.confirm().catch(() => lost.abort());
  lost.signal.throwIfAborted();
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
  const input = { project, path: name, bytes, digest: digest ?? null };
  const { id } = await createUpload(platform, asked().viewer, input);
  asked().made = id;
  return id;
}

/** The handler of everything below `/uploads`, for whoever was let in. */
export function uploads(
  platform: Platform,
): (req: IncomingMessage, res: ServerResponse, viewer: Viewer) => Promise<void> {
  const locks: Locks = new Map();
  const server = new Server({
    path: UPLOADS,
    datastore: new UploadStore(platform, locks),
    locker: lockerOf(platform, locks),
    relativeLocation: true,
    allowedOrigins: (origin) => platform.config.ALLOWED_ORIGINS.includes(origin),
    allowedHeaders: ['authorization'],
    // Before anything of it is looked at: nobody else's upload exists.
    onIncomingRequest: async (_req, id) => {
      await getUpload(platform, asked().viewer, id);
    },
    namingFunction: (req, metadata) => create(platform, req.headers.get('upload-length'), metadata),
    onResponseError: async (_req, error) => {
      const { made } = asked();
      // Nobody will ever know of it. What this cannot take away, the sweep does.
      if (made !== undefined) await discardUpload(platform, made).catch(() => undefined);
      if (error instanceof DomainError) return { status_code: statusOf(error), body: bodyOf(error) };
      // The library says 400, which no client would try again.
      if (error === ERRORS.ABORTED) return new Locked();
      if (!(error instanceof Error) || error instanceof Locked) return undefined;
      const { status, code, message } = unexpected(error, platform.logger);
      return { status_code: status, body: JSON.stringify({ errors: [{ message, extensions: { code } }] }) };
    },
  });
  return (req, res, viewer) => {
    prepare(req);
    stayOpen(req, res);
    return asking.run({ viewer, req }, () => server.handle(req, res));
  };
}

/**
 * Lets a client that is still sending read why it is refused: behind an answer that says `connection: close` node closes
 * the line at once, and what is sent after that resets it before the answer is read.
 */
function stayOpen(req: IncomingMessage, res: ServerResponse): void {
  const writeHead = res.writeHead.bind(res) as (...args: unknown[]) => ServerResponse;
  res.writeHead = (...args: unknown[]): ServerResponse => {
    if (!req.complete) {
      res.shouldKeepAlive = true;
      const headers = args.at(-1);
      if (Array.isArray(headers))
        args[args.length - 1] = headers.filter(
          (_text, index) => String(headers[index - (index % 2)]).toLowerCase() !== 'connection',
        );
      res.once('finish', () => cutOff(req));
    }
    return writeHead(...args);
  };
}

/** Methods that something between may not let through. */
const HIDDEN_METHODS = ['PATCH', 'DELETE', 'HEAD'];

/** What the library leaves to others, or takes amiss. */
function prepare(req: IncomingMessage): void {
  const method = String(req.headers['x-http-method-override'] ?? '').toUpperCase();
  if (req.method === 'POST' && HIDDEN_METHODS.includes(method)) req.method = method;
  // No use is made of it, and behind two proxies it names two.
  req.rawHeaders = req.rawHeaders.filter(
    (_text, index, all) => all[index - (index % 2)]?.toLowerCase() !== 'x-forwarded-proto',
  );
}
