/** A disk without room: an upload is refused before its first byte, with what to do. */
import { expect, test } from 'vitest';
import { filesIn } from '#test/helpers/folder.ts';
import { fixtureFile } from '#test/helpers/models.ts';
import { startStack } from '#test/helpers/stack.ts';

test('an upload for which there is no room', async () => {
  const stack = await startStack({ env: { DISK_RESERVE_BYTES: String(1024 ** 5) } });
  const query = `mutation ($input: CreateVersionInput!) { result: createVersion(input: $input) {
    __typename ... on OverloadedError { code message hint retryAfterMs } } }`;
  const variables = { input: { model: await stack.model('large'), files: [null] } };
  const { body } = await stack.upload<{ result: object }>(
    { query, variables },
    { 'variables.input.files.0': fixtureFile('iris/v1.onnx') },
  );
  expect(body.data?.result).toMatchObject({
    __typename: 'OverloadedError',
    code: 'OVERLOADED',
    hint: expect.stringContaining('DISK_RESERVE_BYTES'),
    retryAfterMs: 30_000,
  });
  expect(filesIn(stack.artifactStore)).toEqual(['store-id']);
  expect((await fetch(`${stack.api.url}/health/ready`)).status).toBe(200);
});
