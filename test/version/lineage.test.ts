/** Where versions come from: parents, children, and ancestors in pages. */
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { grow, lineages } from '#test/helpers/lineage.ts';
import { pageFields, pagesOf } from '#test/helpers/pages.ts';
import { done, held, issueOf, refused, versionFields } from '#test/helpers/registry.ts';
import type { HeldFile, VersionFacts } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createVersion, workDone } from '#test/helpers/work.ts';
import { toCursor } from '#src/paging/paging.ts';

let stack: Stack;
let bytes: HeldFile;

beforeAll(async () => {
  stack = await startStack();
  bytes = await held(stack, 'breast-cancer/v1.onnx');
});

const create = (model: string, input: object = {}): Promise<VersionFacts> =>
  done(stack, 'createVersion', { model, artifacts: [bytes], ...input }, versionFields);
const numbersOf = (versions: readonly { readonly number: number }[]) => versions.map(({ number }) => number);

interface Ancestors {
  readonly numbers: number[];
  readonly cursors: string[];
  readonly sizes: number[];
}

/** A version's ancestors, read in pages; `between` runs before each but the first. */
async function ancestorsOf(ref: string, first: number, between?: () => Promise<unknown>): Promise<Ancestors> {
  const query = `query ($ref: VersionRef!, $first: Int!, $after: String) { version(ref: $ref) {
    ancestors(first: $first, after: $after) { edges { cursor node { number } } ${pageFields} }
  } }`;
  type Edge = { readonly cursor: string; readonly node: { readonly number: number } };
  const pages = await pagesOf<Edge>(stack, query, { ref, first }, 'version.ancestors', between);
  const edges = pages.flatMap((page) => page.edges);
  expect(pages.map(({ pageInfo }) => pageInfo.hasPreviousPage)).toEqual(pages.map((_, index) => index > 0));
  return {
    numbers: edges.map(({ node }) => node.number),
    cursors: edges.map(({ cursor }) => cursor),
    sizes: pages.map((page) => page.edges.length),
  };
}

