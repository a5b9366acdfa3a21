/** What the ledger says of versions. */
import type { LedgerEntry } from '../ledger/ledger.ts';
import type { LedgerEventType } from '../platform/database.types.ts';
import type { ReportedMetric } from './annotation.ts';
import type { VersionRow } from './version.row.ts';

interface Named {
  readonly id: string;
  readonly name: string;
}

export const metricsByName = (metrics: readonly ReportedMetric[]): Record<string, number> =>
  Object.fromEntries(metrics.map(({ name, value }) => [name, value]));

export function versionCreated(
  model: Named,
  version: VersionRow,
  parents: readonly string[],
  metrics: readonly ReportedMetric[],
): LedgerEntry {
  const { number, status, digest, format, message, origin, originVersionId, tags, metadata } = version;
  return versionEvent('VERSION_CREATED', model, version, {
    status,
    digest,
    bytes: Number(version.bytes),
    format,
    message,
    parents,
    origin,
    restoredFrom: originVersionId,
    tags,
    metadata,
    metrics: metricsByName(metrics),
    number,
  });
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
