/** Finds the version that a reference means. */
import { roleIn, type Viewer } from '../access/access.ts';
import { findAliasAt } from '../alias/alias.history.ts';
import { sequenceAt } from '../ledger/ledger.ts';
import type { Model } from '../model/model.ts';
import { findModelByName } from '../model/model.queries.ts';
import { NotFoundError, ValidationError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { findProject } from '../project/project.ts';
import { findProjects } from '../project/project.queries.ts';
import { parseVersionRef, type VersionRef } from './ref.ts';
import * as queries from './resolve.queries.ts';
import type { ListedVersion } from './version.row.ts';
import { findVersions } from './version.queries.ts';

type NamedRef = Extract<VersionRef, { kind: 'named' }>;
type Path = readonly (string | number)[];

/** `latest` is no alias but the highest number. */
export const LATEST = 'latest';

/**
 * The version that a reference means to the viewer.
 * @param project where a reference without a project is looked for; without one it must name it.
 * @throws ValidationError for what is no reference, NotFoundError when there is none for the viewer.
 */
export async function resolveVersion(
  platform: Platform,
  viewer: Viewer,
  path: Path,
  text: string,
  project?: { readonly name: string },
): Promise<ListedVersion> {
  const ref = parseVersionRef(path, text);
  const start =
    ref.kind === 'id' ? await byId(platform, ref.id) : await byName(platform, viewer, path, ref, project);
  if (!start || !roleIn(viewer, start.projectId)) {
    throw new NotFoundError(`Version ${text}`, await whyNot(platform, viewer, ref, project));
  }
  return walk(platform, start, text, ref.steps);
}

async function byId(platform: Platform, id: string): Promise<ListedVersion | undefined> {
  const [version] = await findVersions(platform.db, [id]);
  return version?.deletedAt === null ? version : undefined;
}

function byName(
  platform: Platform,
  viewer: Viewer,
  path: Path,
  ref: NamedRef,
  project: { readonly name: string } | undefined,
): Promise<ListedVersion | undefined> {
  const { database } = platform;
  const name = ref.project ?? project?.name;
  if (name === undefined) {
    throw ValidationError.of(
      path,
      'a reference with its project, such as demo/fraud:3',
      `no project before ${ref.model}`,
    );
  }
  if ('number' in ref.at) return queries.findByNumber(database, name, ref.model, ref.at.number);
  const { alias, time } = ref.at;
  if (time) return atTime(platform, viewer, path, { project: name, model: ref.model, alias, time });
  if (alias === LATEST) return queries.findLatest(database, name, ref.model);
  return queries.findByAlias(database, name, ref.model, alias);
}

async function atTime(
  platform: Platform,
  viewer: Viewer,
  path: Path,
  past: { project: string; model: string; alias: string; time: Date },
): Promise<ListedVersion | undefined> {
  const project = await findProject(platform, viewer, past.project);
  const model = project && (await findModelByName(platform.db, project.id, past.model));
  if (!model) return undefined;
  const sequence = await sequenceAt(platform, project.id, path.map(String), past.time);
  const id =
    past.alias === LATEST
      ? await queries.findLatestAt(platform.db, model.id, sequence)
      : (await findAliasAt(platform.db, model.id, past.alias, sequence))?.versionId;
  return id ? (await findVersions(platform.db, [id]))[0] : undefined;
}

async function walk(
  platform: Platform,
  start: ListedVersion,
  text: string,
  steps: VersionRef['steps'],
): Promise<ListedVersion> {
  let id: string = start.id;
  for (const step of steps) {
    const next =
      step.kind === 'parent'
        ? step.ordinal === 0
          ? id
          : await queries.findParent(platform.db, id, step.ordinal)
        : await queries.findAncestor(platform.db, id, step.generations);
    if (next === undefined) {
      const missing =
        step.kind === 'parent' ? `parent ${step.ordinal}` : `${step.generations} generation(s) before it`;
      throw new NotFoundError(`Version ${text}`, `On the way there is a version without ${missing}.`);
    }
    id = next;
  }
  if (id === start.id) return start;
  return (await findVersions(platform.db, [id]))[0] as ListedVersion;
}

/** What to look at next: the first part of a reference that there is not. */
async function whyNot(
  platform: Platform,
  viewer: Viewer,
  ref: VersionRef,
  given: { readonly name: string } | undefined,
): Promise<string | null> {
  if (ref.kind === 'id') return null;
  const name = ref.project ?? given?.name ?? '';
  const project = await findProject(platform, viewer, name);
  if (!project) return 'projects { name } lists those that you can see.';
  const model = await findModelByName(platform.db, project.id, ref.model);
  if (!model) return `project(name: "${name}") { models } lists its models; ${ref.model} is none of them.`;
  if ('number' in ref.at) return `The model has had ${model.lastNumber} version(s) so far.`;
  return ref.at.alias === LATEST
    ? 'The model has no version yet.'
    : 'model { aliases { name } } lists the aliases that it has.';
}

const MAX_PARENTS = 8;

/**
 * The ids of a new version's parents, in order.
 * @throws ValidationError for more than 8, one twice, or one of another project; NotFoundError.
 */
export async function resolveParents(
  platform: Platform,
  viewer: Viewer,
  model: Model,
  refs: readonly string[],
): Promise<string[]> {
  if (refs.length > MAX_PARENTS) {
    throw ValidationError.of(['parents'], `at most ${MAX_PARENTS} parents`, String(refs.length));
  }
  const [project] = refs.length > 0 ? await findProjects(platform.db, [model.projectId]) : [];
  const ids: string[] = [];
  for (const [index, ref] of refs.entries()) {
    const path = ['parents', index];
    const parent = await resolveVersion(platform, viewer, path, ref, project);
    if (parent.projectId !== model.projectId) {
      throw ValidationError.of(path, `a version of project ${project?.name}`, `${ref}, of another project`);
    }
    if (ids.includes(parent.id)) throw ValidationError.of(path, 'each parent once', ref);
    ids.push(parent.id);
  }
  return ids;
}
