/** Deleting a model with all its versions. */
import { requireRole, type Viewer } from '../access/access.ts';
import { changing } from '../ledger/ledger.ts';
import { getModel, modelEvent, type Model } from '../model/model.ts';
import { lockModel, markModelDeleted } from '../model/model.queries.ts';
import { ConflictError, NotFoundError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { release } from './blob.ts';
import { deleteAllOf, listModelReferences, lockAllOf } from './retire.queries.ts';

/**
 * Deletes a model, its versions and aliases, and lets go of all their bytes; the name is free again. What the past says
 * of them stays.
 * @throws NotFoundError, ForbiddenError (needs AUTHOR), ConflictError that names the deployments, the versions of other
 * models that have a parent here, and those that are being read.
 */
export async function deleteModel(platform: Platform, viewer: Viewer, id: string): Promise<Model> {
  const found = await getModel(platform, viewer, id);
  requireRole(viewer, found.projectId, 'AUTHOR', `Model ${found.name}`);
  return changing(platform, found.projectId, viewer, async (tx, append) => {
    const model = await lockModel(tx, id);
    if (!model) throw new NotFoundError(`Model ${found.name}`);
    const references = await listModelReferences(tx, id);
    if (references.length > 0) {
      throw new ConflictError(
        `Model ${model.name} is still referred to: ${references.join(', ')}.`,
        references.join(', '),
        'Undeploy it, and take away what else refers to it, first.',
      );
    }
    const versions = await lockAllOf(tx, id);
    await release(tx, model.projectId, { modelId: id });
    const { at } = await append(modelEvent('MODEL_DELETED', model, { versions }));
    await deleteAllOf(tx, id, at);
    return markModelDeleted(tx, id, at);
  });
}
