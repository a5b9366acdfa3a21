import type { Selectable } from 'kysely';
import type { Version } from '../platform/database.generated.ts';

export type VersionRow = Selectable<Version>;
/** A version as it comes in a list: without the signatures, which may have hundreds of columns each. */
export type ListedVersion = Omit<VersionRow, 'givenSignature' | 'signature'>;

const names = [
  ['id', 'id'],
  ['project_id', 'projectId'],
  ['model_id', 'modelId'],
  ['number', 'number'],
  ['status', 'status'],
  ['status_reason', 'statusReason'],
  ['message', 'message'],
  ['author_name', 'authorName'],
  ['author_kind', 'authorKind'],
  ['created_at', 'createdAt'],
  ['format', 'format'],
  ['bytes', 'bytes'],
  ['digest', 'digest'],
  ['model_file', 'modelFile'],
  ['operation_id', 'operationId'],
] as const satisfies readonly (readonly [string, keyof ListedVersion])[];

/** Columns of a version joined as `v`, each under the prefix that `fromJoined` reads. */
export const joinedColumns = names.map(([column]) => `v.${column} as v_${column}`).join(', ');

/** The joined version of a row, or null where the outer join found none. */
export function fromJoined(row: Readonly<Record<string, unknown>>): ListedVersion | null {
  if (row['v_id'] === null || row['v_id'] === undefined) return null;
  const version: Record<string, unknown> = {};
  for (const [column, name] of names) version[name] = row[`v_${column}`];
  return version as unknown as ListedVersion;
}