describe('parents', () => {
  test('without a word it is the newest version that was not rejected; none for the first', async () => {
    const model = await stack.model('plain');
    expect((await create(model)).parents).toEqual([]);
    const broken = await createVersion(stack, model, [{ name: 'broken.onnx', content: 'nothing' }]);
    await workDone(stack, broken.operation.id);
    expect(numbersOf((await create(model)).parents)).toEqual([1]);
    expect(numbersOf((await create(model)).parents)).toEqual([3]);
    expect((await create(model, { parents: [] })).parents).toEqual([]);
  });

  test('they come in the order in which they were given; children newest first', async () => {
    await grow(stack, bytes, 'merge', [[], [1], [1], [3, 2], [1]]);
    const query = `query ($ref: VersionRef!) { version(ref: $ref) { parents { number } children { number parents { number } } } }`;
    expect(await stack.data(query, { ref: `${PROJECT}/merge:4` })).toEqual({
      version: { parents: [{ number: 3 }, { number: 2 }], children: [] },
    });
    expect(await stack.data(query, { ref: `${PROJECT}/merge:1` })).toEqual({
      version: {
        parents: [],
        children: [5, 3, 2].map((number) => ({ number, parents: [{ number: 1 }] })),
      },
    });
  });

  test('of very many children the newest hundred are told', async () => {
    const children = Array.from({ length: 101 }, () => [1]);
    await grow(stack, bytes, 'fan', [[], ...children]);
    const query = `query { version(ref: "${PROJECT}/fan:1") { children { number } } }`;
    const { version } = await stack.data<{ version: { children: { number: number }[] } }>(query);
    expect(numbersOf(version.children)).toEqual(Array.from({ length: 100 }, (_, index) => 102 - index));
  });

  test('one may be of another model of the project', async () => {
    const base = await create(await stack.model('base'));
    const child = await create(await stack.model('tuned'), { parents: ['base:1'] });
    expect(child.parents).toEqual([{ id: base.id, number: 1 }]);
    expect((await ancestorsOf(child.id, 20)).numbers).toEqual([1]);
  });

  test('eight are taken, and refused is what cannot be', async () => {
    const roots = Array.from({ length: 9 }, () => []);
    const model = await grow(stack, bytes, 'many', roots);
    const eight = roots.slice(1).map((_, index) => `many:${index + 1}`);
    expect(numbersOf((await create(model, { parents: eight })).parents)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    await done(stack, 'createProject', { name: 'other' });
    const theirs = await done<{ id: string }>(stack, 'createModel', { project: 'other', name: 'm' }, 'id');
    const file = { name: bytes.path, content: Buffer.from('other bytes') };
    await createVersion(stack, theirs.id, [file]);
    for (const [parents, path, found] of [
      [[...eight, 'many:9'], ['parents'], '9'],
      [['many:1', 'many:2', 'many@latest^'], ['parents', '2'], 'many@latest^'],
      [['many:1', 'other/m:1'], ['parents', '1'], 'other/m:1, of another project'],
      [['many:x'], ['parents', '0'], '"x"'],
    ] as const) {
      const input = { model, artifacts: [bytes], parents };
      expect(issueOf(await refused(stack, 'createVersion', input))).toMatchObject({ path, found });
    }
    const missing = await refused(stack, 'createVersion', {
      model,
      artifacts: [bytes],
      parents: ['many:99'],
    });
    expect(missing).toMatchObject({ __typename: 'NotFoundError', what: 'Version many:99' });
    expect((await create(model)).number).toBe(11);
  });
});

/** Every number that a version comes from. */
function above(parents: readonly (readonly number[])[], number: number): Set<number> {
  const own = parents[number - 1]!;
  return new Set(own.flatMap((parent) => [parent, ...above(parents, parent)]));
}

describe('ancestors', () => {
  test('for every lineage: each is there once, before its own parents, however long the pages are', async () => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(lineages, fc.integer({ min: 1, max: 5 }), async (parents, first) => {
        const name = `lineage${++runs}`;
        await grow(stack, bytes, name, parents);
        for (const number of [parents.length, Math.ceil(parents.length / 2)]) {
          const ref = `${PROJECT}/${name}:${number}`;
          const { numbers, sizes } = await ancestorsOf(ref, first);
          expect(numbers.toSorted((a, b) => a - b)).toEqual(
            [...above(parents, number)].toSorted((a, b) => a - b),
          );
          for (const [index, each] of numbers.entries()) {
            for (const parent of parents[each - 1]!) expect(numbers.indexOf(parent)).toBeGreaterThan(index);
          }
          expect(sizes.slice(0, -1).every((size) => size === first)).toBe(true);
          expect((await ancestorsOf(ref, 100)).numbers).toEqual(numbers);
        }
      }),
      { numRuns: 8 },
    );
  });

  test('many ways to the same version are not walked one by one: this ends', async () => {
    const ladder = Array.from({ length: 60 }, (_, index) =>
      index < 2 ? [] : [index - (index % 2) - 1, index - (index % 2)],
    );
    await grow(stack, bytes, 'ladder', ladder);
    expect((await ancestorsOf(`${PROJECT}/ladder:60`, 7)).numbers).toHaveLength(58);
  });

  test('a cursor survives what is created and deleted meanwhile', async () => {
    const model = await grow(stack, bytes, 'moving', [[], [1], [1], [2, 3], [4], [5]]);
    const ref = `${PROJECT}/moving:6`;
    const { numbers, cursors } = await ancestorsOf(ref, 20);
    expect(numbers).toEqual([5, 4, 3, 2, 1]);
    const moving = await ancestorsOf(ref, 2, async () => {
      const { id } = await create(model, { parents: ['moving:1'] });
      await create(model, { parents: [`moving:6`, id] });
      await done(stack, 'deleteVersion', { version: (await create(model, { parents: ['moving:2'] })).id });
    });
    expect(moving).toEqual({ numbers, cursors, sizes: [2, 2, 1] });
  });

  test.each(['', 'x', toCursor(['x']), toCursor(['a b']), toCursor([]), toCursor(['', ''])])(
    'what is no cursor is refused: %j',
    async (after) => {
      const query = `query ($after: String) { version(ref: "${PROJECT}/ladder:60") { ancestors(after: $after) { edges { cursor } } } }`;
      const { body } = await stack.gql(query, { after });
      expect(body.errors?.[0]?.extensions).toMatchObject({
        code: 'VALIDATION',
        issues: [{ path: ['after'] }],
      });
    },
  );
});
