/** Annotations as they come over the wire: far too deep, or numbers that JSON cannot say. */
import { beforeAll, describe, expect, test } from 'vitest';
import { done, held, versionAt, versionFields, type VersionFacts } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';

const version = `${PROJECT}/fraud:1`;
const result =
  'result: updateVersion(input: $input) { __typename ... on ValidationError { issues { path expected found } } }';
const document = `mutation ($input: UpdateVersionInput!) { ${result} }`;

let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
  const model = await stack.model('fraud');
  await done(stack, 'createVersion', { model, artifacts: [await held(stack, 'breast-cancer/v1.onnx')] });
});

/** Sends a body as it is. */
async function post(body: string): Promise<{ status: number; text: string }> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${stack.api.url}/graphql`, { method: 'POST', headers, body });
  return { status: response.status, text: await response.text() };
}

/** Sends metadata, as JSON text, for the version. */
const withMetadata = (metadata: string) =>
  post(
    `{"query":${JSON.stringify(document)},"variables":{"input":{"version":"${version}","metadata":${metadata}}}}`,
  );

const objects = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
const lists = (levels: number): string => `{"a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;

describe('depth', () => {
  test('16 levels are kept, 17 are not', async () => {
    for (const nested of [objects, lists]) {
      expect(JSON.parse((await withMetadata(nested(16))).text)).toEqual({
        data: { result: { __typename: 'Version' } },
      });
      expect((await versionAt(stack, version)).metadata).toEqual(JSON.parse(nested(16)));
      expect(JSON.parse((await withMetadata(nested(17))).text)).toEqual({
        data: {
          result: {
            __typename: 'ValidationError',
            issues: [{ path: ['metadata'], expected: 'at most 16 levels', found: 'more than 16' }],
          },
        },
      });
    }
  });

  // Eight times each: a document that is asked for often is compiled.
  test.each([10_000, 600_000])('%d levels are refused in words, as a variable', async (levels) => {
    for (let round = 0; round < 8; round++) {
      for (const nested of [objects, lists]) {
        const { text } = await withMetadata(nested(levels));
        expect(text.slice(0, 500)).toContain('"found":"more than 16"');
      }
    }
  });

  test.each([10_000, 100_000])(
    '%d levels are refused in words, as a part of the document',
    async (levels) => {
      for (const [open, close] of [
        ['{a:', '}'],
        ['[', ']'],
      ] as const) {
        const literal = `{a:${open.repeat(levels)}1${close.repeat(levels)}}`;
        const query = `mutation { ${result.replace('$input', `{ version: "${version}", metadata: ${literal} }`)} }`;
        const { text } = await post(JSON.stringify({ query }));
        expect(text.slice(0, 500)).not.toContain('INTERNAL');
        expect(text.slice(0, 500)).toMatch(/more than 16|too deep|TOO_DEEP|levels|GRAPHQL_PARSE_FAILED/i);
      }
    },
  );

  test('the api goes on', async () => {
    expect(await versionAt(stack, version)).toMatchObject({ number: 1 });
    expect(stack.api.written()).not.toMatch(/unhandled|RangeError/);
  });
});

describe('numbers', () => {
  const inMetric = (value: string) =>
    post(
      `{"query":${JSON.stringify(document)},"variables":{"input":{"version":"${version}","metrics":[{"name":"a","value":${value}}]}}}`,
    );

  test.each(['NaN', 'Infinity'])('%s is no JSON', async (value) => {
    expect((await inMetric(value)).status).toBe(400);
  });

  test.each(['1e400', '-1e400', '"NaN"', '"1"', 'null', 'true', '[1]'])(
    'a metric is not %s',
    async (value) => {
      const { text } = await inMetric(value);
      expect(text).toMatch(/Float cannot represent|must not be null|Expected value of non-null type/);
    },
  );

  test('a number that no double holds is not kept as null', async () => {
    const { text } = await withMetadata('{"a":1e400}');
    expect(text).toContain('ValidationError');
  });

  test('the largest and the smallest come back as they were', async () => {
    const metrics = [5e-324, 1.7976931348623157e308, 2 ** 53 + 2, 0.1].map((value, index) => ({
      name: `m${index}`,
      value,
    }));
    const { metrics: kept } = await done<VersionFacts>(
      stack,
      'updateVersion',
      { version, metrics, metadata: { numbers: metrics.map(({ value }) => value) } },
      versionFields,
    );
    expect(kept.map(({ name, value }) => ({ name, value }))).toEqual(metrics);
    expect((await versionAt(stack, version)).metadata).toEqual({
      numbers: metrics.map(({ value }) => value),
    });
  });

  test('a metric that no double holds is refused in the document too', async () => {
    const input = `{ version: "${version}", metrics: [{ name: "a", value: 1e400 }] }`;
    const query = `mutation { ${result.replace('$input', input)} }`;
    const { text } = await post(JSON.stringify({ query }));
    expect(text).not.toMatch(/INTERNAL|"Version"/);
    expect(await versionAt(stack, version)).toBeDefined();
  });
});
