/** What differs between two versions. */
import { beforeAll, describe, expect, test } from 'vitest';
import { jsonChanges } from '#src/version/diff.ts';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { done, held, type HeldFile } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createVersion, workDone } from '#test/helpers/work.ts';

const query = `query ($from: VersionRef!, $to: VersionRef!) { project(name: "${PROJECT}") { diff(from: $from, to: $to) {
  from { number model { name } } to { number model { name } }
  metadata { path before after } tags { path before after }
  metrics { name before after difference }
  artifacts { path change bytesBefore bytesAfter }
  signature { compatible reasons changes { path before after } }
} } }`;

interface Change {
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}
interface Diff {
  readonly metadata: readonly Change[];
  readonly tags: readonly Change[];
  readonly metrics: readonly object[];
  readonly artifacts: readonly object[];
  readonly signature: {
    readonly compatible: boolean;
    readonly reasons: readonly string[];
    readonly changes: readonly Change[];
  } | null;
}

let stack: Stack;
let bytes: HeldFile;

beforeAll(async () => {
  stack = await startStack();
  bytes = await held(stack, 'breast-cancer/v1.onnx');
});

const diff = async (from: string, to: string): Promise<Diff> =>
  (await stack.data<{ project: { diff: Diff } }>(query, { from, to })).project.diff;

/** Two versions of a new model, with these annotations. */
async function versionsWith(name: string, from: object, to: object): Promise<Diff> {
  const model = await stack.model(name);
  for (const input of [from, to]) await done(stack, 'createVersion', { model, artifacts: [bytes], ...input });
  const there = await diff(`${name}:1`, `${name}:2`);
  const back = await diff(`${name}:2`, `${name}:1`);
  const turned = (changes: readonly Change[]) =>
    changes.map(({ path, before, after }) => ({ path, before: after, after: before }));
  expect([back.metadata, back.tags]).toEqual([turned(there.metadata), turned(there.tags)]);
  return there;
}

test('a version and itself, and two that are the same', async () => {
  const annotations = {
    metadata: { a: { b: [1, 2] } },
    tags: [{ key: 'k', value: 'v' }],
    metrics: [{ name: 'auc', value: 0.1 }],
  };
  const twins = await versionsWith('twins', annotations, annotations);
  for (const same of [twins, await diff('twins:1', 'twins:1')]) {
    expect(same).toMatchObject({
      metadata: [],
      tags: [],
      metrics: [{ name: 'auc', before: 0.1, after: 0.1, difference: 0 }],
      artifacts: [{ path: 'v1.onnx', change: 'SAME', bytesBefore: 1060, bytesAfter: 1060 }],
      signature: { compatible: true, reasons: [], changes: [] },
    });
  }
});

test('metadata are compared as deep as both are objects, whatever their keys are called', async () => {
  const { metadata } = await versionsWith(
    'metadata',
    {
      metadata: {
        same: { list: [{ a: 1 }] },
        data: { rows: 10, 'a.b': { c: 1 }, source: 's3' },
        constructor: 1,
        list: [1, 2],
        kind: { was: 'object' },
        'quo"te': 1,
        gone: { deep: null },
        null: null,
      },
    },
    {
      metadata: {
        same: { list: [{ a: 1 }] },
        data: { rows: 11, 'a.b': { c: 2 }, toString: true, source: 's3' },
        hasOwnProperty: 'x',
        list: [2, 1],
        kind: 'text',
        'quo"te': 2,
        null: 0,
        '': 'empty',
      },
    },
  );
  expect(metadata).toEqual([
    { path: '""', before: null, after: 'empty' },
    { path: 'constructor', before: 1, after: null },
    { path: 'data."a.b".c', before: 1, after: 2 },
    { path: 'data.rows', before: 10, after: 11 },
    { path: 'data.toString', before: null, after: true },
    { path: 'gone', before: { deep: null }, after: null },
    { path: 'hasOwnProperty', before: null, after: 'x' },
    { path: 'kind', before: { was: 'object' }, after: 'text' },
    { path: 'list', before: [1, 2], after: [2, 1] },
    { path: 'null', before: null, after: 0 },
    { path: String.raw`"quo\"te"`, before: 1, after: 2 },
  ]);
  expect((await versionsWith('none', { metadata: null }, { metadata: { a: {} } })).metadata).toEqual([
    { path: 'a', before: null, after: {} },
  ]);
});

test('tags and metrics, those of one side too', async () => {
  const tag = (key: string, value: string) => ({ key, value });
  const { tags, metrics } = await versionsWith(
    'annotated',
    {
      tags: [tag('gone', '1'), tag('same', '2'), tag('other', '3'), tag('constructor', '')],
      metrics: [
        { name: 'auc', value: 0.25 },
        { name: 'loss', value: 3 },
      ],
    },
    {
      tags: [tag('new', ''), tag('same', '2'), tag('other', '4')],
      metrics: [
        { name: 'auc', value: 0.75 },
        { name: 'recall', value: 0 },
      ],
    },
  );
  expect(tags).toEqual([
    { path: 'constructor', before: '', after: null },
    { path: 'gone', before: '1', after: null },
    { path: 'new', before: null, after: '' },
    { path: 'other', before: '3', after: '4' },
  ]);
  expect(metrics).toEqual([
    { name: 'auc', before: 0.25, after: 0.75, difference: 0.5 },
    { name: 'loss', before: 3, after: null, difference: null },
    { name: 'recall', before: null, after: 0, difference: null },
  ]);
});

