/** GraphiQL from the package, the tour, and a server that tells nothing of its schema. */
import { parse, validate } from 'graphql';
import { beforeAll, describe, expect, test } from 'vitest';
import { schema } from '#schema/schema.ts';
import { tour } from '#schema/tour.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ workers: 0, env: { INTROSPECTION: 'false' } });
});

const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

describe('GraphiQL', () => {
  test('has everything in the page: it works without internet', async () => {
    const response = await fetch(`${stack.api.url}/graphql`, { headers: html });
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(response.headers.get('x-frame-options')).toBe('DENY');
    const page = await response.text();
    const tags = [...page.matchAll(/<(?:script|link|img|iframe|source)\b[^>]*>/g)].map(([tag]) => tag);
    expect(tags.length).toBeGreaterThan(0);
    for (const tag of tags) expect(tag).not.toMatch(/(?:src|href)\s*=\s*["']?(?:https?:)?\/\//i);
    expect(page).not.toMatch(/@import\s+(?:url\()?["']?(?:https?:)?\/\//);
    expect(page).not.toMatch(/\bimport\s*\(\s*["']https?:\/\//);
  });

  test('opens the tabs of the tour, and a link brings them back', async () => {
    const page = await (await fetch(`${stack.api.url}/graphql?tour`, { headers: html })).text();
    for (const { query } of tour()) {
      const [heading = ''] = query.split('\n');
      expect(page).toContain(heading);
    }
    expect(page).toContain('href="?tour"');
    expect(page).toContain("has('tour')");
  });

  test('is what a browser gets at the root', async () => {
    const response = await fetch(stack.api.url, { headers: html });
    expect(response.url).toBe(`${stack.api.url}/graphql`);
    expect(await response.text()).toContain('<title>Modelarium</title>');
  });

  test('every tab is right for the schema', () => {
    expect(tour().length).toBeGreaterThanOrEqual(4);
    for (const { query, variables } of tour()) {
      expect(validate(schema, parse(query))).toEqual([]);
      expect(() => JSON.parse(variables ?? '{}') as unknown).not.toThrow();
    }
  });
});

describe('INTROSPECTION=false', () => {
  const headers = { accept: 'application/graphql-response+json' };

  test.each(['{ __schema { types { name } } }', '{ __type(name: "Query") { name } }'])(
    '%s is refused',
    async (query) => {
      const { status, body } = await stack.gql(query, {}, { headers });
      expect(status).toBe(400);
      expect(body.errors?.[0]?.message).toMatch(/introspection has been disabled/);
    },
  );

  test('the name of a type can still be asked for', async () => {
    expect(await stack.data('{ __typename viewer { __typename } }')).toEqual({
      __typename: 'Query',
      viewer: { __typename: 'Viewer' },
    });
  });
});

describe('health', () => {
  test('live', async () => {
    const response = await fetch(`${stack.api.url}/health/live`);
    expect([response.status, await response.json()]).toEqual([200, { live: true }]);
  });

  test('ready says of each part how it is', async () => {
    const response = await fetch(`${stack.api.url}/health/ready`);
    const parts = { postgres: 'ready', redis: 'ready', artifactStore: 'ready' };
    expect([response.status, await response.json()]).toEqual([200, { ready: true, parts }]);
  });
});
