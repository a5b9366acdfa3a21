import * as fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ValidationError } from '#src/platform/errors.ts';
import type { Platform } from '#src/platform/platform.ts';
import { candidatesOf, fewest } from '#src/search/search.candidates.ts';
import { parseSearch } from '#src/search/search.parse.ts';
import { printSearch } from '#src/search/search.print.ts';
import { gather, sweep, walk } from '#src/search/search.queries.ts';
import { toCondition, type Lookup } from '#src/search/search.sql.ts';
import { searchVersionIds, searchVersions } from '#src/search/search.ts';
import { withNotAtTerms, type SearchNode, type SearchTerm } from '#src/search/search.tree.ts';
import { searches } from './arbitrary.ts';
import { isMatch } from './evaluate.ts';
import { createWorld, now, texts, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld(60);
});
afterAll(() => world.close());

const expected = (node: SearchNode): string[] =>
  world.versions.filter((version) => isMatch(node, version, now)).map(({ id }) => id);

const searchOf = (node: SearchNode) => {
  const { projectId } = world;
  return { projectId, now, node: withNotAtTerms(node), after: undefined, limit: 1000 };
};

/** Runs a check on the same random searches each time; the search that fails is printed as one would write it. */
async function forSearches(check: (node: SearchNode) => Promise<void>): Promise<void> {
  const writable = searches(texts).map((node) => ({ node, toString: () => printSearch(node) }));
  await fc.assert(
    fc.asyncProperty(writable, ({ node }) => check(node)),
    { numRuns: 100, seed: 11 },
  );
}

describe('PostgreSQL finds what a search means', () => {
  test.each<Lookup>(['each', 'all'])(
    'as a condition, with metrics and aliases looked up for %s',
    async (lookup) => {
      await forSearches(async (node) => {
        const { projectId, database } = world;
        const { rows } = await sql<{ id: string }>`
        select v.id from version v join model m on m.id = v.model_id
        where v.project_id = ${projectId} and v.deleted_at is null
          and ${toCondition(node, { projectId, now }, lookup)}
        order by v.id desc`.execute(database.db);
        expect(rows.map(({ id }) => id)).toEqual(expected(node));
      });
    },
  );

  test('for every term alone', async () => {
    const kinds = new Map<string, number>();
    const term = searches(texts).filter((node): node is SearchTerm => 'kind' in node && !('of' in node));
    for (const node of fc.sample(term, { numRuns: 1000, seed: 13 })) {
      const found = await sweep(world.database.db, searchOf(node));
      expect(found, printSearch(node)).toEqual(expected(node));
      const name = 'field' in node ? node.field : node.kind;
      kinds.set(
        name,
        (kinds.get(name) ?? 0) + (found.length > 0 && found.length < world.versions.length ? 1 : 0),
      );
    }
    // Each kind was asked for something that some have and some have not.
    expect([...kinds].filter(([, telling]) => telling === 0)).toEqual([]);
    expect(kinds.size).toBe(16);
  });

  test.each([
    'format:onnx',
    'format:onnx_2',
    'message:"MORE Data"',
    'message:"50% off\\\\"',
    'message:été',
    'FRAUD_',
    'name:fraud*',
    'name:Fraud_*',
    'author != ada',
    'author:bob_b',
    'tag:st*=d*',
    'tag:stage=""',
    'created:2026-11-21',
    'created > 2026-11-20',
    'created <= 2026-11-20',
    'created:2026-11-20..2026-11-21',
    'created:2026-11-21T12:00:00.001Z',
    'created > 24h',
    'metric.loss != 0.5',
    'metric.loss:*..*',
    'NOT metric.loss != 0.5',
    'bytes:1kB..1GB',
    'deployment:shop-*',
    'digest:ab*',
  ])('as written: %s', async (query) => {
    const node = parseSearch(['query'], query);
    const ids = await sweep(world.database.db, searchOf(node));
    expect(ids).toEqual(expected(node));
    expect(ids.length).toBeGreaterThan(0);
    expect(ids.length).toBeLessThan(world.versions.length);
  });

  test('in a walk, bounded', async () => {
    await forSearches(async (node) => {
      const { ids, end } = await walk(world.database.db, searchOf(node), 20);
      const walked = world.versions.slice(0, 20).map(({ id }) => id);
      expect(ids).toEqual(expected(node).filter((id) => walked.includes(id)));
      expect(end).toBe(walked.at(-1));
    });
  });

  test.each([
    'name:fraud* tag:stage',
    'name:*raud* OR name:fraud*',
    'name:f* NOT tag:stage=dev message:a',
    'name:c* shop',
  ])('in a walk that reads few versions: %s', async (query) => {
    const node = parseSearch(['query'], query);
    const search = searchOf(node);
    const found = await walk(world.database.db, search, 1000);
    expect(found).toEqual({ ids: expected(node), end: undefined });
    expect(found.ids.length).toBeGreaterThan(0);
    const after = found.ids[0];
    expect((await walk(world.database.db, { ...search, after }, 1000)).ids).toEqual(found.ids.slice(1));
  });

  test('in a sweep', async () => {
    await forSearches(async (node) => {
      expect(await sweep(world.database.db, searchOf(node))).toEqual(expected(node));
    });
  });

  test('among the candidates of any choice', async () => {
    let chosen = 0;
    await forSearches(async (node) => {
      const search = searchOf(node);
      for (const sign of [1, -1]) {
        let counted = 0;
        const choice = fewest(search.node, (term) =>
          candidatesOf(term, search) ? sign * counted++ : undefined,
        );
        if (!choice) continue;
        chosen += 1;
        const sources = choice.terms.flatMap((term) => candidatesOf(term, search) ?? []);
        expect(await gather(world.database.db, search, sources)).toEqual(expected(node));
      }
    });
    expect(chosen).toBeGreaterThan(50);
  });

  test('page by page, whichever way each page is found', async () => {
    const reaches = [
      { walks: [3, 6, 9], candidates: 4 },
      { walks: [1, 1, 1], candidates: 0 },
      { walks: [2, 2, 2], candidates: 1000 },
      { walks: [7, 30, 40], candidates: 10 },
    ] as const;
    await forSearches(async (node) => {
      for (const reach of reaches) {
        const found: string[] = [];
        let page: readonly string[];
        do {
          const search = { projectId: world.projectId, now, node, after: found.at(-1), limit: 7 };
          page = await searchVersions(world.database.db, search, reach);
          found.push(...page);
        } while (page.length === 7);
        expect(found).toEqual(expected(node));
      }
    });
  });
});

