/** Restoring: the bytes of an older version as a new one. */
import { requireRole, type Viewer } from '../access/access.ts';
import { getModel } from '../model/model.ts';
import { takeNumber } from '../model/model.queries.ts';
import { checkText } from '../name/name.ts';
import { changing } from '../ledger/ledger.ts';
import { NotFoundError, NotReadyError } from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { findNewest, type NewArtifact } from './creation.queries.ts';
import { checkExpected, insertVersion } from './insert.ts';
import { chargeFiles } from './quota.ts';
import { resolveVersion } from './resolve.ts';
import { holdVersion, listArtifacts, listMetrics, type ArtifactRow } from './version.queries.ts';
import type { Version } from './version.ts';

export interface RestoreVersion {
  /** A reference. */
  readonly version: string;
  readonly message: string | null;
  readonly expectedLatest: number | null;
}

/**
 * Makes a version's bytes, signature, metadata, tags and metrics the newest version of its model, READY at once. Its parents are
 * the newest version until now and the one restored, in this order.
 * @throws NotFoundError, ForbiddenError (needs AUTHOR), ValidationError, NotReadyError (it is not READY, so there is
 * nothing to restore), ConflictError (`expectedLatest`).
 */
export async function restoreVersion(
  platform: Platform,
  viewer: Viewer,
  input: RestoreVersion,
): Promise<Version> {
  const found = await resolveVersion(platform, viewer, ['version'], input.version);
  const model = await getModel(platform, viewer, found.modelId);
  requireRole(viewer, model.projectId, 'AUTHOR', `Model ${model.name}`);
  const message = checkText(['message'], input.message);
  if (found.status !== 'READY') {
    throw new NotReadyError(
      `Version ${found.number} is ${found.status}, not READY.`,
      null,
      'Only what could be served can be restored.',
    );
  }
  return changing(platform, model.projectId, viewer, async (tx) => {
    const number = await takeNumber(tx, model.id);
    const source = await holdVersion(tx, found.id);
    if (number === undefined || !source) throw new NotFoundError(`Version ${input.version}`);
    const newest = await findNewest(tx, model.id);
    checkExpected(input.expectedLatest, newest.number);
    const files = [
      ...(await listArtifacts(tx, [source.id], 'UPLOADED')),
      ...(await listArtifacts(tx, [source.id], 'SERVING')),
    ];
    await chargeFiles(
      platform,
      tx,
      model.projectId,
      files.flatMap(({ role, digest, bytes }) =>
        role === 'UPLOADED' ? [{ digest, bytes: Number(bytes) }] : [],
      ),
    );
    const parents = [...new Set([...(newest.base === null ? [] : [newest.base]), source.id])];
    return insertVersion(tx, model, {
      id: newId(),
      projectId: model.projectId,
      modelId: model.id,
      number,
      status: 'READY',
      message: message ?? `Restores version ${source.number}.`,
      author: viewer,
      format: source.format,
      bytes: Number(source.bytes),
      digest: source.digest,
      givenSignature: source.givenSignature,
      signature: source.signature,
      modelFile: source.modelFile,
      operationId: null,
      metadata: source.metadata && JSON.stringify(source.metadata),
      tags: source.tags,
      metrics: await listMetrics(tx, [source.id]),
      origin: 'RESTORED',
      originVersionId: source.id,
      inspectedAs: source.id,
      artifacts: files.map(copied),
      parents,
    });
  });
}

function copied({ role, path, digest, bytes, mediaType, transform }: ArtifactRow): NewArtifact {
  return { role, path, digest, bytes: Number(bytes), mediaType, transform };
}
