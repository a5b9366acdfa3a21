/** Versions that may be put into service. */
import type { Viewer } from '../access/access.ts';
import type { Db } from '../platform/database.ts';
import { ConflictError, NotFoundError, NotReadyError, ValidationError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import type { Project } from '../project/project.ts';
import { compareSignatures } from '../signature/compatibility.ts';
import type { Signature } from '../signature/signature.ts';
import { resolveVersion } from '../version/resolve.ts';
import { findVersions, holdVersion } from '../version/version.queries.ts';
import type { VersionRow } from '../version/version.row.ts';

/**
 * A version of the project that can be served.
 * @throws NotFoundError, NotReadyError (it is not READY), ValidationError at `path` (its format cannot be served).
 */
export async function servable(
  platform: Platform,
  viewer: Viewer,
  project: Project,
  path: readonly (string | number)[],
  ref: string,
): Promise<VersionRow> {
  const { id } = await resolveVersion(platform, viewer, path.map(String), ref, project);
  const [version] = await findVersions(platform.db, [id]);
  if (!version) throw new NotFoundError(`Version ${ref}`);
  if (version.projectId !== project.id) throw new NotFoundError(`Version ${ref} in project ${project.name}`);
  checkServable(version, path);
  return version;
}

/** @throws NotReadyError where it is not READY, ValidationError at `path` where its format cannot be served. */
export function checkServable(version: VersionRow, path: readonly (string | number)[]): void {
  if (version.status !== 'READY') {
    throw new NotReadyError(
      `Version ${version.number} is ${version.status}, not READY.`,
      version.status === 'PENDING' || version.status === 'INGESTING' ? 1_000 : null,
      version.statusReason ?? 'Watch Version.operation until it has ended.',
    );
  }
  if (version.modelFile === null) {
    throw ValidationError.of(path, 'a version that can be served, which ONNX models can', version.format, {
      hint: 'Convert the model to ONNX; a version of any other format is only kept.',
    });
  }
}

/** Reasons that are told; a model may have a thousand columns. */
const MOST_TOLD = 5;

/**
 * Callers cannot know which version answers them: what the one takes, the other must.
 * @throws ValidationError at `path` with the reasons.
 */
export function checkCompatible(
  from: Signature | null,
  to: Signature | null,
  path: readonly (string | number)[],
  expected: string,
): void {
  if (!from || !to) return;
  const { compatible, reasons } = compareSignatures(from, to);
  if (compatible) return;
  const hint = 'Query Project.diff tells all differences. Deploy it under a name of its own.';
  const more = reasons.length - MOST_TOLD;
  const found = [...reasons.slice(0, MOST_TOLD), ...(more > 0 ? [`And ${more} more.`] : [])].join(' ');
  throw ValidationError.of(path, expected, found, { hint });
}

/** Keeps a version from being archived or deleted until the transaction ends. @throws NotFoundError, ConflictError */
export async function holdUnarchived(tx: Db, { id, number }: VersionRow): Promise<void> {
  const version = await holdVersion(tx, id);
  if (!version) throw new NotFoundError(`Version ${number}`);
  if (version.archivedAt)
    throw new ConflictError(`Version ${version.number} is archived.`, 'archived', 'Unarchive it first.');
}
