/** Uploads that are refused, cut or wrong: no version and no byte of them is left. */
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { UploadFile } from '#test/helpers/client.ts';
import { filesIn, filesOnce } from '#test/helpers/folder.ts';
import { fixtureFile } from '#test/helpers/models.ts';
import { done, refused } from '#test/helpers/registry.ts';
import { RawForm } from '#test/helpers/raw-form.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { createToken, ingested, sendVersion, versionNow, workDone } from '#test/helpers/work.ts';

const MAX_FILE_BYTES = 1024 * 1024;

let stack: Stack;
/** Bytes in the store, and those on their way to it. */
let kept: string;
let staging: string;

beforeAll(async () => {
  stack = await startStack({ env: { MAX_FILE_BYTES: String(MAX_FILE_BYTES) } });
  kept = join(stack.artifactStore, 'sha256');
  staging = join(stack.artifactStore, 'staging');
  await stack.createModelVersion('good', [fixtureFile('breast-cancer/v1.onnx')]);
});

const versionCount = async (model: string): Promise<number> => {
  const query = `query ($name: String!) { project(name: "test") { model(name: $name) { versions(first: 100) { edges { node { number } } } } } }`;
  const { project } = await stack.data<{ project: { model: { versions: { edges: unknown[] } } } }>(query, {
    name: model,
  });
  return project.model.versions.edges.length;
};

const good = fixtureFile('breast-cancer/v3.onnx');
const bytes = good.content as Buffer;
const named = (name: string, content: Buffer | string): UploadFile => ({ name, content });

const query = `mutation ($input: CreateVersionInput!) { result: createVersion(input: $input) { __typename ...on Version { id } ...on Error { code message hint } ...on ForbiddenError { needs } ...on ValidationError { issues { path expected found } } } }`;
const operations = (model: string, files = 1): object => ({
  query,
  variables: { input: { model, files: Array<null>(files).fill(null) } },
});
const map = { 0: ['variables.input.files.0'] };

test('a model that is not there, and a role that is too low, before the first byte is stored', async () => {
  await stack.project();
  const reader = await createToken(stack, { project: 'test', name: 'reader', role: 'READER' });
  const model = await stack.model('good');
  const missing = Buffer.from('Model:00000000-0000-7000-8000-000000000000').toString('base64');
  const version = Buffer.from('Version:00000000-0000-7000-8000-000000000000').toString('base64');
  const cases = [
    [model, reader.secret, { __typename: 'ForbiddenError', needs: 'AUTHOR' }],
    [missing, undefined, { __typename: 'NotFoundError' }],
    [
      version,
      undefined,
      {
        __typename: 'ValidationError',
        issues: [{ path: ['model'], expected: 'the id of a Model', found: 'the id of a Version' }],
      },
    ],
  ] as const;
  for (const [id, token, expected] of cases) {
    const form = new RawForm(stack.api.url, token).field('operations', operations(id)).field('map', map);
    // The end of the file never comes; the answer does.
    form.file('0', 'model.onnx', bytes.subarray(0, 1000));
    const { status, body } = await form.answer;
    expect(status).toBe(200);
    expect(body.data?.result).toMatchObject(expected);
    expect(filesIn(staging)).toEqual([]);
    form.cut();
  }
});

test('a token that does not work, before the form is read', async () => {
  const form = new RawForm(stack.api.url, 'mdl_this-is-not-a-token').field('operations', {});
  expect(await form.answer).toMatchObject({
    status: 401,
    body: { errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] },
  });
  form.cut();
});

test('an upload that is cut leaves no version and no byte', async () => {
  const model = await stack.model('cut');
  const before = filesIn(kept);
  const form = new RawForm(stack.api.url).field('operations', operations(model)).field('map', map);
  form.file('0', 'model.onnx', bytes);
  await filesOnce(staging, (files) => files.length === 1);
  form.cut();
  await filesOnce(staging, (files) => files.length === 0);
  expect(await versionCount('cut')).toBe(0);
  expect(filesIn(kept)).toEqual(before);
  const next = await ingested(stack, model, [good]);
  expect(next).toMatchObject({ number: 1, status: 'READY' });
});

test('the second of two files is cut: the first is not kept', async () => {
  const model = await stack.model('half');
  const two = { 0: ['variables.input.files.0'], 1: ['variables.input.files.1'] };
  const form = new RawForm(stack.api.url).field('operations', operations(model, 2)).field('map', two);
  form.file('0', 'model.onnx', bytes).write('\r\n').file('1', 'weights.bin', 'some');
  await filesOnce(staging, (files) => files.length === 2);
  form.cut();
  await filesOnce(staging, (files) => files.length === 0);
  expect(await versionCount('half')).toBe(0);
});

const badForms: [string, (form: RawForm, model: string) => RawForm, RegExp][] = [
  [
    'a file before the operation',
    (form) => form.file('0', 'model.onnx', bytes),
    /must come before the files/,
  ],
  [
    'a map before its file is promised',
    (form, model) => form.field('operations', operations(model)).file('0', 'm.onnx', 'x'),
    /must come before the files/,
  ],
  ['a form that ends early', (form, model) => form.field('operations', operations(model)), /ended before/],
  [
    'operations that are no JSON object',
    (form) => form.field('operations', 'text').field('map', map),
    /The part operations/,
  ],
  [
    'a map to nowhere',
    (form, model) =>
      form.field('operations', operations(model)).field('map', { 0: ['variables.input.nope'] }),
    /must be the path of a null/,
  ],
  [
    'a map into what is not the variables',
    (form, model) => form.field('operations', operations(model)).field('map', { 0: ['query'] }),
    /must be the path of a null/,
  ],
  [
    'a map to what inherits',
    (form, model) =>
      form.field('operations', operations(model)).field('map', { 0: ['variables.__proto__.x'] }),
    /must be the path of a null/,
  ],
];
test.each(badForms)('%s', async (_what, fill, message) => {
  const { status, body } = await fill(new RawForm(stack.api.url), await stack.model('good')).end().answer;
  expect(status).toBe(400);
  expect(body.errors).toMatchObject([
    { message: expect.stringMatching(message), extensions: { code: 'BAD_FORM' } },
  ]);
  expect(filesIn(staging)).toEqual([]);
});

