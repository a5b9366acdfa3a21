/** Models: named things that have versions. */
import { may, requireRole, type Viewer } from '../access/access.ts';
import { isDeepStrictEqual } from 'node:util';
import { changing, type LedgerEntry } from '../ledger/ledger.ts';
import { checkName, checkText, sought } from '../name/name.ts';
import { toPageRequest, type Page, type PageArgs } from '../paging/paging.ts';
import { brokenConstraint } from '../platform/database.ts';
import type { LedgerEventType, TagRecord } from '../platform/database.types.ts';
import { ConflictError, NotFoundError } from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { getProject } from '../project/project.ts';
import { changeTags, checkTags } from '../tag/tag.ts';
import * as queries from './model.queries.ts';

export type Model = queries.ModelRow;
export type { ListedModel } from './model.queries.ts';

/**
 * Registers a model in a project.
 * @throws NotFoundError, ForbiddenError (needs AUTHOR), ValidationError, ConflictError when the name is taken.
 */
export async function createModel(
  platform: Platform,
  viewer: Viewer,
  input: { project: string; name: string; description: string | null; tags: readonly TagRecord[] },
): Promise<Model> {
  const project = await getProject(platform, viewer, input.project);
  requireRole(viewer, project.id, 'AUTHOR', `Project ${project.name}`);
  const name = checkName(['name'], input.name);
  const description = checkText(['description'], input.description);
  const tags = checkTags(['tags'], input.tags);
  try {
    return await changing(platform, project.id, viewer, async (tx, append) => {
      const model = await queries.insertModel(tx, {
        id: newId(),
        projectId: project.id,
        name,
        description,
        tags: JSON.stringify(tags),
        createdByName: viewer.name,
        createdByKind: viewer.kind,
      });
      await append(modelEvent('MODEL_CREATED', model, { description, tags }));
      return model;
    });
  } catch (error) {
    if (brokenConstraint(error) !== 'model_name_key') throw error;
    throw new ConflictError(`A model ${name} exists already in ${project.name}.`, name);
  }
}

export interface UpdateModel {
  readonly modelId: string;
  /** null takes it away, undefined leaves it. */
  readonly description: string | null | undefined;
  /** Added, or given their new value. */
  readonly tags: readonly TagRecord[];
  readonly removeTags: readonly string[];
}

/**
 * Changes what is written beside a model. Its name stays: references hold it.
 * @throws NotFoundError, ForbiddenError (needs AUTHOR), ValidationError.
 */
export async function updateModel(platform: Platform, viewer: Viewer, input: UpdateModel): Promise<Model> {
  const found = await getModel(platform, viewer, input.modelId);
  requireRole(viewer, found.projectId, 'AUTHOR', `Model ${found.name}`);
  const description = checkText(['description'], input.description);
  return changing(platform, found.projectId, viewer, async (tx, append) => {
    const model = await queries.lockModel(tx, found.id);
    if (!model) throw new NotFoundError(`Model ${found.name}`);
    const row = await queries.updateModel(tx, model.id, {
      description: input.description === undefined ? model.description : description,
      tags: changeTags(model.tags, { set: input.tags, remove: input.removeTags }),
    });
    if (row.description === model.description && isDeepStrictEqual(row.tags, model.tags)) return row;
    await append(modelEvent('MODEL_UPDATED', row, { description: row.description, tags: row.tags }));
    return row;
  });
}

/** An event of a model, with its name in the data. */
export function modelEvent(
  type: LedgerEventType,
  { id, name }: Model,
  data: Readonly<Record<string, unknown>>,
): LedgerEntry {
  return { type, subject: { type: 'Model', id }, modelId: id, data: { name, ...data } };
}

/** @throws NotFoundError when it does not exist for the viewer. */
export async function getModel(platform: Platform, viewer: Viewer, id: string): Promise<Model> {
  const [model] = await queries.findModels(platform.db, [id]);
  if (!model || model.deletedAt || !may(viewer, model.projectId, 'READER')) throw new NotFoundError('Model');
  return model;
}

/** The model of that name in a project that the viewer may read. */
export function findModel(platform: Platform, projectId: string, name: string): Promise<Model | undefined> {
  return queries.findModelByName(platform.db, projectId, sought(name));
}

/**
 * A page of a project's models by name, with their newest versions.
 * @throws ValidationError for a page size or cursor that cannot be.
 */
export async function listModels(
  platform: Platform,
  projectId: string,
  args: PageArgs,
): Promise<Page<queries.ListedModel>> {
  const request = toPageRequest(args, 1);
  return queries.listModels(platform.database, projectId, request);
}
