/** Projects: each holds its models, deployments and tokens, and is the boundary of access. */
import { roleIn, type Viewer } from '../access/access.ts';
import { changing } from '../ledger/ledger.ts';
import { checkName, checkText, sought } from '../name/name.ts';
import { brokenConstraint } from '../platform/database.ts';
import { ConflictError, ForbiddenError, NotFoundError } from '../platform/errors.ts';
import { isId, newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import * as queries from './project.queries.ts';

export type Project = queries.ProjectRow;

/**
 * Creates a project. Only who is ADMIN everywhere may.
 * @throws ForbiddenError, ValidationError, ConflictError when the name is taken.
 */
export async function createProject(
  platform: Platform,
  viewer: Viewer,
  input: { name: string; description: string | null },
): Promise<Project> {
  if (viewer.everywhere !== 'ADMIN') {
    throw new ForbiddenError('Creating a project needs an ADMIN of all projects.', 'ADMIN');
  }
  const name = checkName(['name'], input.name);
  const description = checkText(['description'], input.description);
  try {
    const id = newId();
    return await changing(platform, id, viewer, async (tx, append) => {
      const project = await queries.insertProject(tx, {
        id,
        name,
        description,
        createdByName: viewer.name,
        createdByKind: viewer.kind,
      });
      await append({
        type: 'PROJECT_CREATED',
        subject: { type: 'Project', id },
        data: { name, description },
      });
      return project;
    });
  } catch (error) {
    if (brokenConstraint(error) !== 'project_name_key') throw error;
    throw new ConflictError(`A project ${name} exists already.`, name);
  }
}

/** The project of that name, if it exists for the viewer. */
export async function findProject(
  platform: Platform,
  viewer: Viewer,
  name: string,
): Promise<Project | undefined> {
  const project = await queries.findProjectByName(platform.database, sought(name));
  return project && roleIn(viewer, project.id) ? project : undefined;
}

/** @throws NotFoundError when it does not exist for the viewer. */
export async function getProject(platform: Platform, viewer: Viewer, name: string): Promise<Project> {
  const project = await findProject(platform, viewer, name);
  if (!project) throw new NotFoundError(`Project ${name}`, 'projects { name } lists those that you can see.');
  return project;
}

/** The project of that id or name. @throws NotFoundError when it does not exist for the viewer. */
export async function resolveProject(platform: Platform, viewer: Viewer, ref: string): Promise<Project> {
  if (!isId(ref)) return getProject(platform, viewer, ref);
  const [project] = await queries.findProjects(platform.db, [ref]);
  if (!project || !roleIn(viewer, project.id)) throw new NotFoundError('Project');
  return project;
}

/** Every project that the viewer can see, by name; at most 1,000. */
export function listProjects(platform: Platform, viewer: Viewer): Promise<Project[]> {
  return queries.listProjects(platform.db, viewer.everywhere ? null : (viewer.project?.id ?? null));
}
