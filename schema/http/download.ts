/**
 * Downloads: a file of a version or all of them, in parts where asked for (RFC 9110, range requests), by whoever may
 * have them or has a link.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { create as contentDisposition } from 'content-disposition';
import parseRange from 'range-parser';
import type { Viewer } from '#src/access/access.ts';
import type { OpenFile } from '#src/platform/artifact-store.ts';
import { DomainError, NotFoundError } from '#src/platform/errors.ts';
import type { Platform } from '#src/platform/platform.ts';
import {
  checkOutAll,
  checkOutFile,
  cut,
  followLink,
  requireBytes,
  type Checkout,
  type Part,
} from '#src/version/checkout.ts';
import { resolveVersion } from '#src/version/resolve.ts';
import type { ListedVersion } from '#src/version/version.row.ts';
import { refOf } from '../global-id.ts';
import { parseDownloadPath } from './paths.ts';
import { refuseWith } from './refusal.ts';
import { refuse } from './request.ts';

/** Lets in whoever asks without a link; undefined for those who have been told that they may not. */
export type Admit = (req: IncomingMessage, res: ServerResponse) => Promise<Viewer | undefined>;

/** The handler of everything below `/versions`. */
export function downloads(
  platform: Platform,
  admit: Admit,
): (req: IncomingMessage, res: ServerResponse, url: URL) => Promise<void> {
  return async (req, res, url) => {
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      return refuse(res, 405, 'METHOD_NOT_ALLOWED', 'Downloads are asked for by GET or HEAD.', {
        allow: 'GET, HEAD',
      });
    }
    const asked = parseDownloadPath(url.pathname);
    try {
      if (!asked)
        throw new NotFoundError(
          url.pathname,
          'There are /versions/<version>/files/<path> and …/archive.tar.',
        );
      const version = await versionOf(platform, admit, req, res, url, asked);
      if (!version) return;
      const { path } = asked;
      const checkout =
        path === null ? await checkOutAll(platform, version) : await checkOutFile(platform, version, path);
      await send(platform, req, res, checkout);
    } catch (error) {
      if (!(error instanceof DomainError) || res.headersSent) throw error;
      refuseWith(res, error);
    }
  };
}

async function versionOf(
  platform: Platform,
  admit: Admit,
  req: IncomingMessage,
  res: ServerResponse,
  { searchParams }: URL,
  asked: { readonly version: string; readonly path: string | null },
): Promise<ListedVersion | undefined> {
  const [signature, expires] = [searchParams.get('signature'), Number(searchParams.get('expires'))];
  if (signature !== null) {
    return followLink(platform, { versionId: asked.version, path: asked.path, expires }, signature);
  }
  const viewer = await admit(req, res);
  if (!viewer) return undefined;
  const ref = refOf(['version'], 'Version', asked.version);
  const version = await resolveVersion(platform, viewer, ['version'], ref);
  requireBytes(viewer, version);
  return version;
}

/** Whoever has the same bytes: compared weakly, as a proxy that packs an answer weakens its tag. */
const matches = (header: string, etag: string): boolean =>
  header === '*' || header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);

/** Which part is asked for; undefined: all of it. `unsatisfiable` where there is no such part. */
function rangeOf(
  { method, headers }: IncomingMessage,
  { size, etag }: Checkout,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const { range, 'if-range': condition } = headers;
  // Parts are for GET alone; and of a weak tag nothing is known but that the bytes mean the same.
  if (method !== 'GET' || range === undefined || (condition !== undefined && condition !== etag))
    return undefined;
  const ranges = parseRange(size, range);
  if (ranges === -1) return 'unsatisfiable';
  // Several parts at once may be answered with all of it.
  if (ranges === -2 || ranges.type !== 'bytes' || ranges.length !== 1) return undefined;
  return ranges[0];
}

async function send(
  platform: Platform,
  req: IncomingMessage,
  res: ServerResponse,
  checkout: Checkout,
): Promise<void> {
  const { size, etag, digest } = checkout;
  const headers = {
    etag,
    'accept-ranges': 'bytes',
    'last-modified': checkout.createdAt.toUTCString(),
    // A reference may mean another version soon; its bytes are told apart by their tag.
    'cache-control': 'private, no-cache',
  };
  if (matches(req.headers['if-none-match'] ?? '', etag)) {
    res.writeHead(304, headers).end();
    return;
  }
  const range = rangeOf(req, checkout);
  if (range === 'unsatisfiable') {
    const message = `The file has ${size} bytes.`;
    return refuse(res, 416, 'RANGE_NOT_SATISFIABLE', message, { 'content-range': `bytes */${size}` });
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  // Before the answer begins: bytes that cannot be had are refused in words.
  const content =
    req.method === 'HEAD' ? undefined : await opened(platform, cut(checkout.segments, { start, end }));
  res.writeHead(range ? 206 : 200, {
    ...headers,
    ...(range ? { 'content-range': `bytes ${start}-${end}/${size}` } : {}),
    ...(digest === null
      ? {}
      : { 'repr-digest': `sha-256=:${Buffer.from(digest, 'hex').toString('base64')}:` }),
    'content-type': checkout.mediaType,
    'content-length': end - start + 1,
    'content-disposition': contentDisposition(checkout.fileName),
    // Whatever it is: never opened within the page.
    'x-content-type-options': 'nosniff',
    'content-security-policy': "sandbox; default-src 'none'",
  });
  if (content) await pour(platform, res, content);
  else res.end();
}

/** What is to be sent; the first of the parts that are kept is there. */
interface Content {
  readonly parts: readonly Part[];
  readonly begun: OpenFile | undefined;
}

/** @throws NotFoundError, NotReadyError */
async function opened({ store }: Platform, parts: readonly Part[]): Promise<Content> {
  const first = parts.find((part): part is Exclude<Part, Buffer> => !Buffer.isBuffer(part));
  return { parts, begun: first && (await store.open(first.digest, first)) };
}

async function pour(platform: Platform, res: ServerResponse, { parts, begun }: Content): Promise<void> {
  let left = begun;
  try {
    for (const part of parts) {
      if (Buffer.isBuffer(part)) {
        res.write(part);
        continue;
      }
      const file = left ?? (await platform.store.open(part.digest, part));
      left = undefined;
      await file.pour(res);
    }
    res.end();
  } catch (error) {
    await left?.close();
    // Whoever asked has gone, or finds the answer too short and asks for the rest.
    const hasGone = (error as NodeJS.ErrnoException).code === 'ERR_STREAM_PREMATURE_CLOSE';
    if (!hasGone) platform.logger.warn({ err: error }, 'download broke off');
    res.destroy();
  }
}
