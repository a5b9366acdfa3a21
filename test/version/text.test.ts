/** Texts and cursors that PostgreSQL cannot hold, or read: refused with their place wherever they come in. */
import { beforeAll, describe, expect, test } from 'vitest';
import { toCursor } from '#src/paging/paging.ts';
import { newId } from '#src/platform/id.ts';
import { done, held, issueOf, refused, type HeldFile } from '#test/helpers/registry.ts';
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

/** Every free text of a mutation, and its place. */
const doors: [string, (text: string) => object, string[]][] = [
  ['createProject', (description) => ({ name: 'p', description }), ['description']],
  ['createModel', (description) => ({ project: PROJECT, name: 'm', description }), ['description']],
  [
    'createModel',
    (value) => ({ project: PROJECT, name: 'm', tags: [{ key: 'a', value }] }),
    ['tags', '0', 'value'],
  ],
  ['updateModel', (description) => ({ model, description }), ['description']],
  ['updateModel', (value) => ({ model, tags: [{ key: 'a', value }] }), ['tags', '0', 'value']],
  ['createVersion', (message) => ({ model, artifacts: [bytes], message }), ['message']],
  ['createVersion', (path) => ({ model, artifacts: [{ ...bytes, path }] }), ['artifacts', '0', 'path']],
  [
    'createVersion',
    (text) => ({ model, artifacts: [bytes], signature: { classes: ['a', text] } }),
    ['signature', 'classes', '1'],
  ],
  [
    'createVersion',
    (name) => ({ model, artifacts: [bytes], signature: { columns: [{ name }] } }),
    ['signature', 'columns', '0', 'name'],
  ],
  [
    'createVersion',
    (positiveClass) => ({ model, artifacts: [bytes], signature: { positiveClass } }),
    ['signature', 'positiveClass'],
  ],
  ['restoreVersion', (message) => ({ version: `${PROJECT}/fraud:1`, message }), ['message']],
];

describe.each([
  ['NUL', 'a\0b'],
  ['half a surrogate pair', 'a\ud800b'],
])('%s', (_what, text) => {
  test.each(doors)('%s %#', async (field, inputOf, path) => {
    expect(issueOf(await refused(stack, field, { ...inputOf(text) })).path).toEqual(path);
  });
});

describe('a cursor of somebody else', () => {
  const connections: [string, string, readonly string[]][] = [
    ['Project.models', `project(name: "${PROJECT}") { models(after: $after) { edges { cursor } } }`, ['\0']],
    [
      'Project.deployments',
      `project(name: "${PROJECT}") { deployments(after: $after) { edges { cursor } } }`,
      ['\0', newId()],
    ],
    [
      'Model.versions',
      `project(name: "${PROJECT}") { model(name: "fraud") { versions(after: $after) { edges { cursor } } } }`,
      ['x'],
    ],
    [
      'Model.versions',
      `project(name: "${PROJECT}") { model(name: "fraud") { versions(after: $after) { edges { cursor } } } }`,
      ['99999999999'],
    ],
  ];

  test.each(connections)('%s %#', async (_what, field, key) => {
    const { body } = await stack.gql(`query ($after: String) { ${field} }`, { after: toCursor(key) });
    expect(body.errors?.[0]?.extensions).toMatchObject({ code: 'VALIDATION', issues: [{ path: ['after'] }] });
  });
});
