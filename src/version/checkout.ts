/** A version's bytes on their way out: a file, or all of them as a tar archive. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { requireRole, roleIn, type Viewer } from '../access/access.ts';
import { findModels } from '../model/model.queries.ts';
import { shown } from '../name/name.ts';
import { ForbiddenError, NotFoundError, NotReadyError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { tarEnd, tarHeader, tarPadding } from './tar.ts';
import type { Artifact } from './version.ts';
import { findVersions, listArtifacts } from './version.queries.ts';
import type { ListedVersion } from './version.row.ts';

/** Bytes that are here, or a kept file's. */
export type Segment = { readonly bytes: Buffer } | { readonly digest: string; readonly size: number };

export interface Checkout {
  readonly segments: readonly Segment[];
  /** In bytes. */
  readonly size: number;
  /** Changes with the bytes. */
  readonly etag: string;
  readonly mediaType: string;
  /** What to call it where it is saved. */
  readonly fileName: string;
  readonly createdAt: Date;
  /** SHA-256 of all of it; null for an archive. */
  readonly digest: string | null;
}

/**
 * Lets pass who may have a version's bytes: READER once it is READY, OPERATOR while it is QUARANTINED.
 * @throws ForbiddenError, NotReadyError while it is being read, NotFoundError when its bytes are gone.
 */
export function requireBytes(viewer: Viewer, version: ListedVersion): void {
  const what = `Version ${version.number}`;
  requireRole(viewer, version.projectId, 'READER', what);
  if (version.deletedAt !== null) {
    throw new NotFoundError(`The bytes of version ${version.number}`, 'It was deleted.');
  }
  if (version.status === 'PENDING' || version.status === 'INGESTING') {
    throw new NotReadyError(`${what} is being read.`, 1_000, 'Watch Version.operation until it has ended.');
  }
  if (version.status === 'REJECTED') {
    throw new NotFoundError(
      `The bytes of version ${version.number}`,
      'It was rejected: nothing of it is kept.',
    );
  }
  if (version.status !== 'QUARANTINED' || roleIn(viewer, version.projectId) === null) return;
  try {
    requireRole(viewer, version.projectId, 'OPERATOR', what);
  } catch (error) {
    if (!(error instanceof ForbiddenError)) throw error;
    throw new ForbiddenError(
      `${what} is QUARANTINED: opening it may do harm.`,
      'OPERATOR',
      'Ask an OPERATOR to look into it and to release it.',
    );
  }
}

/** One file of a version. @throws NotFoundError */
export async function checkOutFile(
  platform: Platform,
  version: ListedVersion,
  path: string,
): Promise<Checkout> {
  const files = await listArtifacts(platform.db, [version.id], 'UPLOADED');
  const file = files.find((one) => one.path === path.normalize('NFC'));
  if (!file) {
    throw new NotFoundError(
      `File ${shown(path)} of version ${version.number}`,
      `Its files are ${files.map((one) => one.path).join(', ')}.`,
    );
  }
  return {
    segments: [{ digest: file.digest, size: Number(file.bytes) }],
    size: Number(file.bytes),
    etag: `"${file.digest}"`,
    mediaType: file.mediaType,
    fileName: path.split('/').at(-1) ?? path,
    createdAt: version.createdAt,
    digest: file.digest,
  };
}

/** All files of a version in a folder `<model>-<number>`; the same bytes each time. */
export async function checkOutAll(platform: Platform, version: ListedVersion): Promise<Checkout> {
  const [model] = await findModels(platform.db, [version.modelId]);
  const files = await listArtifacts(platform.db, [version.id], 'UPLOADED');
  const folder = `${model?.name ?? 'model'}-${version.number}`;
  const segments = [...files.flatMap((file) => entry(folder, file, version.createdAt)), { bytes: tarEnd }];
  return {
    segments,
    size: segments.reduce((sum, segment) => sum + sizeOf(segment), 0),
    etag: `"${version.id}.tar"`,
    mediaType: 'application/x-tar',
    fileName: `${folder}.tar`,
    createdAt: version.createdAt,
    digest: null,
  };
}

function entry(folder: string, { path, digest, bytes }: Artifact, mtime: Date): Segment[] {
  const size = Number(bytes);
  return [
    { bytes: tarHeader({ name: `${folder}/${path}`, size, mtime }) },
    { digest, size },
    { bytes: tarPadding(size) },
  ];
}

const sizeOf = (segment: Segment): number => ('bytes' in segment ? segment.bytes.length : segment.size);

/** Bytes that are here, or a part of a kept file; both ends inclusive. */
export type Part = Buffer | { readonly digest: string; readonly start: number; readonly end: number };

/** The parts of segments between two places, both inclusive. */
export function cut(
  segments: readonly Segment[],
  { start, end }: { readonly start: number; readonly end: number },
): Part[] {
  let at = 0;
  return segments.flatMap((segment): Part[] => {
    const [from, to] = [Math.max(0, start - at), Math.min(sizeOf(segment) - 1, end - at)];
    at += sizeOf(segment);
    if (from > to) return [];
    return 'bytes' in segment
      ? [segment.bytes.subarray(from, to + 1)]
      : [{ digest: segment.digest, start: from, end: to }];
  });
}

/** What a link stands for. */
export interface Link {
  readonly versionId: string;
  /** null: the archive of all. */
  readonly path: string | null;
  /** In seconds since 1970. */
  readonly expires: number;
}

/** Shows that this installation made a link: HMAC-SHA256 of all that it says. */
export function signLink({ linkKey }: Platform, { versionId, path, expires }: Link): string {
  return createHmac('sha256', linkKey)
    .update(JSON.stringify([versionId, path, expires]))
    .digest('base64url');
}

/**
 * The version of a link.
 * @throws ForbiddenError for one that has expired or was not made here, NotFoundError when its bytes are gone.
 */
export async function followLink(platform: Platform, link: Link, signature: string): Promise<ListedVersion> {
  const [expected, given] = [Buffer.from(signLink(platform, link)), Buffer.from(signature)];
  const isOurs = expected.length === given.length && timingSafeEqual(expected, given);
  if (!isOurs || link.expires * 1000 < Date.now()) {
    throw new ForbiddenError(
      'This link has expired, or is not one of ours.',
      'READER',
      'Ask for `downloadUrl` again.',
    );
  }
  const [version] = await findVersions(platform.db, [link.versionId]);
  if (!version || version.deletedAt !== null || version.status === 'REJECTED') {
    throw new NotFoundError('The version of this link');
  }
  return version;
}
