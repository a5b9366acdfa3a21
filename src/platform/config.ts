/** The only reader of process.env. Every variable, its default and its meaning stand here; the README's table and docker-compose.yml are checked against it. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { z } from 'zod';

const integer = (fallback: number, min: number, max: number) =>
  z.coerce.number().int().min(min).max(max).default(fallback);
const text = () => z.string().min(1);

/** `s3://bucket` or `s3://bucket/prefix`. */
const s3Place = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/+([\w.~=/-]*?))?\/*$/;

/** Bucket and prefix (without a slash at its ends) of an artifact store on S3; undefined for a folder. */
export function s3PlaceOf(store: string): { readonly bucket: string; readonly prefix: string } | undefined {
  const [, bucket, prefix = ''] = s3Place.exec(store) ?? [];
  return bucket === undefined ? undefined : { bucket, prefix };
}

/** Environment variables by name. `.describe` is what the README shows. */
export const environment = z.object({
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/ })
    .optional()
    .describe('PostgreSQL to use; `npm start` brings its own where this is not set.'),
  REDIS_URL: z
    .url({ protocol: /^rediss?$/ })
    .optional()
    .describe('Redis (or Valkey) to use; `npm start` brings its own where this is not set.'),
  ARTIFACT_STORE: text()
    .refine((value) => !value.includes('://') || s3Place.test(value), {
      message: 'expected a folder, or s3://bucket, or s3://bucket/prefix',
    })
    .optional()
    .describe(
      'Artifact store, shared by every api and worker: a folder, or `s3://bucket/prefix` (the prefix may be left out). Default: `<DATA_DIR>/artifacts`.',
    ),
  DISK_RESERVE_BYTES: integer(1024 ** 3, 0, 1024 ** 5).describe(
    'Room that uploads and copies leave on a disk, in bytes: what would fall below it is refused.',
  ),
  CACHE_BYTES: integer(50 * 1024 ** 3, 0, 1024 ** 5).describe(
    "Most that a host's copies of files from S3 take (`<DATA_DIR>/cache/blobs`), in bytes; those used last stay.",
  ),
  S3_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Where S3 answers, such as `https://minio.example:9000`. Not set: AWS.'),
  S3_REGION: text().default('us-east-1').describe('Region of the bucket.'),
  S3_FORCE_PATH_STYLE: z
    .stringbool()
    .default(false)
    .describe('Whether the bucket stands in the path instead of the host name, as MinIO wants it.'),
  AWS_ACCESS_KEY_ID: text()
    .optional()
    .describe("Key for S3. Not set: what AWS's own tools would find (files, role of the machine)."),
  AWS_SECRET_ACCESS_KEY: text().optional().describe('Secret that goes with `AWS_ACCESS_KEY_ID`.'),
  AWS_SESSION_TOKEN: text().optional().describe('Token that goes with a temporary `AWS_ACCESS_KEY_ID`.'),
  DATA_DIR: text()
    .default('.modelarium')
    .describe('Folder of everything local to this host: embedded services, caches, host id.'),
  HOST: text()
    .default('127.0.0.1')
    .describe('Address the api listens on. Anything but loopback needs `ADMIN_TOKEN_FILE`.'),
  PORT: integer(4000, 0, 65_535).describe('Port of the api; 0 picks a free one.'),
  ADMIN_TOKEN_FILE: text()
    .optional()
    .describe(
      'File whose content (at least 32 characters) is the token of the first ADMIN. Set: every caller needs a token, on loopback too.',
    ),
  PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .transform((url) => url.replace(/\/+$/, ''))
    .optional()
    .describe(
      'Address under which people reach the api, for the links that it hands out; without it they begin with the path.',
    ),
  LINK_SECONDS: integer(900, 10, 604_800).describe('How long a link to a download works, in seconds.'),
  ALLOWED_ORIGINS: z
    .string()
    .default('')
    .transform((list) =>
      list
        .split(',')
        .map((origin) => origin.trim())
        .filter(Boolean),
    )
    .describe(
      'Origins of pages on other hosts that may use the api, separated by commas, such as `https://app.example`.',
    ),
  HOST_ID: text()
    .optional()
    .describe('Name of this host towards the others. Default: kept in `<DATA_DIR>/host-id`.'),
  REPLICA_ADVERTISE_HOST: text()
    .optional()
    .describe(
      "Address under which the apis on other hosts reach this host's replicas. Not set: Unix sockets, for this host only.",
    ),
  EXTERNAL_HOSTS: z
    .string()
    .default('')
    .transform((list) =>
      list
        .split(',')
        .map((host) => host.trim())
        .filter(Boolean),
    )
    .describe(
      'Hosts (with or without port) that EXTERNAL deployments may name, separated by commas. Not set: any.',
    ),
  REDIS_PREFIX: z
    .string()
    .regex(/^[a-z0-9-]{1,64}$/)
    .default('modelarium')
    .describe('Prefix of every Redis key.'),
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('Least level that is logged.'),
  DATABASE_POOL: integer(10, 2, 200).describe('PostgreSQL connections of one process, at most.'),
  MAX_BODY_BYTES: integer(4 * 1024 * 1024, 1024, 1024 ** 3).describe(
    'Largest GraphQL request without files, and largest JSON of an inference request, in bytes.',
  ),
  MAX_INFER_BYTES: integer(256 * 1024 ** 2, 1024, 1024 ** 3).describe(
    'Largest inference request with binary tensors, and largest answer of an EXTERNAL server, in bytes.',
  ),
  MAX_FILE_BYTES: integer(20 * 1024 ** 3, 1024, 1024 ** 4).describe('Largest uploaded file, in bytes.'),
  MAX_VERSION_BYTES: integer(100 * 1024 ** 3, 1024, 1024 ** 4).describe(
    'Largest version, all its files together, in bytes.',
  ),
  PROJECT_QUOTA_BYTES: integer(0, 0, Number.MAX_SAFE_INTEGER).describe(
    'Most bytes that the versions of one project may hold, the same bytes counted once; 0: no limit.',
  ),
  UPLOAD_EXPIRY_SECONDS: integer(86_400, 60, 31_536_000).describe(
    'An upload that nothing has arrived of for this long, or that no version has used, is forgotten, in seconds.',
  ),
  ARTIFACT_GRACE_SECONDS: integer(60, 0, 31_536_000).describe(
    'How long bytes stay in the store once the last version that holds them is deleted, in seconds.',
  ),
  MAX_FILES: integer(64, 1, 1000).describe('Most files in one version.'),
  MAX_ROWS: integer(10_000, 1, 1_000_000).describe('Most rows in one prediction request.'),
  MAX_QUERY_DEPTH: integer(16, 4, 100).describe('Deepest nesting of a GraphQL document.'),
  MAX_QUERY_COST: integer(20_000, 100, 10_000_000).describe(
    'Highest cost of a GraphQL document: fields, multiplied by page sizes.',
  ),
  MAX_QUERY_ALIASES: integer(64, 1, 10_000).describe('Most aliases in a GraphQL document.'),
  INTROSPECTION: z
    .stringbool()
    .default(true)
    .describe('Whether the schema can be asked for; GraphiQL needs it.'),
  PREDICT_TIMEOUT_MS: integer(30_000, 1, 3_600_000).describe(
    'Longest a prediction may take where the caller says nothing, in milliseconds.',
  ),
  OVERLOAD_WAIT_MS: integer(250, 1, 3_600_000).describe(
    "A prediction that would wait for its answer for longer than this, and than four of the model's runs, is refused with OverloadedError, in milliseconds.",
  ),
  PREDICTION_LOG_PER_SECOND: integer(1_000, 0, 100_000).describe(
    'Most requests a second that one api writes to the prediction log; of more, an unbiased sample is kept and the rest counted. 0: none.',
  ),
  PREDICTION_LOG_BYTES_PER_SECOND: integer(8 * 1024 ** 2, 1024, 1024 ** 3).describe(
    'Most bytes of inputs and answers a second that one api writes to the prediction log; beyond that as above.',
  ),
  INGEST_TIMEOUT_SECONDS: integer(300, 1, 86_400).describe(
    'Longest the reading of an uploaded model may take, in seconds.',
  ),
  INGEST_MEMORY_BYTES: integer(4 * 1024 ** 3, 128 * 1024 ** 2, 1024 ** 4).describe(
    'Most resident memory the reading of an uploaded model may use, in bytes.',
  ),
  WORKER_CONCURRENCY: integer(4, 1, 64).describe('Jobs that one worker runs at a time.'),
  REPLICA_LEASE_SECONDS: integer(60, 5, 3600).describe(
    'A replica that no worker has asked after for this long ends itself, in seconds.',
  ),
  REPLICA_START_SECONDS: integer(120, 1, 3600).describe(
    'Longest a replica may take to load and warm up, in seconds.',
  ),
  REPLICA_BUSY_SECONDS: integer(300, 5, 86_400).describe(
    'A replica that has not answered for this long is replaced, however busy it is, in seconds; one that does nothing at all is replaced within seconds.',
  ),
  OPERATION_LEASE_SECONDS: integer(10, 2, 600).describe(
    'A job whose worker has not been heard of for this long is taken over, in seconds.',
  ),
});

