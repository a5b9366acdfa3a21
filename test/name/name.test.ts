/** What things may be called: the same at every door that takes a name, in words that tell what is wrong. */
import { beforeAll, describe, expect, test } from 'vitest';
import { done, held, issueOf, refused, versionAt, type HeldFile } from '#test/helpers/registry.ts';
import { refusal } from '#test/helpers/predict.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';

let stack: Stack;
let model: string;
let bytes: HeldFile;

beforeAll(async () => {
  stack = await startStack();
  bytes = await held(stack, 'breast-cancer/v1.onnx');
  model = await stack.model('fraud');
  await done(stack, 'createVersion', { model, artifacts: [bytes] });
});

/** Every door that makes a name, and the place that it tells of. */
const doors: Record<string, (name: string) => [string, object, string[]]> = {
  model: (name) => ['createModel', { project: PROJECT, name }, ['name']],
  project: (name) => ['createProject', { name }, ['name']],
  deployment: (name) => [
    'createDeployment',
    { project: PROJECT, name, version: `${PROJECT}/fraud:1` },
    ['name'],
  ],
  alias: (name) => ['setAlias', { model, name, version: 'fraud:1' }, ['name']],
  tag: (key) => [
    'updateVersion',
    { version: `${PROJECT}/fraud:1`, tags: [{ key, value: '' }] },
    ['tags', '0', 'key'],
  ],
  metric: (name) => [
    'updateVersion',
    { version: `${PROJECT}/fraud:1`, metrics: [{ name, value: 1 }] },
    ['metrics', '0', 'name'],
  ],
};

/** A name that is none, what is expected instead, and what is found; the last two as parts of the text. */
const wrong: [string, string, string, string][] = [
  ['nothing', '', '1 to 100 characters', '0 characters'],
  ['too much', 'n'.repeat(101), '1 to 100 characters', '101 characters'],
  ['far too much', 'n'.repeat(1_000_000), '1 to 100 characters', '1000000 characters'],
  ['a space', 'a b', 'letters, digits', '"a b"'],
  ['a slash', 'a/b', 'letters, digits', '"a/b"'],
  ['a colon', 'a:1', 'letters, digits', '"a:1"'],
  ['an at sign', 'a@b', 'letters, digits', '"a@b"'],
  ['a dot first', '.a', 'starting with a letter or digit', '".a"'],
  ['a mark first', '\u0301a', 'starting with a letter or digit', ''],
  ['NUL', 'a\0', 'letters, digits', String.raw`"a\u0000"`],
  ['a line end', 'a\n', 'letters, digits', String.raw`"a\n"`],
  ['an escape', 'a\u001b[31m', 'letters, digits', String.raw`\u001b`],
  ['half a surrogate pair', 'a\ud800', 'letters, digits', String.raw`\ud800`],
  ['an emoji', 'a👍', 'letters, digits', '👍'],
  ['a zero-width space', 'a\u200bb', 'letters, digits', ''],
  ['a zero-width joiner', 'a\u200db', 'letters, digits', ''],
  ['text from right to left', 'a\u202eb', 'letters, digits', ''],
  ['a soft hyphen', 'a\u00adb', 'letters, digits', ''],
  ['a letter that cannot be seen', 'a\u3164', 'plain letters', ''],
  ['a filler that cannot be seen', 'ᄀ\u115f', 'only characters that can be seen', 'U+115F'],
  ['a variation selector', 'a\ufe0f', 'only characters that can be seen', 'U+FE0F'],
  ['Latin with a Cyrillic letter', 'frаud', 'letters of one script', '(U+0430, Cyrillic)'],
  ['Latin with a Greek letter', 'frαud', 'letters of one script', '(U+03B1, Greek)'],
  ['Cyrillic with Greek', 'мο', 'letters of one script', '(U+03BF, Greek)'],
  ['full-width letters', 'ｆｒａｕｄ', 'plain letters, as in "fraud"', '"ｆｒａｕｄ"'],
  ['full-width digits', 'fraud１２', 'plain letters, as in "fraud12"', ''],
  ['raised digits', 'fraud²', 'plain letters, as in "fraud2"', ''],
  ['a ligature', 'ﬁn', 'plain letters, as in "fin"', ''],
  ['mathematical letters', '𝐟raud', 'plain letters, as in "fraud"', ''],
  ['a circled letter', 'ⓐ', 'letters, digits', ''],
  ['a Roman numeral of one sign', 'Ⅳ', 'plain letters, as in "IV"', ''],
  ['digits of two systems', '1\u0661', 'digits of one system', ''],
  ['Bengali four beside an eight', '8\u09ea', 'digits of one system', ''],
];