describe('searchVersionIds', () => {
  const find = (args: Parameters<typeof searchVersionIds>[2]) =>
    searchVersionIds({ db: world.database.db } as Platform, world.projectId, args);

  test('pages by the id', async () => {
    const query = 'NOT name:none';
    const first = await find({ query, first: 10 });
    expect(first).toEqual({
      items: world.versions.slice(0, 10).map(({ id }) => id),
      hasNextPage: true,
      hasPreviousPage: false,
    });
    const after = Buffer.from(JSON.stringify([first.items.at(-1)])).toString('base64url');
    const second = await find({ query, first: 100, after });
    expect(second.items).toEqual(world.versions.slice(10).map(({ id }) => id));
    expect(second).toMatchObject({ hasNextPage: false, hasPreviousPage: true });
  });

  test('refuses what is no search, and cursors of others', async () => {
    await expect(find({ query: 'name:' })).rejects.toThrow('query: column 6: expected a value of name');
    const after = Buffer.from('["fraud"]').toString('base64url');
    await expect(find({ query: 'a', after })).rejects.toThrow(ValidationError);
  });

  test.each([
    `name:"'; drop table version; --"`,
    'message:"\\\\"',
    'tag:"{\\"}"="]"',
    'metric."\': > 1',
    'a%_*',
  ])('takes %s for what it says', async (query) => {
    let node: SearchNode;
    try {
      node = parseSearch(['query'], query);
    } catch (error) {
      expect(error).toBeInstanceOf(ValidationError);
      return;
    }
    expect((await find({ query, first: 100 })).items).toEqual(expected(node));
  });
});