type Environment = z.infer<typeof environment>;

/** What is needed to get at the artifacts. */
export interface StoreConfig extends Environment {
  readonly ARTIFACT_STORE: string;
  readonly HOST_ID: string;
}

export interface Config extends StoreConfig {
  readonly DATABASE_URL: string;
  readonly REDIS_URL: string;
}

/** A variable that is wrong or missing; the message names each, with what was expected and found. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

function parse(source: NodeJS.ProcessEnv): Environment {
  const given = Object.fromEntries(
    Object.keys(environment.shape)
      .filter((key) => source[key] !== undefined && source[key] !== '')
      .map((key) => [key, source[key]]),
  );
  const parsed = environment.safeParse(given);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    const secret = /_URL$|^AWS_/.test(name);
    return `${name}: ${issue.message}${secret ? '' : ` (found ${JSON.stringify(source[name])})`}`;
  });
  throw new ConfigError(`Configuration:\n  ${lines.join('\n  ')}`);
}

/** The configuration as far as it is given, for the supervisor, which fills in what is missing. */
export function loadEnvironment(source: NodeJS.ProcessEnv = process.env): Environment {
  const env = parse(source);
  return { ...env, DATA_DIR: resolve(env.DATA_DIR) };
}

function hostIdOf(env: Environment): string {
  if (env.HOST_ID) return env.HOST_ID;
  try {
    return readFileSync(resolve(env.DATA_DIR, 'host-id'), 'utf8').trim();
  } catch {
    return hostname();
  }
}