describe.each(Object.keys(doors))('%s', (door) => {
  test.each(wrong)('%s is no name', async (_what, name, expected, found) => {
    const [field, input, path] = doors[door]!(name);
    const answer = await refused(stack, field, { ...input });
    const issue = issueOf(answer);
    expect(issue).toMatchObject({ path, expected: expect.stringMatching(expected) });
    expect(issue.found).toContain(found);
    expect(issue.found!.length).toBeLessThan(150);
    // oxlint-disable-next-line no-control-regex -- whoever prints it in a terminal is not to be fooled
    expect(answer.message).not.toMatch(/[\u0000-\u001f]/);
  });
});

test('why letters of several scripts are refused is told', async () => {
  const { hint } = await refused(stack, 'createModel', { project: PROJECT, name: 'frаud' });
  expect(hint).toBe('Letters of several scripts look alike, so a name could pass for another.');
});

describe('taken', () => {
  test.each([
    'a',
    '7',
    'n'.repeat(100),
    'Fraud-2_1.x',
    'модель-7',
    'naïve',
    'ελληνικά',
    'ひらがなカタカナ漢字A',
    '모델v2',
    'मॉडल',
    'โมเดล',
    'نموذج',
    '\u0661\u0662',
    '𠮷'.repeat(100),
  ])('%s', async (name) => {
    const fields = 'name';
    expect(await done(stack, 'createModel', { project: PROJECT, name }, fields)).toEqual({ name });
    const alias = await done(stack, 'setAlias', { model, name, version: 'fraud:1' }, fields);
    expect(alias).toEqual({ name });
    expect(await versionAt(stack, `${PROJECT}/fraud@${name}`)).toMatchObject({ number: 1 });
  });
});

describe('two writings of one name', () => {
  const [composed, decomposed] = ['modèle', 'mode\u0300le'];

  test('are the same model, wherever it is asked for', async () => {
    const made = await done<{ id: string; name: string }>(
      stack,
      'createModel',
      { project: PROJECT, name: decomposed },
      'id name',
    );
    expect(made.name).toBe(composed);
    expect(await refused(stack, 'createModel', { project: PROJECT, name: composed })).toMatchObject({
      __typename: 'ConflictError',
      current: composed,
    });
    await done(stack, 'createVersion', { model: made.id, artifacts: [bytes] });
    const query =
      'query ($project: String!, $name: String!) { project(name: $project) { model(name: $name) { id } } }';
    for (const name of [composed, decomposed]) {
      expect(await stack.data(query, { project: PROJECT, name })).toEqual({
        project: { model: { id: made.id } },
      });
      expect(await versionAt(stack, `${PROJECT}/${name}:1`)).toMatchObject({ number: 1 });
    }
  });

  test('are the same project and the same alias', async () => {
    await done(stack, 'createProject', { name: decomposed });
    expect(await refused(stack, 'createProject', { name: composed })).toMatchObject({
      __typename: 'ConflictError',
    });
    const query = 'query ($name: String!) { project(name: $name) { name } }';
    expect(await stack.data(query, { name: decomposed })).toEqual({ project: { name: composed } });
    await done(stack, 'setAlias', { model, name: decomposed, version: 'fraud:1' });
    expect(await refused(stack, 'setAlias', { model, name: composed, version: 'fraud:1' })).toMatchObject({
      __typename: 'ConflictError',
      current: 'fraud:1',
    });
    const expected = { model, name: decomposed, expected: 'fraud:1' };
    expect(await done(stack, 'deleteAlias', expected, 'name')).toEqual({ name: composed });
  });
});

describe('asked for by a name that cannot be', () => {
  test.each(['\0', 'a\ud800', 'n'.repeat(100_000)])('there is nothing, and no fault: %#', async (name) => {
    const query = `query ($name: String!, $model: ID!) {
      none: project(name: $name) { id }
      project(name: "${PROJECT}") { model(name: $name) { id } deployment(name: $name) { id } }
      node(id: $model) { ... on Model { alias(name: $name) { name } } }
    }`;
    expect(await stack.data(query, { name, model })).toEqual({
      none: null,
      project: { model: null, deployment: null },
      node: { alias: null },
    });
    expect(await refused(stack, 'deleteAlias', { model, name, expected: 'fraud:1' })).toMatchObject({
      __typename: 'NotFoundError',
    });
    expect(await refused(stack, 'createModel', { project: name, name: 'a' })).toMatchObject({
      __typename: 'NotFoundError',
    });
    const { __typename } = await refusal(stack, { deployment: `${PROJECT}/${name}`, rows: [] });
    expect(__typename).toBe('NotFoundError');
  });
});
