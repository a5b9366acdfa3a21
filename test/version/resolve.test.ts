/** References mean the same version at every door that takes one, and what is wrong with one is told with its place. */
import { beforeAll, describe, expect, test } from 'vitest';
import { eventsOf, innerId, later } from '#test/helpers/ledger.ts';
import { grow } from '#test/helpers/lineage.ts';
import { within } from '#test/helpers/pages.ts';
import { attempt, done, held, issueOf, refused, versionAt, type HeldFile } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';

let stack: Stack;
let model: string;
let bytes: HeldFile;
/** What is put in place of a name in angle brackets: ids and times. */
let known: Record<string, string>;

beforeAll(async () => {
  stack = await startStack();
  bytes = await held(stack, 'breast-cancer/v1.onnx');
  // Deployments are to be made, not to come up.
  await stack.worker.kill('SIGTERM');
  model = await grow(stack, bytes, 'fraud', [[], [1], [1], [2, 3], [4]]);
  for (const [version, expected] of [
    ['fraud:2', undefined],
    ['fraud:4', 'fraud:2'],
  ]) {
    await done(stack, 'setAlias', { model, name: 'champion', version, expected });
  }
  const events = await eventsOf(stack, PROJECT);
  const id = (await versionAt(stack, `${PROJECT}/fraud:4`)).id;
  known = { id, uuid: innerId(id) };
  for (const { type, data, at } of events) {
    if (type === 'ALIAS_MOVED') known[`to${String(data['to'])}`] = at;
    if (type === 'VERSION_CREATED' && data['model'] === 'fraud') known[`v${String(data['number'])}`] = at;
  }
  known['before2'] = later(known['to2']!, -1);
  known['before4'] = later(known['to4']!, -1);
  known['before1'] = later(known['v1']!, -1);
});

const filled = (ref: string): string => ref.replaceAll(/<(\w+)>/g, (_, name: string) => known[name]!);

/** A reference without its project, and the number that it means; null: there is none. */
const meanings: [string, number | null][] = [
  ['fraud:3', 3],
  ['fraud@champion', 4],
  ['fraud@latest', 5],
  ['fraud:5~0^0', 5],
  ['fraud:5~', 4],
  ['fraud:5~2', 2],
  ['fraud:5~1^2', 3],
  ['fraud:5~~', 2],
  ['fraud:5^^1', 2],
  ['fraud@latest~3', 1],
  ['fraud@champion^2~1', 1],
  ['fraud@champion{<to2>}', 2],
  ['fraud@champion{<before4>}', 2],
  ['fraud@champion{<to4>}', 4],
  ['fraud@champion{<to4>}^2', 3],
  ['fraud@latest{<v1>}', 1],
  ['fraud@latest{<v4>}~', 2],
  ['fraud:6', null],
  ['fraud:5~4', null],
  ['fraud:5^2', null],
  ['fraud@nobody', null],
  ['fraud@champion{<before2>}', null],
  ['fraud@nobody{<to2>}', null],
  ['fraud@latest{<before1>}', null],
  ['fraud@champion{2000-01-01T00:00Z}', null],
  ['Fraud:1', null],
  ['nothing:1', null],
];
/** Ids need no project. */
const ids: [string, number | null][] = [
  ['<id>', 4],
  ['<uuid>', 4],
  ['<uuid>~1', 2],
  ['<id>~1', 2],
  ['<id>^2', 3],
  ['<uuid>^2~', 1],
  ['00000000-0000-7000-8000-000000000000', null],
];

const prefixed = (ref: string): string => (/^\w+[:@]/.test(ref) ? `${PROJECT}/${ref}` : ref);

/** The number that a mutation tells of, at a path of its answer; null where it finds nothing. */
async function told(field: string, input: object, fields: string, path: string): Promise<number | null> {
  const result = await attempt(stack, field, { ...input }, fields);
  if ('made' in result) return within(result.made, path) as number;
  expect(result.refusal).toMatchObject({ __typename: 'NotFoundError', code: 'NOT_FOUND' });
  return null;
}

/** The number that a query tells of, at a path of its data; null where it finds nothing. */
async function read(field: string, variables: object, path: string): Promise<number | null> {
  const { body } = await stack.gql(`query ($ref: VersionRef!) { ${field} }`, { ...variables });
  if (!body.errors) return within(body.data, path) as number;
  expect(body.errors[0]?.extensions).toMatchObject({ code: 'NOT_FOUND' });
  return null;
}

const inProject = (field: string): string => `project(name: "${PROJECT}") { ${field} }`;
let probes = 0;

/** Every door that takes a reference: the number that it finds. */
const doors: Record<string, (ref: string) => Promise<number | null>> = {
  'Query.version': (ref) => read('version(ref: $ref) { number }', { ref: prefixed(ref) }, 'version.number'),
  'Project.version': async (ref) => {
    const query = `query ($ref: VersionRef!, $whole: VersionRef!) { ${inProject('short: version(ref: $ref) { number } whole: version(ref: $whole) { number }')} }`;
    type Found = { readonly number: number } | null;
    type Answer = { readonly project: Readonly<Record<'short' | 'whole', Found>> };
    const { project } = await stack.data<Answer>(query, { ref, whole: prefixed(ref) });
    expect(project.short).toEqual(project.whole);
    return project.short?.number ?? null;
  },
  'Project.diff from': (ref) =>
    read(
      inProject('diff(from: $ref, to: "fraud:1") { from { number } }'),
      { ref },
      'project.diff.from.number',
    ),
  'Project.diff to': (ref) =>
    read(inProject('diff(from: "fraud:1", to: $ref) { to { number } }'), { ref }, 'project.diff.to.number'),
  'createVersion.parents': async (ref) => {
    const input = { model: await stack.model('children'), artifacts: [bytes], parents: [ref] };
    return told('createVersion', input, 'parents { number }', 'parents.0.number');
  },
  setAlias: (version) =>
    told('setAlias', { model, name: `probe${++probes}`, version }, 'version { number }', 'version.number'),
  createDeployment: (version) =>
    told(
      'createDeployment',
      { project: PROJECT, name: `probe${++probes}`, version },
      'arms { version { number } }',
      'arms.0.version.number',
    ),
  restoreVersion: async (ref) => {
    const number = await told(
      'restoreVersion',
      { version: prefixed(ref) },
      'origin { ... on RestoreOrigin { from { number } } }',
      'origin.from.number',
    );
    // Out of the way of `latest`.
    if (number !== null) await done(stack, 'deleteVersion', { version: `${PROJECT}/fraud@latest` });
    return number;
  },
  updateVersion: (ref) => told('updateVersion', { version: prefixed(ref) }, 'number', 'number'),
  unarchiveVersion: (ref) => told('unarchiveVersion', { version: prefixed(ref) }, 'number', 'number'),
};

