/** Aliases: names of a model's that stand for one of its versions and move by compare-and-set. */
import { requireRole, type Viewer } from '../access/access.ts';
import { changing, type Append } from '../ledger/ledger.ts';
import { getModel, type Model } from '../model/model.ts';
import { lockModel } from '../model/model.queries.ts';
import { findProjects } from '../project/project.queries.ts';
import { checkName, shown, sought } from '../name/name.ts';
import type { Db } from '../platform/database.ts';
import type { LedgerEventType } from '../platform/database.types.ts';
import { ConflictError, ForbiddenError, NotFoundError, ValidationError } from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { LATEST, resolveVersion } from '../version/resolve.ts';
import { findVersions, holdVersion } from '../version/version.queries.ts';
import type { ListedVersion } from '../version/version.row.ts';
import * as queries from './alias.queries.ts';

export type Alias = queries.LiveAlias;
export type { AliasMove } from './alias.history.ts';

/** Whether an alias stands for a version; one that was deleted stands for none. */
export const isLive = (alias: queries.AliasRow): alias is Alias => alias.versionId !== null;

const MAX_ALIASES = 200;

export interface SetAlias {
  readonly modelId: string;
  readonly name: string;
  /** A reference. */
  readonly version: string;
  /** A reference to the version that it is believed to stand for; null: it is believed to stand for nothing. */
  readonly expected: string | null;
  /** null: as it is; a new one is not protected. */
  readonly protected: boolean | null;
}

/**
 * Makes an alias stand for a version, if it stands where the caller believes.
 * @throws NotFoundError, ValidationError, ForbiddenError (needs AUTHOR; OPERATOR where it is or becomes protected),
 * ConflictError with the version it stands for when that is not the expected one.
 */
export async function setAlias(platform: Platform, viewer: Viewer, input: SetAlias): Promise<Alias> {
  const model = await getModel(platform, viewer, input.modelId);
  requireRole(viewer, model.projectId, 'AUTHOR', `Model ${model.name}`);
  const name = checkAliasName(input.name);
  const [project] = await findProjects(platform.db, [model.projectId]);
  const find = async (path: string, ref: string): Promise<ListedVersion> => {
    const version = await resolveVersion(platform, viewer, [path], ref, project);
    if (version.modelId === model.id) return version;
    throw ValidationError.of([path], `a version of ${model.name}`, `${ref}, of another model`);
  };
  const version = await find('version', input.version);
  const expected = input.expected === null ? null : await find('expected', input.expected);
  return changing(platform, model.projectId, viewer, async (tx, append) => {
    // First, as whoever deletes the model or a version does.
    if (!(await lockModel(tx, model.id))) throw new NotFoundError(`Model ${model.name}`);
    const alias = await queries.lockAlias(tx, {
      id: newId(),
      projectId: model.projectId,
      modelId: model.id,
      name,
      movedAt: new Date(0),
      movedByName: viewer.name,
      movedByKind: viewer.kind,
    });
    const held = await holdVersion(tx, version.id);
    if (!held) throw new NotFoundError(`Version ${input.version}`);
    checkStanding(held);
    const isProtected = input.protected ?? alias.protected;
    if (alias.protected || isProtected) requireOperator(viewer, alias);
    const current = await standing(tx, alias);
    checkExpected(model, alias, current, expected);
    if (!current && (await queries.countAliases(tx, model.id)) >= MAX_ALIASES) {
      throw new ConflictError(`${model.name} has ${MAX_ALIASES} aliases, the most there may be.`, null);
    }
    const change: Change = { tx, append, viewer, model, alias, current };
    return move(change, held, isProtected);
  });
}

/** The locked alias, where it stands, and who moves it. */
interface Change {
  readonly tx: Db;
  readonly append: Append;
  readonly viewer: Viewer;
  readonly model: Model;
  readonly alias: queries.AliasRow;
  readonly current: ListedVersion | undefined;
}

async function move(change: Change, version: ListedVersion, isProtected: boolean): Promise<Alias> {
  const { tx, append, viewer, alias, current } = change;
  if (current?.id !== version.id) {
    const { at } = await append(event('ALIAS_MOVED', change, version, isProtected));
    const to = { versionId: version.id, protected: isProtected, at, by: viewer };
    return (await queries.moveAlias(tx, alias.id, to)) as Alias;
  }
  if (alias.protected === isProtected) return alias as Alias;
  await append(event(isProtected ? 'ALIAS_PROTECTED' : 'ALIAS_UNPROTECTED', change, version, isProtected));
  return (await queries.setProtected(tx, alias.id, isProtected)) as Alias;
}

