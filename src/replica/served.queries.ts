import type { Db } from '../platform/database.ts';
import type { Batching } from './process/launch.ts';
import type { Signature } from '../signature/signature.ts';

export interface ServedVersion {
  readonly modelName: string;
  readonly versionNumber: number;
  readonly modelFile: string;
  readonly signature: Signature;
  readonly threads: number;
  readonly batching: Batching;
  /** Of an EXTERNAL deployment: the URL of the model at its server. */
  readonly endpoint: string | null;
}

/** What a replica of a deployment's version has to know. */
export async function findServed(db: Db, versionId: string, deploymentId: string): Promise<ServedVersion> {
  const row = await db
    .selectFrom('version')
    .innerJoin('model', 'model.id', 'version.modelId')
    .innerJoin('deployment', (join) => join.on('deployment.id', '=', deploymentId))
    .select([
      'model.name as modelName',
      'version.number as versionNumber',
      'version.modelFile',
      'version.signature',
      'deployment.threads',
      'deployment.endpoint',
      'deployment.maxBatchRows',
      'deployment.maxBatchDelayMs',
    ])
    .where('version.id', '=', versionId)
    .executeTakeFirstOrThrow();
  if (!row.signature || !row.modelFile) throw new Error(`Version ${versionId} is not READY.`);
  const { maxBatchRows, maxBatchDelayMs, ...served } = row;
  const batching = { maxRows: maxBatchRows, maxDelayMs: maxBatchDelayMs };
  return { ...served, signature: row.signature, modelFile: row.modelFile, batching };
}
