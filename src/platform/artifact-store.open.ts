/** The artifact store that the configuration names. */
import { join } from 'node:path';
import { openLocalStore } from './artifact-store.local.ts';
import type { ArtifactStore } from './artifact-store.ts';
import { s3PlaceOf, type StoreConfig } from './config.ts';

export interface StoreOptions {
  /** Whose store it is: it keeps the id, and nobody else can use it. */
  readonly databaseId: string;
  /** Told the causes of failures that callers hear of in general only. */
  readonly onFault: (error: Error) => void;
}

/**
 * Opens the folder, or the place on S3, that ARTIFACT_STORE names.
 * @throws Error when it belongs to another database, or cannot be used.
 */
export async function openStore(
  config: StoreConfig,
  { databaseId, onFault }: StoreOptions,
): Promise<ArtifactStore> {
  const shared = { hostId: config.HOST_ID, databaseId, reserveBytes: config.DISK_RESERVE_BYTES };
  const place = s3PlaceOf(config.ARTIFACT_STORE);
  if (!place) return openLocalStore({ ...shared, root: config.ARTIFACT_STORE });
  // Only where it is wanted: AWS's SDK takes 50 MB and a fifth of a second.
  const { openS3Store } = await import('./artifact-store.s3.ts');
  return openS3Store({
    ...shared,
    ...place,
    onFault,
    endpoint: config.S3_ENDPOINT,
    region: config.S3_REGION,
    forcePathStyle: config.S3_FORCE_PATH_STYLE,
    credentials: credentialsOf(config),
    cacheFolder: join(config.DATA_DIR, 'cache/blobs'),
    cacheBytes: config.CACHE_BYTES,
  });
}

function credentialsOf({ AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN }: StoreConfig) {
  if (AWS_ACCESS_KEY_ID === undefined || AWS_SECRET_ACCESS_KEY === undefined) return undefined;
  return {
    accessKeyId: AWS_ACCESS_KEY_ID,
    secretAccessKey: AWS_SECRET_ACCESS_KEY,
    ...(AWS_SESSION_TOKEN === undefined ? {} : { sessionToken: AWS_SESSION_TOKEN }),
  };
}
