/** Docker runs nowhere in these tests: the files are read, and held against the configuration and the project. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { composeFaults } from './compose.ts';
import { dockerfileFaults, healthCommand, imageCommand, projectFile } from './dockerfile.ts';

const compose = projectFile('docker-compose.yml');
const dockerfile = projectFile('Dockerfile');

/** A copy with one thing changed, which must be there. */
function changed(text: string, from: string, to: string): string {
  expect(text).toContain(from);
  return text.replace(from, to);
}

test('the Dockerfile and docker-compose.yml fit the configuration and the project', () => {
  expect(dockerfileFaults(dockerfile)).toEqual([]);
  expect(composeFaults(compose, dockerfile)).toEqual([]);
});

describe('with its artifacts on S3', () => {
  const given = { ARTIFACT_STORE: 's3://modelarium', S3_PASSWORD: 'something-else' };

  test('the services find MinIO, its bucket, and the way in', () => {
    expect(composeFaults(compose, dockerfile, given)).toEqual([]);
    expect(compose).toContain('ARTIFACT_STORE=s3://modelarium');
    for (const image of compose.matchAll(/image: (minio\S+)/g)) {
      expect(image[1]).toMatch(/:RELEASE\.\d{4}-\d\d-\d\dT/);
    }
  });

  test.each([
    ['S3_ENDPOINT-http://minio:', 'S3_ENDPOINT-http://store:', 'api: no service store in the profile s3'],
    ['MINIO_ROOT_USER: ${S3_USER:-modelarium}', 'MINIO_ROOT_USER: root', /api: AWS_ACCESS_KEY_ID/],
    ['MINIO_ROOT_PASSWORD: ${S3_PASSWORD:-', 'MINIO_ROOT_PASSWORD: ${OTHER:-', /api: AWS_SECRET_ACCESS_KEY/],
    ['store/modelarium', 'store/models', 'api: ARTIFACT_STORE: nobody makes the bucket modelarium'],
    ['- minio:/data', '- models:/data', 'minio: volume models is not declared'],
  ])('a compose file with `%s` as `%s` is told from a right one', (from, to, fault) => {
    const message = typeof fault === 'string' ? fault : (expect.stringMatching(fault) as unknown);
    expect(composeFaults(changed(compose, from, to), dockerfile, given)).toContainEqual(message);
  });
});

test.each([
  ['HOST: 0.0.0.0', 'HOSTNAME: 0.0.0.0', 'api: HOSTNAME is no variable of the configuration'],
  ['HOST: 0.0.0.0', "HOST: 0.0.0.0\n      PORT: '70000'", /PORT: .*70000/],
  ['HOST: 0.0.0.0', "HOST: 0.0.0.0\n      PORT: '4001'", 'api: ports: 4000, but PORT is 4001'],
  ['REDIS_URL: redis://redis', 'REDIS_URL: http://redis', /api: .*\n.*REDIS_URL/],
  ['@postgres:5432', '@database:5432', 'api: no service database'],
  [
    'POSTGRES_DB: modelarium',
    'POSTGRES_DB: models',
    'worker: DATABASE_URL: another database than POSTGRES_DB',
  ],
  [
    'ADMIN_TOKEN_FILE: /run',
    'LOG_LEVEL: info\n      # /run',
    'api: HOST: open to others without ADMIN_TOKEN_FILE',
  ],
  ['secrets/admin-token', 'secrets/token', 'api: ADMIN_TOKEN_FILE: the service has no secret token'],
  ['file: ./admin-token', 'path: ./admin-token', /secrets\.admin-token/],
  ['artifacts:/artifacts', 'artifacts:/models', 'api: ARTIFACT_STORE: not the shared volume'],
  ['ADVERTISE_HOST: worker', 'ADVERTISE_HOST: api', /worker: REPLICA_ADVERTISE_HOST: api/],
  ['workers/main.ts]', 'workers/start.ts]', 'worker: command: workers/start.ts does not exist'],
  ['[node, schema/server.ts]', '[npm, run, api]', 'api: command npm: expected node'],
  ['test: [CMD, pg_isready', 'tests: [CMD, pg_isready', /services\.postgres\.healthcheck/],
  ['restart: unless-stopped', 'restart: sometimes', /services\.postgres\.restart/],
])('a compose file with `%s` as `%s` is told from a right one', (from, to, fault) => {
  const message = typeof fault === 'string' ? fault : (expect.stringMatching(fault) as unknown);
  expect(composeFaults(changed(compose, from, to), dockerfile)).toContainEqual(message);
});

test.each([
  ['COPY workers ./workers', 'COPY jobs ./jobs', 'COPY: jobs does not exist'],
  ['COPY schema ./schema', 'COPY test ./test', 'COPY: .dockerignore keeps test back'],
  ['COPY schema ./schema\n', '', 'command: schema/server.ts is not copied'],
  ['DATA_DIR=', 'DATA_FOLDER=', 'ENV: DATA_FOLDER is no variable of the configuration'],
  ['USER node', 'USER root', 'USER: runs as root'],
  ['node:24-', 'node:20-', 'FROM: expected Node 24, found 20'],
])('a Dockerfile with `%s` as `%s` is told from a right one', (from, to, fault) => {
  expect(dockerfileFaults(changed(dockerfile, from, to))).toContain(fault);
});

test("the image is an api's, and compose says the same", () => {
  expect(compose).toContain(`command: [${imageCommand(dockerfile).join(', ')}]`);
});

test('the health check of the image goes by what the api says', async () => {
  let status = 200;
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/health/ready' ? status : 404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const [program, ...args] = healthCommand(dockerfile);
  expect(program).toBe('node');
  const exitCode = async (): Promise<number | null> => {
    const child = execFile(process.execPath, args, { env: { PORT: String(port) } });
    await once(child, 'exit');
    return child.exitCode;
  };
  expect(await exitCode()).toBe(0);
  status = 503;
  expect(await exitCode()).toBe(1);
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
  expect(await exitCode()).toBe(1);
});
