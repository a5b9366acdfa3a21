/** What the ledger says of versions. */
import type { LedgerEntry } from '../ledger/ledger.ts';
import type { LedgerEventType } from '../platform/database.types.ts';
import type { ReportedMetric } from './annotation.ts';
import type { NewVersion } from './creation.queries.ts';

interface Named {
  readonly id: string;
  readonly name: string;
}

export const metricsByName = (metrics: readonly ReportedMetric[]): Record<string, number> =>
  Object.fromEntries(metrics.map(({ name, value }) => [name, value]));

/** But for its parents, which are added as it is written. */
export function versionCreated(model: Named, version: NewVersion): LedgerEntry {
  const { id, number, status, digest, bytes, format, message, origin, originVersionId, tags } = version;
  const metadata = version.metadata === null ? null : (JSON.parse(version.metadata) as unknown);
  const metrics = metricsByName(version.metrics);
  const restoredFrom = originVersionId;
  const data = { status, digest, bytes, format, message, origin, restoredFrom, tags, metadata, metrics };
  return versionEvent('VERSION_CREATED', model, { id, number }, data);
}

/** An event of a version, with its name in the data. */
export function versionEvent(
  type: LedgerEventType,
  model: Named,
  version: { readonly id: string; readonly number: number },
  data: Readonly<Record<string, unknown>> = {},
): LedgerEntry {
  return {
    type,
    subject: { type: 'Version', id: version.id },
    modelId: model.id,
    data: { model: model.name, number: version.number, ...data },
  };
}
