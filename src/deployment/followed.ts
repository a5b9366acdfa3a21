/** The alias that a deployment follows. */
import type { Viewer } from '../access/access.ts';
import { isLive } from '../alias/alias.ts';
import { findAlias } from '../alias/alias.queries.ts';
import { findModelByName } from '../model/model.queries.ts';
import { shown } from '../name/name.ts';
import type { DeploymentTarget } from '../platform/database.types.ts';
import { NotFoundError, ValidationError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import type { Project } from '../project/project.ts';
import { parseVersionRef } from '../version/ref.ts';
import { LATEST, resolveVersion } from '../version/resolve.ts';

export interface Followed {
  readonly aliasId: string;
  readonly versionId: string;
}

/**
 * The alias of the project that a text such as `fraud@champion` means, and where it stands.
 * @throws ValidationError at `follows` for what is no alias, NotFoundError.
 */
export async function resolveFollowed(
  platform: Platform,
  viewer: Viewer,
  project: Project,
  target: DeploymentTarget,
  text: string,
): Promise<Followed> {
  const path = ['follows'];
  if (target === 'EXTERNAL')
    throw ValidationError.of(path, 'nothing: what answers is up to the EXTERNAL server', shown(text));
  const ref = parseVersionRef(path, text);
  if (
    ref.kind === 'id' ||
    !('alias' in ref.at) ||
    ref.at.time ||
    ref.steps.length > 0 ||
    ref.at.alias === LATEST
  ) {
    const hint =
      '"latest" is no alias: set one with setAlias, and move it when a version shall go into service.';
    throw ValidationError.of(path, 'an alias, such as fraud@champion', shown(text), { hint });
  }
  const version = await resolveVersion(platform, viewer, path, text, project);
  if (version.projectId !== project.id) throw new NotFoundError(`Alias ${text} in project ${project.name}`);
  const model = await findModelByName(platform.db, project.id, ref.model);
  const alias = model && (await findAlias(platform.db, model.id, ref.at.alias));
  if (!alias || !isLive(alias)) throw new NotFoundError(`Alias ${text}`);
  return { aliasId: alias.id, versionId: alias.versionId };
}
