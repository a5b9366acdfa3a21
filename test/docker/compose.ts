/** What can be wrong with docker-compose.yml, as far as it shows without Docker. */
import { parse } from 'yaml';
import { z } from 'zod';
import { ConfigError, environment, loadConfig, s3PlaceOf, type Config } from '#src/platform/config.ts';
import { commandFaults, imageEnvironment } from './dockerfile.ts';

const service = z.strictObject({
  image: z.string(),
  build: z.literal('.').optional(),
  profiles: z.array(z.literal('s3')).default([]),
  entrypoint: z.array(z.string()).optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).default({}),
  secrets: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  ports: z.array(z.string()).default([]),
  depends_on: z.record(z.string(), z.strictObject({ condition: z.literal('service_healthy') })).default({}),
  healthcheck: z
    .union([
      z.strictObject({ disable: z.literal(true) }),
      z.strictObject({
        test: z.array(z.string()),
        interval: z.string(),
        timeout: z.string(),
        retries: z.int(),
      }),
    ])
    .optional(),
  init: z.literal(true).optional(),
  restart: z.enum(['unless-stopped', 'on-failure']),
  stop_grace_period: z.string().regex(/^\d+s$/),
});

const composeFile = z.strictObject({
  services: z.record(z.string(), service),
  volumes: z.record(z.string(), z.null()),
  secrets: z.record(z.string(), z.strictObject({ file: z.string() })),
});

type Service = z.infer<typeof service>;
type ComposeFile = z.infer<typeof composeFile>;

/** With what is given, and the defaults that stand in the file itself: `${NAME:-default}`, `${NAME-default}`. */
const interpolated = (text: string, given: Readonly<Record<string, string>>): string =>
  text.replaceAll(
    /\$\{([A-Z0-9_]+):?-([^}]*)\}/g,
    (_all, name: string, fallback: string) => given[name] ?? fallback,
  );

const isOurs = ({ build }: Service): boolean => build !== undefined;

/** Where a service finds the others: names, users and passwords on both sides. */
function connectionFaults(config: Config, { services }: ComposeFile): string[] {
  const database = new URL(config.DATABASE_URL);
  const redis = new URL(config.REDIS_URL);
  const postgres = services[database.hostname]?.environment ?? {};
  const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB } = postgres;
  return [
    ...[database, redis]
      .filter(({ hostname }) => !services[hostname])
      .map(({ hostname }) => `no service ${hostname}`),
    ...(POSTGRES_USER === database.username ? [] : ['DATABASE_URL: another user than POSTGRES_USER']),
    ...(POSTGRES_PASSWORD === database.password
      ? []
      : ['DATABASE_URL: another password than POSTGRES_PASSWORD']),
    ...(`/${POSTGRES_DB}` === database.pathname ? [] : ['DATABASE_URL: another database than POSTGRES_DB']),
  ];
}

/** A folder is a volume that all share; a bucket is in a service that makes it, with the same key and secret. */
function storeFaults(config: Config, { volumes }: Service, { services }: ComposeFile): string[] {
  const place = s3PlaceOf(config.ARTIFACT_STORE);
  if (!place) {
    return volumes.includes(`artifacts:${config.ARTIFACT_STORE}`)
      ? []
      : ['ARTIFACT_STORE: not the shared volume'];
  }
  const { hostname, origin } = new URL(config.S3_ENDPOINT ?? '');
  const { MINIO_ROOT_USER, MINIO_ROOT_PASSWORD } = services[hostname]?.environment ?? {};
  const makesIt = Object.values(services).some(
    ({ command = [] }) =>
      command.join(' ').includes(`store/${place.bucket}`) &&
      command.join(' ').includes(`set store ${origin} `),
  );
  return [
    ...(services[hostname]?.profiles.includes('s3') ? [] : [`no service ${hostname} in the profile s3`]),
    ...(MINIO_ROOT_USER === config.AWS_ACCESS_KEY_ID ? [] : ['AWS_ACCESS_KEY_ID: another user than MinIO’s']),
    ...(MINIO_ROOT_PASSWORD === config.AWS_SECRET_ACCESS_KEY
      ? []
      : ['AWS_SECRET_ACCESS_KEY: another password than MinIO’s']),
    ...(makesIt ? [] : [`ARTIFACT_STORE: nobody makes the bucket ${place.bucket}`]),
  ];
}

function accessFaults(config: Config, { secrets, ports }: Service): string[] {
  const secret = /^\/run\/secrets\/(.+)$/.exec(config.ADMIN_TOKEN_FILE ?? '')?.[1];
  const missing = secret !== undefined && !secrets.includes(secret);
  const port = ports[0]?.split(':').at(-1);
  return [
    ...(config.HOST === '127.0.0.1' || secret ? [] : ['HOST: open to others without ADMIN_TOKEN_FILE']),
    ...(missing ? [`ADMIN_TOKEN_FILE: the service has no secret ${secret}`] : []),
    ...(port === undefined || config.HOST === '0.0.0.0'
      ? []
      : ['ports: published, but HOST is the container alone']),
    ...(port === undefined || port === String(config.PORT)
      ? []
      : [`ports: ${port}, but PORT is ${config.PORT}`]),
  ];
}

/** Names that are used must be declared; who is waited for until healthy must tell whether it is. */
function referenceFaults({ volumes, secrets, depends_on: needs }: Service, file: ComposeFile): string[] {
  return [
    ...volumes
      .map((volume) => volume.split(':')[0] ?? '')
      .filter((name) => !(name in file.volumes))
      .map((name) => `volume ${name} is not declared`),
    ...secrets.filter((name) => !(name in file.secrets)).map((name) => `secret ${name} is not declared`),
    ...Object.keys(needs)
      .filter((name) => !('test' in (file.services[name]?.healthcheck ?? {})))
      .map((name) => `waits for ${name}, which has no healthcheck`),
  ];
}

function ourFaults(name: string, one: Service, file: ComposeFile, dockerfile: string): string[] {
  const unknown = Object.keys(one.environment)
    .filter((key) => !(key in environment.shape))
    .map((key) => `${key} is no variable of the configuration`);
  let config: Config;
  try {
    config = loadConfig({ ...imageEnvironment(dockerfile), ...one.environment });
  } catch (error) {
    if (error instanceof ConfigError) return [...unknown, error.message];
    throw error;
  }
  const advertised = config.REPLICA_ADVERTISE_HOST ?? name;
  return [
    ...unknown,
    ...connectionFaults(config, file),
    ...accessFaults(config, one),
    ...storeFaults(config, one, file),
    ...(advertised === name ? [] : [`REPLICA_ADVERTISE_HOST: ${advertised}, but the service is ${name}`]),
    ...(one.command ? commandFaults(one.command, dockerfile) : []),
  ];
}

/**
 * Everything wrong with a compose file beside this Dockerfile, each with the service where it is.
 * @param given variables of the shell that it is started from.
 */
export function composeFaults(
  text: string,
  dockerfile: string,
  given: Readonly<Record<string, string>> = {},
): string[] {
  const parsed = composeFile.safeParse(parse(interpolated(text, given)));
  if (!parsed.success) return parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  const file = parsed.data;
  return Object.entries(file.services).flatMap(([name, one]) =>
    [...referenceFaults(one, file), ...(isOurs(one) ? ourFaults(name, one, file, dockerfile) : [])].map(
      (fault) => `${name}: ${fault}`,
    ),
  );
}
