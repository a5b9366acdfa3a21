import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { ConfigError, loadConfig, s3PlaceOf } from '#src/platform/config.ts';

const load = (env: Record<string, string>) =>
  loadConfig({ DATABASE_URL: 'postgresql://localhost/x', REDIS_URL: 'redis://localhost', ...env });

test.each([
  ['s3://bucket', { bucket: 'bucket', prefix: '' }],
  ['s3://bucket/', { bucket: 'bucket', prefix: '' }],
  ['s3://my.bucket-1/a/b', { bucket: 'my.bucket-1', prefix: 'a/b' }],
  ['s3://bucket//a/b//', { bucket: 'bucket', prefix: 'a/b' }],
  ['/artifacts', undefined],
  ['s3/bucket', undefined],
])('%s as a place', (store, place) => {
  expect(s3PlaceOf(store)).toEqual(place);
});

test('a folder is made absolute, a place on S3 is left as it is', () => {
  expect(load({ ARTIFACT_STORE: 'some/folder' }).ARTIFACT_STORE).toBe(resolve('some/folder'));
  expect(load({ DATA_DIR: '/data' }).ARTIFACT_STORE).toBe('/data/artifacts');
  expect(load({ ARTIFACT_STORE: 's3://bucket/prefix' }).ARTIFACT_STORE).toBe('s3://bucket/prefix');
});

test.each(['s3://', 's3://Bucket', 's3://bucket/a b', 'https://bucket', 'gs://bucket'])(
  '%s is refused',
  (store) => {
    expect(() => load({ ARTIFACT_STORE: store })).toThrow(/ARTIFACT_STORE: expected a folder, or s3:/);
  },
);

test('half a credential is refused, and none of it is told', () => {
  const half = (): unknown => load({ AWS_SECRET_ACCESS_KEY: 'hunter2' });
  expect(half).toThrow(ConfigError);
  expect(half).not.toThrow(/hunter2/);
});
