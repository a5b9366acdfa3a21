/** Versions: immutable bytes with what they mean. */
import { isDeepStrictEqual } from 'node:util';
import { requireRole, type Viewer } from '../access/access.ts';
import { changing } from '../ledger/ledger.ts';
import type { Model } from '../model/model.ts';
import { findModels } from '../model/model.queries.ts';
import { sought } from '../name/name.ts';
import { toPage, toPageRequest, type Page, type PageArgs } from '../paging/paging.ts';
import type { TagRecord, VersionStatus } from '../platform/database.types.ts';
import { NotFoundError, ValidationError } from '../platform/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { changeTags } from '../tag/tag.ts';
import { checkMetadata, checkMetrics, MAX_METRICS, type ReportedMetric } from './annotation.ts';
import { annotate, putMetrics } from './annotation.queries.ts';
import { resolveVersion } from './resolve.ts';
import { metricsByName, versionEvent } from './version.events.ts';
import * as queries from './version.queries.ts';
import type { ListedVersion, PagedVersion, VersionRow } from './version.row.ts';

export type Version = VersionRow;
export type { ListedVersion, PagedVersion } from './version.row.ts';
export type Artifact = queries.ArtifactRow;

/** A page of a model's versions, newest first; those of some statuses only, where any are given. */
export async function listVersions(
  platform: Platform,
  model: Model,
  args: PageArgs,
  statuses: readonly VersionStatus[] | null,
): Promise<Page<PagedVersion>> {
  const request = toPageRequest(args, 1);
  return toPage(await queries.listVersions(platform.database, model.id, statuses, request), request);
}

export interface UpdateVersion {
  /** A reference. */
  readonly version: string;
  /** Added, or given their new value. */
  readonly tags: readonly TagRecord[];
  readonly removeTags: readonly string[];
  /** Takes the place of what was there; null takes it away, undefined leaves it. */
  readonly metadata: unknown;
  /** Added, or given their new value. */
  readonly metrics: readonly ReportedMetric[];
  readonly removeMetrics: readonly string[];
}

/**
 * Changes what is written beside a version; what it is, stays.
 * @throws NotFoundError, ForbiddenError (needs AUTHOR), ValidationError.
 */
export async function updateVersion(
  platform: Platform,
  viewer: Viewer,
  input: UpdateVersion,
): Promise<ListedVersion> {
  const found = await resolveVersion(platform, viewer, ['version'], input.version);
  requireRole(viewer, found.projectId, 'AUTHOR', `Version ${input.version}`);
  const metadata = input.metadata === undefined ? undefined : checkMetadata(['metadata'], input.metadata);
  const metrics = checkMetrics(['metrics'], input.metrics);
  const remove = input.removeMetrics.map(sought);
  const both = metrics.find(({ name }) => remove.includes(name));
  if (both) throw ValidationError.of(['removeMetrics'], 'names that are not in `metrics`', both.name);
  const [model] = await findModels(platform.db, [found.modelId]);
  return changing(platform, found.projectId, viewer, async (tx, append) => {
    const version = await queries.lockVersion(tx, found.id);
    if (!version || !model) throw new NotFoundError(`Version ${input.version}`);
    const changesTags = input.tags.length + input.removeTags.length > 0;
    const tags = changesTags
      ? changeTags(version.tags, { set: input.tags, remove: input.removeTags })
      : version.tags;
    const changesMetrics = metrics.length + remove.length > 0;
    const after = changesMetrics ? await putMetrics(tx, version, metrics, remove) : [];
    if (after.length > MAX_METRICS) {
      throw ValidationError.of(['metrics'], `at most ${MAX_METRICS} metrics`, String(after.length));
    }
    if (!changesTags && !changesMetrics && metadata === undefined) return version;
    const row = await annotate(tx, version.id, { tags, ...(metadata === undefined ? {} : { metadata }) });
    const before = { tags: version.tags, metadata: version.metadata };
    if (!changesMetrics && isDeepStrictEqual(before, { tags: row.tags, metadata: row.metadata })) return row;
    await append(
      versionEvent('VERSION_UPDATED', model, row, {
        ...(changesTags ? { tags: row.tags } : {}),
        ...(metadata === undefined ? {} : { metadata: row.metadata }),
        ...(changesMetrics ? { metrics: metricsByName(after) } : {}),
      }),
    );
    return row;
  });
}
