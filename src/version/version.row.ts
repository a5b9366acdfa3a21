import type { Selectable } from 'kysely';
import type { Version } from '../platform/database.generated.ts';

export type VersionRow = Selectable<Version>;
/** A version as it comes in a list: without the signatures, which may have hundreds of columns each. */
export type ListedVersion = Omit<VersionRow, 'givenSignature' | 'signature'>;

/** A version joined as `v`, under names of its own: `joinedColumns` selects it, `fromJoined` reads it. */
export interface JoinedVersion {
  v_id: string | null;
  v_number: number;
  v_status: VersionRow['status'];
  v_status_reason: string | null;
  v_message: string | null;
  v_author_name: string;
  v_author_kind: VersionRow['authorKind'];
  v_created_at: Date;
  v_format: string;
  v_bytes: bigint;
  v_digest: string;
  v_model_file: string | null;
  v_operation_id: string;
}

export const joinedColumns = `
  v.id as v_id, v.number as v_number, v.status as v_status, v.status_reason as v_status_reason, v.message as v_message,
  v.author_name as v_author_name, v.author_kind as v_author_kind, v.created_at as v_created_at, v.format as v_format,
  v.bytes as v_bytes, v.digest as v_digest, v.model_file as v_model_file, v.operation_id as v_operation_id`;

/** The joined version of a model, or null where the outer join found none. */
export function fromJoined(
  row: JoinedVersion,
  model: { id: string; projectId: string },
): ListedVersion | null {
  if (row.v_id === null) return null;
  return {
    id: row.v_id,
    projectId: model.projectId,
    modelId: model.id,
    number: row.v_number,
    status: row.v_status,
    statusReason: row.v_status_reason,
    message: row.v_message,
    authorName: row.v_author_name,
    authorKind: row.v_author_kind,
    createdAt: row.v_created_at,
    format: row.v_format,
    bytes: row.v_bytes,
    digest: row.v_digest,
    modelFile: row.v_model_file,
    operationId: row.v_operation_id,
  };
}