describe.each(Object.keys(doors))('%s', (door) => {
  test.each([...meanings, ...ids])('%s: %s', async (ref, number) => {
    expect(await doors[door]!(filled(ref))).toBe(number);
  });
});

test('what an alias is expected to stand for is told by reference too', async () => {
  for (const [ref, number] of [...meanings, ...ids]) {
    const input = { model, name: 'champion', version: 'fraud:4', expected: filled(ref) };
    const result = await attempt(stack, 'setAlias', input);
    const outcome = 'made' in result ? 'Alias' : result.refusal.__typename;
    expect([ref, outcome]).toEqual([
      ref,
      number === null ? 'NotFoundError' : number === 4 ? 'Alias' : 'ConflictError',
    ]);
  }
});

describe('wrong', () => {
  /** Doors of mutations, with the place of their reference. */
  const mutations: [string, (ref: string) => object, string[]][] = [
    ['createVersion', (ref) => ({ model, artifacts: [bytes], parents: ['fraud:1', ref] }), ['parents', '1']],
    ['setAlias', (version) => ({ model, name: 'wrong', version }), ['version']],
    ['setAlias', (expected) => ({ model, name: 'wrong', version: 'fraud:1', expected }), ['expected']],
    ['deleteAlias', (expected) => ({ model, name: 'champion', expected }), ['expected']],
    ['createDeployment', (version) => ({ project: PROJECT, name: 'wrong', version }), ['version']],
    ['restoreVersion', (version) => ({ version }), ['version']],
    ['updateVersion', (version) => ({ version }), ['version']],
    ['archiveVersion', (version) => ({ version }), ['version']],
    ['unarchiveVersion', (version) => ({ version }), ['version']],
    ['deleteVersion', (version) => ({ version }), ['version']],
  ];
  const queries: [string, string, string[]][] = [
    ['Query.version', 'version(ref: $ref) { id }', ['ref']],
    ['Project.version', `project(name: "${PROJECT}") { version(ref: $ref) { id } }`, ['ref']],
    [
      'diff from',
      `project(name: "${PROJECT}") { diff(from: $ref, to: "fraud:1") { from { id } } }`,
      ['from'],
    ],
    ['diff to', `project(name: "${PROJECT}") { diff(from: "fraud:1", to: $ref) { from { id } } }`, ['to']],
  ];
  const future = `${PROJECT}/fraud@champion{9999-01-01T00:00Z}`;

  test.each(mutations)('%s points at the place: %#', async (field, inputOf, path) => {
    const refusal = await refused(stack, field, { ...inputOf(`${PROJECT}/fraud:x`) });
    expect(issueOf(refusal)).toEqual({
      path,
      expected: 'a version number (1 or more)',
      found: '"x"',
      message: `${path.join('.')}: column 12: expected a version number (1 or more), found "x".`,
    });
    expect(issueOf(await refused(stack, field, { ...inputOf(future) }))).toMatchObject({
      path,
      expected: 'a time that has passed',
      found: '9999-01-01T00:00:00.000Z',
    });
    const modelId = issueOf(await refused(stack, field, { ...inputOf(model) }));
    expect(modelId).toMatchObject({ path, expected: 'a Version', found: 'the id of a Model' });
  });

  test.each(queries)('%s points at the place', async (_door, field, path) => {
    const query = `query ($ref: VersionRef!) { ${field} }`;
    for (const [ref, found] of [
      [`${PROJECT}/fraud:x`, '"x"'],
      [future, '9999-01-01T00:00:00.000Z'],
      [model, 'the id of a Model'],
    ]) {
      const { body } = await stack.gql(query, { ref });
      expect(body.errors?.[0]?.extensions).toMatchObject({ code: 'VALIDATION', issues: [{ path, found }] });
    }
  });

  test('without its project where none is given', async () => {
    const issue = issueOf(await refused(stack, 'archiveVersion', { version: 'fraud:1' }));
    expect(issue).toMatchObject({
      path: ['version'],
      expected: 'a reference with its project, such as demo/fraud:3',
    });
  });

  test('what was asked for and where to look is told', async () => {
    const found = async (version: string) => {
      const { what, hint } = await refused(stack, 'archiveVersion', { version: `${PROJECT}/${version}` });
      return [what, hint];
    };
    expect(await found('fraud:99')).toEqual([
      `Version ${PROJECT}/fraud:99`,
      expect.stringMatching(/^The model has had \d+ version\(s\) so far\.$/),
    ]);
    expect((await found('nothing:1'))[1]).toContain('nothing is none of them');
    expect((await found('fraud@nobody'))[1]).toContain('aliases');
    expect((await found('fraud:1^'))[1]).toContain('without parent 1');
  });
});
