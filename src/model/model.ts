/** Models: named things that have versions. */
import { may, requireRole, type Viewer } from '../access/access.ts';
import { checkName, checkText, shown } from '../name/name.ts';
import { toPageRequest, type Page } from '../paging/paging.ts';
import { brokenConstraint } from '../platform/database.ts';
import type { TagRecord } from '../platform/database.types.ts';
import { ConflictError, NotFoundError, ValidationError } from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { getProject } from '../project/project.ts';
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
    return await queries.insertModel(platform.db, {
      id: newId(),
      projectId: project.id,
      name,
      description,
      tags: JSON.stringify(tags),
      createdByName: viewer.name,
      createdByKind: viewer.kind,
    });
  } catch (error) {
    if (brokenConstraint(error) !== 'model_name_key') throw error;
    throw new ConflictError(`A model ${name} exists already in ${project.name}.`, name);
  }
}

const MAX_TAGS = 50;
const MAX_TAG_VALUE = 200;

function checkTags(path: readonly string[], tags: readonly TagRecord[]): TagRecord[] {
  if (tags.length > MAX_TAGS) throw ValidationError.of(path, `at most ${MAX_TAGS} tags`, String(tags.length));
  const seen = new Set<string>();
  return tags.map((tag, index) => {
    const at = [...path, String(index)];
    const key = checkName([...at, 'key'], tag.key);
    if (seen.has(key)) throw ValidationError.of([...at, 'key'], 'each key once', shown(key));
    seen.add(key);
    const value = checkText([...at, 'value'], tag.value) ?? '';
    if (value.length > MAX_TAG_VALUE) {
      throw ValidationError.of([...at, 'value'], `at most ${MAX_TAG_VALUE} characters`, `${value.length}`);
    }
    return { key, value };
  });
}

/** @throws NotFoundError when it does not exist for the viewer. */
export async function getModel(platform: Platform, viewer: Viewer, id: string): Promise<Model> {
  const [model] = await queries.findModels(platform.db, [id]);
  if (!model || !may(viewer, model.projectId, 'READER')) throw new NotFoundError('Model');
  return model;
}

/** The model of that name in a project that the viewer may read. */
export function findModel(platform: Platform, projectId: string, name: string): Promise<Model | undefined> {
  return queries.findModelByName(platform.db, projectId, name.normalize('NFC'));
}

/**
 * A page of a project's models by name, with their newest versions.
 * @throws ValidationError for a page size or cursor that cannot be.
 */
export async function listModels(
  platform: Platform,
  projectId: string,
  args: { first?: number | null | undefined; after?: string | null | undefined },
): Promise<Page<queries.ListedModel>> {
  const request = toPageRequest(args, 1);
  return queries.listModels(platform.database, projectId, request);
}
