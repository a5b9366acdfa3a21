/** Taking the risk of a version that the inspection found suspicious. */
import { requireRole, type Viewer } from '../access/access.ts';
import { changing } from '../ledger/ledger.ts';
import { findModels } from '../model/model.queries.ts';
import { checkText } from '../name/name.ts';
import { ConflictError, NotFoundError, ValidationError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { setReleased } from './release.queries.ts';
import { resolveVersion } from './resolve.ts';
import { markReleased } from './safety.queries.ts';
import { versionEvent } from './version.events.ts';
import { lockVersion } from './version.queries.ts';
import type { ListedVersion } from './version.row.ts';

/**
 * Makes a QUARANTINED version READY. The reason stays in the ledger and beside the inspection.
 * @throws NotFoundError, ForbiddenError (needs OPERATOR), ValidationError (no reason), ConflictError (it is not
 * QUARANTINED).
 */
export async function releaseFromQuarantine(
  platform: Platform,
  viewer: Viewer,
  input: { readonly version: string; readonly reason: string },
): Promise<ListedVersion> {
  const found = await resolveVersion(platform, viewer, ['version'], input.version);
  requireRole(viewer, found.projectId, 'OPERATOR', `Version ${input.version}`);
  const reason = checkText(['reason'], input.reason);
  if (!reason?.trim()) throw ValidationError.of(['reason'], 'why the risk is taken', 'nothing');
  const [model] = await findModels(platform.db, [found.modelId]);
  const version = await changing(platform, found.projectId, viewer, async (tx, append) => {
    const locked = await lockVersion(tx, found.id);
    if (!locked || !model) throw new NotFoundError(`Version ${input.version}`);
    if (locked.status !== 'QUARANTINED') {
      throw new ConflictError(
        `Version ${locked.number} is ${locked.status}, not QUARANTINED.`,
        locked.status,
        'Only a version that the inspection found suspicious can be released.',
      );
    }
    const released = await setReleased(tx, found.id);
    const { at } = await append(
      versionEvent('VERSION_RELEASED', model, locked, { reason, found: locked.statusReason }),
    );
    await markReleased(tx, found.id, viewer, reason, at);
    return released;
  });
  platform.announce('version', version.id);
  return version;
}