test('a file that was promised and does not come', async () => {
  const form = new RawForm(stack.api.url)
    .field('operations', operations(await stack.model('good')))
    .field('map', map);
  const { status, body } = await form.field('other', 1).end().answer;
  expect({ status, body }).toMatchObject({
    status: 200,
    body: {
      errors: [{ message: expect.stringContaining('ended before'), extensions: { code: 'BAD_FORM' } }],
    },
  });
});

test('parts in another order than their places are taken as they come', async () => {
  const model = await stack.model('crossed');
  const crossed = { b: ['variables.input.files.0'], a: ['variables.input.files.1'] };
  const form = new RawForm(stack.api.url).field('operations', operations(model, 2)).field('map', crossed);
  form.file('a', 'weights.bin', fixtureFile('external-data/weights.bin').content).write('\r\n');
  form.file('b', 'model.onnx', fixtureFile('external-data/model.onnx').content);
  const { body } = await form.end().answer;
  expect(body.data?.result['__typename']).toBe('Version');
  const { operation } = await versionNow(stack, body.data?.result['id'] as string);
  expect(await workDone(stack, operation.id)).toMatchObject({ status: 'SUCCEEDED' });
});

test('a file that is too large', async () => {
  const before = filesIn(kept);
  const large = named('model.onnx', Buffer.alloc(MAX_FILE_BYTES + 1));
  const { body } = await sendVersion(stack, await stack.model('large'), [large]);
  expect(body.data?.result).toMatchObject({
    __typename: 'ValidationError',
    hint: 'Raise MAX_FILE_BYTES.',
    issues: [{ path: ['files'], expected: `at most ${MAX_FILE_BYTES} bytes a file` }],
  });
  expect(await versionCount('large')).toBe(0);
  expect([filesIn(kept), filesIn(staging)]).toEqual([before, []]);
});

test.each(['../model.onnx', 'a/../../model.onnx', '/etc/model.onnx', 'a\\\\b.onnx', '..', 'x'.repeat(256)])(
  'the file name %s',
  async (name) => {
    const model = await stack.model('names');
    const form = new RawForm(stack.api.url).field('operations', operations(model)).field('map', map);
    const { body } = await form.file('0', name, bytes).end().answer;
    expect(body.data?.result).toMatchObject({
      __typename: 'ValidationError',
      issues: [{ path: ['files', '0'] }],
    });
    expect(await versionCount('names')).toBe(0);
    expect(filesIn(staging)).toEqual([]);
  },
);

test('two files of one name, no file, and a message that is too long', async () => {
  const model = await stack.model('names');
  const twice = await sendVersion(stack, model, [good, good]);
  expect(twice.body.data?.result).toMatchObject({
    __typename: 'ValidationError',
    issues: [{ expected: 'each file name once' }],
  });
  const none = await stack.data<{ result: object }>(query, { input: { model, files: [] } });
  expect(none.result).toMatchObject({
    __typename: 'ValidationError',
    issues: [{ path: ['files'], found: '0' }],
  });
  const long = { input: { model, files: [], message: 'x'.repeat(10_001) } };
  const { result } = await stack.data<{ result: object }>(query, long);
  expect(result).toMatchObject({ __typename: 'ValidationError', issues: [{ path: ['message'] }] });
});

test('a file that is another one’s folder, whichever way they come: no archive of them could be unpacked', async () => {
  const model = await stack.model('folders');
  const expected = 'no file "a" that is a folder, too';
  const issue = { __typename: 'ValidationError', issues: [{ expected, found: expect.any(String) }] };
  const names = ['b/c', 'b', 'a/b/c', 'a'];
  const clash = (path: string) => ['b/c', 'b/d/e', 'a', path];
  for (const path of ['a/b', 'a/b/c']) {
    const files = clash(path).map((name) => named(name, name));
    const { body } = await sendVersion(stack, model, files);
    expect(body.data?.result).toMatchObject(issue);
    const uploads = await Promise.all(
      clash(path).map(async (name) => {
        const input = { project: 'test', path: name, bytes: 0 };
        return (await done<{ id: string }>(stack, 'createUpload', input, 'id')).id;
      }),
    );
    expect(await refused(stack, 'createVersion', { model, uploads })).toMatchObject(issue);
  }
  const digest = 'a'.repeat(64);
  const artifacts = names.map((path) => ({ path, digest }));
  expect(await refused(stack, 'createVersion', { model, artifacts })).toMatchObject({
    issues: [{ path: ['artifacts', '1', 'path'], expected: 'no file "b" that is a folder, too' }],
  });
});

test('versions of the same files, sent at once in another order: all are made', async () => {
  const models = [await stack.model('left'), await stack.model('right')];
  for (let round = 0; round < 3; round++) {
    const files = Array.from({ length: 40 }, (_none, index) => named(`${index}.bin`, `${round} ${index}`));
    const made = await Promise.all(
      [files, files.toReversed(), files, files.toReversed()].map((sent, index) =>
        sendVersion(stack, models[index % 2] as string, sent),
      ),
    );
    for (const { body } of made) expect(body.data?.result.__typename).toBe('Version');
  }
});
