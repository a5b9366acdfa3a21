/** What people write beside versions and models and may change: tags, metadata, reported metrics. */
import { beforeAll, describe, expect, test } from 'vitest';
import { done, held, issueOf, refused, versionAt, versionFields } from '#test/helpers/registry.ts';
import type { HeldFile, VersionFacts } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';

const version = `${PROJECT}/fraud:1`;

let stack: Stack;
let model: string;
let bytes: HeldFile;

beforeAll(async () => {
  stack = await startStack();
  bytes = await held(stack, 'breast-cancer/v1.onnx');
  model = await stack.model('fraud');
  await done(stack, 'createVersion', { model, artifacts: [bytes] });
});

const update = (input: object): Promise<VersionFacts> =>
  done(stack, 'updateVersion', { version, ...input }, versionFields);
const valuesOf = ({ metrics }: VersionFacts) => metrics.map(({ name, value }) => [name, value]);
const many = <T>(count: number, of: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => of(index));
const tag = (key: string, value = 'x') => ({ key, value });
const metric = (name: string, value = 1) => ({ name, value });

describe('changed', () => {
  test('tags are added, replaced and taken away, and come by key', async () => {
    await update({ tags: [tag('stage', 'dev'), tag('cost', '7')] });
    const after = await update({
      tags: [tag('stage', 'prod'), tag('área', '')],
      removeTags: ['cost', 'nope'],
    });
    expect(after.tags).toEqual([tag('stage', 'prod'), tag('área', '')]);
    expect((await update({ removeTags: ['stage', 'a\u0301rea'] })).tags).toEqual([]);
  });

  test('metrics are added, replaced and taken away, and come by name', async () => {
    await update({
      metrics: [metric('b', 0.1 + 0.2), metric('a', -5e-324), metric('c', 1.7976931348623157e308)],
    });
    const after = await update({ metrics: [metric('a', 2)], removeMetrics: ['c', 'nope'] });
    expect(valuesOf(after)).toEqual([
      ['a', 2],
      ['b', 0.1 + 0.2],
    ]);
    expect(valuesOf(await update({ removeMetrics: ['a', 'b'] }))).toEqual([]);
  });

  test('metadata take the place of what was there, come back as they were given, and can go', async () => {
    const metadata = {
      constructor: 1,
      __proto__: undefined,
      'a.b': [null, true, { deep: [[-0.5, 1e21, 'é\u2028"\\u0000']] }],
      '': {},
    };
    await update({ metadata: { gone: true } });
    expect((await update({ metadata })).metadata).toEqual(metadata);
    expect((await update({ tags: [tag('a')] })).metadata).toEqual(metadata);
    expect((await update({ metadata: null })).metadata).toBeNull();
  });

  test('as much as is allowed is kept', async () => {
    const metadata = { text: 'x'.repeat(65_536 - '{"text":""}'.length) };
    const tags = many(50, (index) => tag(`k${index}`, '👍'.repeat(100)));
    const metrics = many(200, (index) => metric(`m${index}`, index));
    const whole = await done<VersionFacts>(
      stack,
      'createVersion',
      { model, artifacts: [bytes], metadata, tags, metrics },
      versionFields,
    );
    expect(whole.metadata).toEqual(metadata);
    expect(new Set(whole.tags.map(({ key }) => key))).toEqual(new Set(tags.map(({ key }) => key)));
    expect(whole.metrics).toHaveLength(200);
    const more = { version: whole.id, tags: [tag('one-more')] };
    expect(issueOf(await refused(stack, 'updateVersion', more))).toMatchObject({
      path: ['tags'],
      found: '51',
    });
    const moreMetrics = { version: whole.id, metrics: [metric('one-more')] };
    expect(issueOf(await refused(stack, 'updateVersion', moreMetrics))).toMatchObject({
      path: ['metrics'],
      found: '201',
    });
    // One comes for one that goes.
    const swapped = { ...more, removeTags: ['k0'], metrics: [metric('one-more')], removeMetrics: ['m0'] };
    const after = await done<VersionFacts>(stack, 'updateVersion', swapped, versionFields);
    expect([after.tags.length, after.metrics.length]).toEqual([50, 200]);
  });

  test('a model has tags and a description too', async () => {
    const fields = 'description tags { key value }';
    const change = (input: object) => done(stack, 'updateModel', { model, ...input }, fields);
    const described = { description: 'finds\nfraud', tags: [tag('team', 'risk')] };
    expect(await change(described)).toEqual(described);
    expect(await change({ removeTags: ['team'] })).toEqual({ description: 'finds\nfraud', tags: [] });
    expect(await change({ description: null })).toEqual({ description: null, tags: [] });
  });
});