function event(type: LedgerEventType, change: Change, to: ListedVersion | null, isProtected: boolean) {
  const { model, alias, current } = change;
  return {
    type,
    subject: { type: 'Alias', id: alias.id } as const,
    modelId: model.id,
    data: {
      model: model.name,
      name: alias.name,
      from: current?.number ?? null,
      previous: current?.id ?? null,
      to: to?.number ?? null,
      version: to?.id ?? null,
      protected: isProtected,
    },
  };
}

/**
 * Deletes an alias, if it stands where the caller believes; its history stays.
 * @returns what it was.
 * @throws as setAlias does.
 */
export async function deleteAlias(
  platform: Platform,
  viewer: Viewer,
  input: { modelId: string; name: string; expected: string },
): Promise<Alias> {
  const model = await getModel(platform, viewer, input.modelId);
  requireRole(viewer, model.projectId, 'AUTHOR', `Model ${model.name}`);
  const name = sought(input.name);
  const [project] = await findProjects(platform.db, [model.projectId]);
  const expected = await resolveVersion(platform, viewer, ['expected'], input.expected, project);
  const known = await queries.findAlias(platform.db, model.id, name);
  if (!known?.versionId) throw new NotFoundError(`Alias ${model.name}@${name}`);
  return changing(platform, model.projectId, viewer, async (tx, append) => {
    if (!(await lockModel(tx, model.id))) throw new NotFoundError(`Model ${model.name}`);
    const alias = await queries.lockAlias(tx, known);
    const current = await standing(tx, alias);
    if (!current) throw new NotFoundError(`Alias ${model.name}@${name}`);
    if (alias.protected) requireOperator(viewer, alias);
    checkExpected(model, alias, current, expected);
    const { at } = await append(
      event('ALIAS_DELETED', { tx, append, viewer, model, alias, current }, null, false),
    );
    await queries.moveAlias(tx, alias.id, { versionId: null, protected: false, at, by: viewer });
    return alias as Alias;
  });
}

function checkAliasName(value: string): string {
  const name = checkName(['name'], value);
  if (name.toLowerCase() !== LATEST) return name;
  throw ValidationError.of(['name'], 'a name that is not reserved', shown(name), {
    hint: '"latest" always stands for the version of the highest number.',
  });
}

/** @throws ConflictError for a version that nobody should be pointed at. */
function checkStanding({ number, status, archivedAt }: ListedVersion): void {
  if (status === 'REJECTED') {
    throw new ConflictError(`Version ${number} was rejected.`, status, 'Take a version that is READY.');
  }
  if (archivedAt) {
    throw new ConflictError(`Version ${number} is archived.`, 'archived', 'Unarchive it first.');
  }
}

async function standing(tx: Db, alias: queries.AliasRow): Promise<ListedVersion | undefined> {
  return alias.versionId === null ? undefined : (await findVersions(tx, [alias.versionId]))[0];
}

/** @throws ForbiddenError */
function requireOperator(viewer: Viewer, { projectId, name }: queries.AliasRow): void {
  try {
    requireRole(viewer, projectId, 'OPERATOR', `Alias ${name}`);
  } catch (error) {
    if (!(error instanceof ForbiddenError)) throw error;
    throw new ForbiddenError(`Alias ${name} is protected. ${error.message}`, 'OPERATOR', error.hint);
  }
}

/** @throws ConflictError with the present version. */
function checkExpected(
  model: Model,
  alias: queries.AliasRow,
  current: ListedVersion | undefined,
  expected: ListedVersion | null,
): void {
  if ((current?.id ?? null) === (expected?.id ?? null)) return;
  const found = current ? `stands for version ${current.number}` : 'does not exist';
  const wanted = expected ? `version ${expected.number} was expected` : 'none was expected';
  throw new ConflictError(
    `${model.name}@${alias.name} ${found}; ${wanted}.`,
    current ? `${model.name}:${current.number}` : null,
    current
      ? `If you still want to move it, give expected: "${model.name}:${current.number}".`
      : 'If you still want to set it, leave expected out.',
  );
}
