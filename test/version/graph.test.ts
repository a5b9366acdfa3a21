/** The drawing of a lineage: Model.graph. */
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { toCursor } from '#src/paging/paging.ts';
import { followed, grow, lineages, type DrawnRow } from '#test/helpers/lineage.ts';
import { pageFields, pagesOf } from '#test/helpers/pages.ts';
import { done, held, versionFields, type HeldFile, type VersionFacts } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';

let stack: Stack;
let bytes: HeldFile;

beforeAll(async () => {
  stack = await startStack();
  bytes = await held(stack, 'breast-cancer/v1.onnx');
});

const create = (model: string, input: object = {}): Promise<VersionFacts> =>
  done(stack, 'createVersion', { model, artifacts: [bytes], ...input }, versionFields);

interface Edge {
  readonly cursor: string;
  readonly lane: number;
  readonly lines: readonly { readonly from: number; readonly to: number }[];
  readonly node: { readonly number: number; readonly parents: readonly { readonly number: number }[] };
}

/** A model's drawing, read in pages. */
async function drawingOf(model: string, first: number, between?: () => Promise<unknown>): Promise<Edge[]> {
  const query = `query ($id: ID!, $first: Int!, $after: String) { node(id: $id) { ... on Model {
    graph(first: $first, after: $after) { edges { cursor lane lines { from to } node { number parents { number } } } ${pageFields} }
  } } }`;
  const pages = await pagesOf<Edge>(stack, query, { id: model, first }, 'node.graph', between);
  return pages.flatMap(({ edges }) => edges);
}

const rowsOf = (edges: readonly Edge[]): DrawnRow[] =>
  edges.map(({ node: { number }, lane, lines }) => ({ number, lane, lines }));

describe('the drawing', () => {
  test('for every lineage: lines lead to the parents, and pages of any size fit together', async () => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(lineages, async (parents) => {
        const model = await grow(stack, bytes, `drawn${++runs}`, parents);
        const whole = await drawingOf(model, 100);
        expect(whole.map(({ node }) => node.number)).toEqual(
          parents.map((_, index) => parents.length - index),
        );
        const reached = followed(rowsOf(whole));
        parents.forEach((own, index) => expect(new Set(reached.get(index + 1))).toEqual(new Set(own)));
        for (const first of [1, 2, 3]) expect(await drawingOf(model, first)).toEqual(whole);
      }),
      { numRuns: 6 },
    );
  });

  test('what is created meanwhile comes above, what is deleted leaves no gap; parents elsewhere are not drawn', async () => {
    const model = await grow(stack, bytes, 'growing', [[], [1], [1], [2, 3]]);
    const whole = await drawingOf(model, 100);
    expect(await drawingOf(model, 1, () => create(model))).toEqual(whole);
    await done(stack, 'deleteVersion', { version: `${PROJECT}/growing@latest` });
    const base = await create(await stack.model('base'));
    const elsewhere = await create(model, { parents: [base.id, 'growing:4'] });
    const after = await drawingOf(model, 100);
    expect(after[0]?.node.parents).toHaveLength(2);
    const reached = followed(rowsOf(after));
    expect(reached.get(elsewhere.number)).toEqual([4]);
    expect(reached.has(7)).toBe(false);
  });

  test.each([['x', ''], ['1', 'x'], ['1', '-1'], ['-', '1'], ['1'], ['99999999999', '']])(
    'what is no cursor is refused: %j, %j',
    async (...key) => {
      const query = `query ($after: String) { project(name: "${PROJECT}") { model(name: "growing") { graph(after: $after) { edges { cursor } } } } }`;
      const { body } = await stack.gql(query, { after: toCursor(key) });
      expect(body.errors?.[0]?.extensions).toMatchObject({
        code: 'VALIDATION',
        issues: [{ path: ['after'] }],
      });
    },
  );
});
