/** createVersion: files that come in, files that are refused, and what is left of them. */
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { UploadFile } from '#test/helpers/client.ts';
import { filesIn, filesOnce } from '#test/helpers/folder.ts';
import { breastCancerColumns, breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { RawForm } from '#test/helpers/raw-form.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import {
  cancelOperation,
  createToken,
  createVersion,
  ingested,
  sendVersion,
  versionNow,
  workDone,
  workIn,
  type CreatedVersion,
} from '#test/helpers/work.ts';
import { buildModel, endlessLoop, identityModel } from '#test/onnx/build-model.ts';

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
const unknownOperator = buildModel({
  ...identityModel,
  nodes: [{ op: 'Frobnicate', domain: 'com.example', inputs: ['x'], outputs: ['y'] }],
  opsets: { '': 17, 'com.example': 1 },
});

describe('rejected', () => {
  const external = fixtureFile('external-data/model.onnx');
  const cases: [string, UploadFile[], object | undefined, RegExp][] = [
    ['text', [named('model.onnx', 'Not a model at all, just words.\n')], undefined, /model\.onnx: .*text/],
    ['another format', [named('model.onnx', Buffer.from('PK\x03\x04and more'))], undefined, /ZIP archive/],
    [
      'a truncated file',
      [named('cut.onnx', bytes.subarray(0, bytes.length / 2))],
      undefined,
      /cut\.onnx: .*(truncated|ends|cut)/i,
    ],
    ['an empty file', [named('empty.onnx', '')], undefined, /empty/],
    ['an operator that the runtime lacks', [named('odd.onnx', unknownOperator)], undefined, /Frobnicate/],
    [
      'external data that is not there',
      [external],
      undefined,
      /needs the file weights\.bin, which was not uploaded/,
    ],
    [
      'external data that is too short',
      [external, named('weights.bin', 'short')],
      undefined,
      /weights\.bin is too short/,
    ],
    ['a file too many', [good, named('other.bin', 'x')], undefined, /does not use the file other\.bin/],
    ['two models', [good, fixtureFile('iris/v1.onnx')], undefined, /one model; found 2/],
    ['too many classes', [good], { classes: ['a', 'b', 'c'] }, /class/],
    [
      'too few columns',
      [good],
      { columns: breastCancerColumns.slice(1).map((name) => ({ name })) },
      /column|fed/,
    ],
    ['a column of an unknown input', [good], { columns: [{ name: 'a', input: 'nope' }] }, /no input "nope"/],
    ['a positive class of none', [good], { ...breastCancerSignature, positiveClass: 'both' }, /both/],
    ['the wrong task', [good], { task: 'REGRESSION' }, /REGRESSION|regression/],
  ];

  test.each(cases)('%s', async (what, files, signature, reason) => {
    const before = filesIn(kept);
    const model = await stack.model(`rejected ${what}`.replaceAll(' ', '-'));
    const { id, operation } = await createVersion(
      stack,
      model,
      files,
      signature as Record<string, unknown> | undefined,
    );
    const work = await workDone(stack, operation.id);
    const version = await versionNow(stack, id);
    expect(version).toMatchObject({ status: 'REJECTED', statusReason: expect.stringMatching(reason) });
    expect(version.statusReason).not.toMatch(/\/onnxruntime_src|\.cc:|node_modules|\n {4}at |\/tmp\//);
    expect(work).toMatchObject({
      status: 'FAILED',
      error: { code: 'REJECTED', message: version.statusReason },
    });
    // Its bytes go right after the commit that tells of the rejection.
    expect(await filesOnce(stack.artifactStore, () => filesIn(kept).length <= before.length)).toBeDefined();
    expect(filesIn(kept)).toEqual(before);
    expect(filesIn(staging)).toEqual([]);
  });
});

describe('refused', () => {
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
});

describe('taken', () => {
  test('twenty at once are numbered 1 to 20, and their bytes are kept once', async () => {
    const model = await stack.model('many');
    const before = filesIn(kept);
    const versions = await Promise.all(
      Array.from({ length: 20 }, () => createVersion(stack, model, [fixtureFile('iris/v2.onnx')])),
    );
    const numbers = versions.map(({ number }) => number).toSorted((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(filesIn(kept)).toHaveLength(before.length + 1);
    const done = await Promise.all(versions.map(({ operation }) => workDone(stack, operation.id)));
    expect(done.map(({ status }) => status)).toEqual(done.map(() => 'SUCCEEDED'));
  });

  test('a version tells its files, its signature and what was done', async () => {
    const { id } = await stack.createModelVersion(
      'meaning',
      [fixtureFile('breast-cancer/v2.onnx')],
      breastCancerSignature,
    );
    const query = `query ($id: VersionRef!) { version(ref: $id) {
      number bytes digest author { name kind } artifacts { path bytes digest mediaType } model { name latest { number } }
      operation { kind status attempts log progress { done total unit stage } by { name } }
      signature { task classes positiveClass inputs { name datatype shape nullable } outputs { name datatype shape } columns { name input index datatype nullable } }
    } }`;
    const { version } = await stack.data<{ version: Record<string, unknown> }>(query, { id });
    const digest = '8b1f02c4529469aa1a24dd67b9fa8a6bacce4076ff31d53d4e43a958e1a6f315';
    expect(version).toMatchObject({
      number: 1,
      bytes: 1060,
      digest,
      author: { name: 'local', kind: 'USER' },
      artifacts: [{ path: 'v2.onnx', bytes: 1060, digest, mediaType: 'application/onnx' }],
      model: { name: 'meaning', latest: { number: 1 } },
      operation: {
        kind: 'version.ingest',
        status: 'SUCCEEDED',
        attempts: 1,
        progress: { done: 1060, total: 1060, unit: 'bytes' },
        by: { name: 'local' },
      },
      signature: {
        task: 'BINARY',
        classes: ['benign', 'malignant'],
        positiveClass: 'malignant',
        inputs: [{ name: 'input', datatype: 'FP32', shape: [-1, 30], nullable: false }],
        outputs: [
          { name: 'label', datatype: 'BYTES', shape: [-1] },
          { name: 'probabilities', datatype: 'FP32', shape: [-1, 2] },
        ],
        columns: breastCancerColumns.map((name, index) => ({
          name,
          input: 'input',
          index,
          datatype: 'FP32',
          nullable: false,
        })),
      },
    });
  });

  test('what a graph says itself: named inputs, classes, maps as a matrix', async () => {
    const query = `query ($id: VersionRef!) { version(ref: $id) { digest artifacts { path } signature { task classes outputs { name datatype shape } columns { name index } } operation { log } } }`;
    const penguins = await stack.createModelVersion('penguins', [fixtureFile('penguins/v1.onnx')]);
    const named = await stack.data<object>(query, { id: penguins.id });
    expect(named).toMatchObject({
      version: {
        signature: {
          task: 'MULTICLASS',
          classes: ['Adelie', 'Chinstrap', 'Gentoo'],
          columns: [
            'bill_length_mm',
            'bill_depth_mm',
            'flipper_length_mm',
            'body_mass_g',
            'island',
            'sex',
          ].map((name) => ({ name, index: null })),
        },
      },
    });
    const iris = await stack.createModelVersion('zipmap', [fixtureFile('iris/v1.onnx')]);
    expect(await stack.data<object>(query, { id: iris.id })).toMatchObject({
      version: {
        digest: '9f91b011ac67883d420d08dc87277d4f0dc25d9b054669aa66210af44c63ff65',
        artifacts: [{ path: 'v1.onnx' }],
        signature: {
          columns: null,
          outputs: [
            { name: 'output_label' },
            { name: 'output_probability', datatype: 'FP32', shape: [-1, 3] },
          ],
        },
        operation: { log: expect.arrayContaining([expect.stringContaining('derived graph')]) },
      },
    });
  });
});

describe('cancelled', () => {
  const gone = async (version: CreatedVersion, before: string[]): Promise<void> => {
    expect(await versionNow(stack, version.id)).toMatchObject({
      status: 'REJECTED',
      statusReason: 'The operation was cancelled.',
    });
    await filesOnce(stack.artifactStore, () => filesIn(kept).length === before.length);
  };

  test('while it waits', async () => {
    const before = filesIn(kept);
    await stack.worker.kill('SIGTERM');
    const version = await createVersion(stack, await stack.model('cancelled'), [
      named('w.onnx', buildModel(identityModel)),
    ]);
    expect(await cancelOperation(stack, version.operation.id)).toMatchObject({ status: 'CANCELLING' });
    await stack.worker.start();
    expect(await workDone(stack, version.operation.id)).toMatchObject({
      status: 'CANCELLED',
      error: { code: 'CANCELLED' },
    });
    await gone(version, before);
  });

  test('while it runs', async () => {
    const before = filesIn(kept);
    // Its trial run would take all the time that it is given.
    const version = await createVersion(stack, await stack.model('cancelled'), [
      named('endless.onnx', endlessLoop()),
    ]);
    await workIn(stack, version.operation.id, ['RUNNING']);
    expect(await cancelOperation(stack, version.operation.id)).toMatchObject({ status: 'CANCELLING' });
    expect(await workDone(stack, version.operation.id)).toMatchObject({ status: 'CANCELLED', attempts: 1 });
    await gone(version, before);
  });

  test('when it has ended', async () => {
    const { operation } = await versionNow(stack, 'test/good:1');
    expect(await cancelOperation(stack, operation.id)).toMatchObject({ status: 'SUCCEEDED' });
    expect(await versionNow(stack, 'test/good:1')).toMatchObject({ status: 'READY' });
  });
});