test('files: added, removed, changed, the same', async () => {
  const files = ['model.onnx', 'weights.bin'].map((name) => fixtureFile(`external-data/${name}`));
  const { id } = await stack.createModelVersion('files', files);
  // It is rejected, for want of its weights; what it was can be compared all the same.
  const lonely = await createVersion(stack, await stack.model('files'), [
    { name: 'model.onnx', content: fixtureFile('external-data/model.onnx').content },
    { name: 'notes.txt', content: 'nothing' },
  ]);
  await workDone(stack, lonely.operation.id);
  const { artifacts, signature } = await diff(id, lonely.id);
  expect(artifacts).toEqual([
    { path: 'model.onnx', change: 'SAME', bytesBefore: 2381, bytesAfter: 2381 },
    { path: 'notes.txt', change: 'ADDED', bytesBefore: null, bytesAfter: 7 },
    { path: 'weights.bin', change: 'REMOVED', bytesBefore: 26320, bytesAfter: null },
  ]);
  expect(signature).toBeNull();
  await stack.createModelVersion('changed', [{ ...fixtureFile('breast-cancer/v1.onnx'), name: 'm.onnx' }]);
  await stack.createModelVersion('changed', [{ ...fixtureFile('breast-cancer/v3.onnx'), name: 'm.onnx' }]);
  expect((await diff('changed:1', 'changed:2')).artifacts).toEqual([
    { path: 'm.onnx', change: 'CHANGED', bytesBefore: 1060, bytesAfter: 44649 },
  ]);
});

describe('signatures', () => {
  beforeAll(async () => {
    const upload = (fixture: string, signature: object) =>
      stack.createModelVersion('fraud', [fixtureFile(`breast-cancer/${fixture}.onnx`)], { ...signature });
    for (const fixture of ['v2', 'v4-wrong', 'v3']) await upload(fixture, breastCancerSignature);
    const columns = breastCancerSignature.columns.filter(({ name }) => name !== 'worst fractal dimension');
    await upload('v7-signature', { ...breastCancerSignature, columns });
  });
  const signatures = async (from: string, to: string) => (await diff(from, to)).signature!;

  test('another graph that takes and answers the same', async () => {
    expect(await signatures('fraud:1', 'fraud:2')).toEqual({ compatible: true, reasons: [], changes: [] });
  });

  test('one that takes missing values too is no harm; the other way round it is', async () => {
    const wider = await signatures('fraud:1', 'fraud:3');
    expect(wider).toMatchObject({ compatible: true, reasons: [] });
    expect(wider.changes).toContainEqual({ path: 'inputs.input.nullable', before: false, after: true });
    expect(wider.changes).toContainEqual({ path: 'columns.mean area.nullable', before: false, after: true });
    const narrower = await signatures('fraud:3', 'fraud:1');
    expect(narrower.compatible).toBe(false);
    expect(narrower.reasons).toHaveLength(31);
    expect(narrower.reasons).toContain('Input input no longer takes missing values.');
    expect(narrower.reasons).toContain('Column mean area may no longer be missing.');
  });

  test('one that takes a column less', async () => {
    const { compatible, reasons, changes } = await signatures('fraud:1', 'fraud:4');
    expect(compatible).toBe(false);
    expect(reasons).toEqual([
      'Input input takes [-1, 29] instead of [-1, 30].',
      'Column worst fractal dimension is gone.',
    ]);
    expect(changes).toEqual([
      { path: 'inputs.input.shape', before: [-1, 30], after: [-1, 29] },
      {
        path: 'columns.worst fractal dimension',
        before: {
          name: 'worst fractal dimension',
          input: 'input',
          index: 29,
          datatype: 'FP32',
          nullable: false,
        },
        after: null,
      },
    ]);
    expect((await signatures('fraud:4', 'fraud:1')).reasons).toContain(
      'Column worst fractal dimension is new and needed.',
    );
  });

  test('one that does not name its columns takes no rows', async () => {
    expect(await signatures('fraud:1', 'changed:1')).toMatchObject({
      compatible: false,
      reasons: expect.arrayContaining(['It has no columns, so rows are not accepted.']),
    });
    expect((await signatures('changed:1', 'fraud:1')).reasons.join()).not.toContain('olumn');
  });
});

test('two models of a project can be compared; what is not there is an error', async () => {
  await done(stack, 'createVersion', { model: await stack.model('elsewhere'), artifacts: [bytes] });
  expect(await diff('twins:1', 'elsewhere:1')).toMatchObject({
    from: { number: 1, model: { name: 'twins' } },
    to: { number: 1, model: { name: 'elsewhere' } },
  });
  const { body } = await stack.gql(query, { from: 'twins:1', to: 'twins:9' });
  expect(body.errors?.[0]?.extensions).toMatchObject({ code: 'NOT_FOUND' });
});

describe('changes of JSON', () => {
  test.each<[object, object, [string, unknown, unknown][]]>([
    [{}, {}, []],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, []],
    [{ a: 1 }, { a: '1' }, [['a', 1, '1']]],
    [{ a: undefined }, {}, []],
    [{ a: null }, {}, [['a', null, undefined]]],
    [{ a: 0 }, { a: false }, [['a', 0, false]]],
    [{ a: {} }, { a: [] }, [['a', {}, []]]],
    [{ a: [{ b: 1 }] }, { a: [{ b: 2 }] }, [['a', [{ b: 1 }], [{ b: 2 }]]]],
    [{ a: { b: {} } }, { a: {} }, [['a.b', {}, undefined]]],
    [{ toString: {} }, { toString: { a: 1 } }, [['toString.a', undefined, 1]]],
    [JSON.parse('{"__proto__": 1}') as object, {}, [['__proto__', 1, undefined]]],
  ])('%j to %j', (before, after, expected) => {
    const changes = jsonChanges('', { ...before }, { ...after });
    expect(changes).toEqual(expected.map(([path, was, is]) => ({ path, before: was, after: is })));
  });
});