function placeOf({ DATA_DIR, ARTIFACT_STORE = resolve(DATA_DIR, 'artifacts') }: Environment): string {
  return s3PlaceOf(ARTIFACT_STORE) ? ARTIFACT_STORE : resolve(ARTIFACT_STORE);
}

/**
 * The configuration of a command that works on stored data: whether a database is named there, it sees to itself.
 * @throws ConfigError naming every variable that is wrong.
 */
export function loadStoreConfig(source: NodeJS.ProcessEnv = process.env): StoreConfig {
  const env = loadEnvironment(source);
  if ((env.AWS_ACCESS_KEY_ID === undefined) !== (env.AWS_SECRET_ACCESS_KEY === undefined)) {
    throw new ConfigError(
      'Configuration:\n  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: expected both or none, found one',
    );
  }
  return { ...env, ARTIFACT_STORE: placeOf(env), HOST_ID: hostIdOf(env) };
}

/**
 * The configuration of an api or a worker.
 * @throws ConfigError naming every variable that is wrong or missing.
 */
export function loadConfig(source: NodeJS.ProcessEnv = process.env): Config {
  const env = loadStoreConfig(source);
  const missing = (['DATABASE_URL', 'REDIS_URL'] as const).filter((name) => !env[name]);
  if (missing.length > 0) {
    throw new ConfigError(
      `Configuration:\n  ${missing.map((name) => `${name}: expected a URL, found nothing`).join('\n  ')}\n` +
        'Set it, or use `npm start`, which brings PostgreSQL and Redis along.',
    );
  }
  return {
    ...env,
    DATABASE_URL: env.DATABASE_URL as string,
    REDIS_URL: env.REDIS_URL as string,
  };
}
