/** The log through the public door. */
import type { Call, Installation } from '#test/helpers/installation.ts';
import type { Variables } from '#test/helpers/client.ts';
import { pageFields, type PageOf } from '#test/helpers/pages.ts';

export interface Logged {
  readonly id: string;
  readonly requestId: string;
  readonly row: number;
  readonly arm: string;
  readonly at: string;
  readonly latencyMs: number;
  readonly error: string | null;
  readonly label: string | null;
  readonly probability: number | null;
  readonly value: number | null;
  readonly labels: readonly { readonly key: string; readonly value: string }[];
  readonly payload: string;
  readonly inputs: Readonly<Record<string, unknown>> | null;
  readonly outputs: Readonly<Record<string, unknown>> | null;
}

const loggedFields =
  'id requestId row arm at latencyMs error label probability value labels { key value } payload inputs outputs';

/** A prediction by its id, once it is in the log. */
export async function loggedBy<T = Logged>(
  stack: Installation,
  id: string,
  fields = loggedFields,
  call?: Call,
): Promise<T> {
  const query = `query ($id: ID!) { node(id: $id) { ... on Prediction { ${fields} } } }`;
  for (;;) {
    const { node } = await stack.data<{ node: T | null }>(query, { id }, call);
    if (node) return node;
  }
}

/** A page of a deployment's predictions. */
export async function predictionsOf(
  stack: Installation,
  deployment: string,
  args: Variables = {},
  fields = loggedFields,
): Promise<PageOf<{ readonly cursor: string; readonly node: Logged }>> {
  const query = `query ($id: ID!, $first: Int, $after: String, $filter: PredictionFilter) {
    node(id: $id) { ... on Deployment { predictions(first: $first, after: $after, filter: $filter) { ${pageFields} edges { cursor node { ${fields} } } } } }
  }`;
  const { node } = await stack.data<{
    node: { predictions: PageOf<{ cursor: string; node: Logged }> };
  }>(query, { id: deployment, ...args });
  return node.predictions;
}

/** Looks until a page holds so many. */
export async function untilLogged(
  stack: Installation,
  deployment: string,
  count: number,
  args: Variables = {},
): Promise<Logged[]> {
  for (;;) {
    const { edges } = await predictionsOf(stack, deployment, { first: 100, ...args });
    if (edges.length >= count) return edges.map(({ node }) => node);
  }
}

export interface Logging {
  readonly sampleRate: number;
  readonly redact: readonly string[];
  readonly retentionDays: number;
  readonly dropped: number;
}

export async function loggingOf(stack: Installation, deployment: string): Promise<Logging> {
  const query = `query ($id: ID!) { node(id: $id) { ... on Deployment { logging { sampleRate redact retentionDays dropped } } } }`;
  return (await stack.data<{ node: { logging: Logging } }>(query, { id: deployment })).node.logging;
}