const half = 'a\ud800b';

/** What is wrong in a version's annotations, the place, and what was expected; both mutations refuse it alike. */
const wrong: [string, object, string[], RegExp][] = [
  ['metadata that is a list', { metadata: [1] }, ['metadata'], /JSON object/],
  ['metadata that is a text', { metadata: 'text' }, ['metadata'], /JSON object/],
  ['metadata that is a number', { metadata: 7 }, ['metadata'], /JSON object/],
  ['metadata that is false', { metadata: false }, ['metadata'], /JSON object/],
  ['metadata with NUL in a value', { metadata: { a: ['x\0'] } }, ['metadata', 'a', '0'], /NUL/],
  ['metadata with NUL in a key', { metadata: { 'x\0': 1 } }, ['metadata'], /NUL/],
  [
    'metadata with half a surrogate pair',
    { metadata: { a: half } },
    ['metadata', 'a'],
    /half surrogate pairs/,
  ],
  ['metadata with half a pair in a key', { metadata: { [half]: 1 } }, ['metadata'], /half surrogate pairs/],
  ['metadata that are too large', { metadata: { a: 'x'.repeat(65_536) } }, ['metadata'], /65536 bytes/],
  [
    'metadata that are too large in UTF-8',
    { metadata: { a: 'é'.repeat(33_000) } },
    ['metadata'],
    /65536 bytes/,
  ],
  ['51 tags', { tags: many(51, (index) => tag(`k${index}`)) }, ['tags'], /at most 50/],
  ['a tag twice', { tags: [tag('a'), tag('a')] }, ['tags', '1', 'key'], /once/],
  ['a tag twice, in two writings', { tags: [tag('é'), tag('e\u0301')] }, ['tags', '1', 'key'], /once/],
  ['a reserved tag', { tags: [tag('Modelarium.x')] }, ['tags', '0', 'key'], /not begin with "modelarium\."/],
  ['a tag without a key', { tags: [tag('')] }, ['tags', '0', 'key'], /1 to 100 characters/],
  ['a key with a space', { tags: [tag('a b')] }, ['tags', '0', 'key'], /letters, digits/],
  [
    'a value that is too long',
    { tags: [tag('a', 'x'.repeat(201))] },
    ['tags', '0', 'value'],
    /200 characters/,
  ],
  ['a value with NUL', { tags: [tag('a', 'x\0')] }, ['tags', '0', 'value'], /control characters/],
  ['a value with half a surrogate pair', { tags: [tag('a', half)] }, ['tags', '0', 'value'], /./],
  ['201 metrics', { metrics: many(201, (index) => metric(`m${index}`)) }, ['metrics'], /at most 200/],
  ['a metric twice', { metrics: [metric('a'), metric('b'), metric('a')] }, ['metrics', '2', 'name'], /once/],
  ['a metric without a name', { metrics: [metric('')] }, ['metrics', '0', 'name'], /1 to 100 characters/],
  ['a metric named in two scripts', { metrics: [metric('pаge')] }, ['metrics', '0', 'name'], /one script/],
];

describe('refused at both mutations', () => {
  test.each(wrong)('%s', async (_what, input, path, expected) => {
    const before = await versionAt(stack, version);
    for (const [field, more] of [
      ['createVersion', { model, artifacts: [bytes] }],
      ['updateVersion', { version }],
    ] as const) {
      const issue = issueOf(await refused(stack, field, { ...more, ...input }));
      expect(issue, field).toEqual({
        path,
        expected: expect.stringMatching(expected),
        found: expect.any(String),
        message: expect.stringContaining(path.join('.')),
      });
      expect(issue.found!.length).toBeLessThan(100);
    }
    expect(await versionAt(stack, version)).toEqual(before);
  });

  test.each<[string, object, string[]]>([
    ['a tag set and removed', { tags: [tag('é')], removeTags: ['e\u0301'] }, ['removeTags']],
    ['a metric set and removed', { metrics: [metric('a')], removeMetrics: ['a'] }, ['removeMetrics']],
  ])('%s', async (_what, input, path) => {
    expect(issueOf(await refused(stack, 'updateVersion', { version, ...input })).path).toEqual(path);
  });

  test.each(['x\0', half])('names that cannot be are not there to be removed: %j', async (name) => {
    const before = await versionAt(stack, version);
    expect(await update({ removeTags: [name], removeMetrics: [name] })).toEqual(before);
  });
});
