/** Pages of models, also once their document is compiled and their reads are shared by many at a time. */
import { beforeAll, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';

const page = `query Page($after: String) {
  project(name: "${PROJECT}") {
    models(first: 2, after: $after) {
      edges {
        cursor
        node { id name createdAt createdBy { name kind } latest { number status createdAt signature { columns { name } } } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}`;

interface Page {
  readonly project: {
    readonly models: {
      readonly edges: readonly {
        readonly node: {
          readonly name: string;
          readonly createdAt: string;
          readonly latest: { number: number; status: string; signature: { columns: unknown[] } } | null;
        };
      }[];
      readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string };
    };
  };
}

let stack: Stack;
const read = async (after: string | null = null): Promise<Page['project']['models']> =>
  (await stack.data<Page>(page, { after })).project.models;

beforeAll(async () => {
  stack = await startStack();
  for (const name of ['c', 'a', 'b']) await stack.model(name);
  await stack.createModelVersion('a', [fixtureFile('breast-cancer/v1.onnx')], breastCancerSignature);
});

test('models come by name, each with its newest version whole', async () => {
  const first = await read();
  expect(first.edges.map(({ node }) => node.name)).toEqual(['a', 'b']);
  expect(first.edges[0]?.node.latest).toMatchObject({ number: 1, status: 'READY' });
  expect(first.edges[0]?.node.latest?.signature.columns).toHaveLength(30);
  expect(first.edges[1]?.node.latest).toBeNull();
  expect(first.edges[0]?.node.createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  expect(first.pageInfo.hasNextPage).toBe(true);
  const second = await read(first.pageInfo.endCursor);
  expect(second.edges.map(({ node }) => node.name)).toEqual(['c']);
  expect(second.pageInfo.hasNextPage).toBe(false);
});

test('many that ask together get what each would get alone', async () => {
  const alone = await read();
  const { endCursor } = alone.pageInfo;
  const next = await read(endCursor);
  for (let round = 0; round < 4; round++) {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => read(i % 2 === 0 ? null : endCursor)),
    );
    answers.forEach((answer, i) => expect(answer).toEqual(i % 2 === 0 ? alone : next));
  }
});

test('whoever asks sees what was done before, however busy the list is', async () => {
  const over = new AbortController();
  const others = Array.from({ length: 8 }, async () => {
    while (!over.signal.aborted) await read();
  });
  try {
    for (const name of ['9', '8', '7']) {
      await stack.model(name);
      expect((await read()).edges[0]?.node.name).toBe(name);
    }
  } finally {
    over.abort();
    await Promise.all(others);
  }
});
