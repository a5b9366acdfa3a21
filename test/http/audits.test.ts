/** Every audit of graphql-http (GraphQL over HTTP, the specification's MUST, SHOULD and MAY) on the real server. */
import { serverAudits } from 'graphql-http';
import { beforeAll, expect, test } from 'vitest';
import { startStack, type Stack } from '#test/helpers/stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ workers: 0 });
});

const audits = serverAudits({ url: () => `${stack.api.url}/graphql` });

test('there are as many as ever', () => {
  expect(audits.length).toBeGreaterThanOrEqual(61);
});

test.each(audits)('$id $name', async ({ fn }) => {
  const result = await fn();
  expect(result.status, 'reason' in result ? result.reason : '').toBe('ok');
});
