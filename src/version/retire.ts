/** Versions that are no longer wanted: archived, which can be taken back, or deleted, which cannot. */
import { requireRole, type Viewer } from '../access/access.ts';
import { changing } from '../ledger/ledger.ts';
import { findModels, lockModel } from '../model/model.queries.ts';
import { ConflictError, NotFoundError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { release } from './blob.ts';
import { listReferences, markArchived, markDeleted } from './retire.queries.ts';
import { resolveVersion } from './resolve.ts';
import type { Version } from './version.ts';
import { versionEvent } from './version.events.ts';
import { lockVersion } from './version.queries.ts';
import type { ListedVersion } from './version.row.ts';

/**
 * Marks a version as archived, or takes the mark away; one that is as wanted stays as it is. An archived version
 * cannot be deployed, nor get an alias; what it has stays.
 * @throws NotFoundError, ForbiddenError (needs AUTHOR), ValidationError.
 */
export async function setArchived(
  platform: Platform,
  viewer: Viewer,
  ref: string,
  archived: boolean,
): Promise<ListedVersion> {
  const version = await resolveVersion(platform, viewer, ['version'], ref);
  requireRole(viewer, version.projectId, 'AUTHOR', `Version ${ref}`);
  const [model] = await findModels(platform.db, [version.modelId]);
  return changing(platform, version.projectId, viewer, async (tx, append) => {
    const locked = await lockVersion(tx, version.id);
    if (!locked || !model) throw new NotFoundError(`Version ${ref}`);
    if ((locked.archivedAt !== null) === archived) return locked;
    const type = archived ? 'VERSION_ARCHIVED' : 'VERSION_UNARCHIVED';
    const { at } = await append(versionEvent(type, model, locked));
    return markArchived(tx, version.id, archived ? at : null);
  });
}

/**
 * Deletes a version and lets go of its bytes, which the sweep frees ARTIFACT_GRACE_SECONDS later. Its number is not given again, and what the past says of it stays: a
 * reference to a time finds it, marked as deleted.
 * @throws NotFoundError, ForbiddenError (needs AUTHOR), ValidationError, ConflictError that names what still refers to
 * it, and while it is being read.
 */
export async function deleteVersion(platform: Platform, viewer: Viewer, ref: string): Promise<Version> {
  const version = await resolveVersion(platform, viewer, ['version'], ref);
  requireRole(viewer, version.projectId, 'AUTHOR', `Version ${ref}`);
  return changing(platform, version.projectId, viewer, async (tx, append) => {
    const model = await lockModel(tx, version.modelId);
    const locked = model && (await lockVersion(tx, version.id));
    if (!locked) throw new NotFoundError(`Version ${ref}`);
    if (locked.status === 'PENDING' || locked.status === 'INGESTING') {
      throw new ConflictError(
        `Version ${locked.number} is being read.`,
        locked.status,
        'Cancel its operation, or wait until it has ended.',
      );
    }
    const references = await listReferences(tx, version.id);
    if (references.length > 0) {
      throw new ConflictError(
        `Version ${locked.number} is still referred to: ${references.join(', ')}.`,
        references.join(', '),
        'Take those away first, or archive the version.',
      );
    }
    await release(tx, locked.projectId, { versionId: locked.id });
    const { at } = await append(versionEvent('VERSION_DELETED', model, locked));
    return markDeleted(tx, version.id, at);
  });
}
