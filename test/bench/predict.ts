/** One row of 30 named columns through GraphQL, counted, against a bare proxy that carries the same bytes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startChild } from './child.ts';
import type { Duration } from './compare.ts';
import { postText } from './graphql.ts';
import { cpuSeconds } from './process-usage.ts';
import { ratioFigure } from './ratio.ts';
import { root, type Stack } from './stack.ts';
import type { Figure } from './table.ts';

const TARGET = 0.45;

const query = `mutation Predict($rows: [Row!]!) {
  predict(input: { deployment: "demo/breast-cancer", rows: $rows }) {
    ... on PredictPayload { rows { predictionId label probability } }
    ... on Error { code message }
  }
}`;

/** A prediction on the demo, with the row of its curl line. */
export function predictRequest(): { query: string; variables: { rows: unknown } } {
  const file = join(root, 'src/local/demo/predict.json');
  const { variables } = JSON.parse(readFileSync(file, 'utf8')) as { variables: { rows: unknown } };
  return { query, variables: { rows: variables.rows } };
}

export async function predict(stack: Stack, duration: Duration): Promise<Figure[]> {
  const bodies = [JSON.stringify(predictRequest())];
  const answer = await postText(stack.url, predictRequest());
  const socket = join(stack.dataDir, 'run', 'bench.sock');
  const behind = startChild('static.process.ts', [socket, answer]);
  try {
    await behind.next();
    const proxy = startChild('proxy.ts', [socket]);
    try {
      const { port } = await proxy.next<{ port: number }>();
      const mark = '"label":"malignant"';
      const ours = {
        target: { port: Number(new URL(stack.url).port), bodies, mark },
        cpu: () => ({ api: cpuSeconds([stack.pid('api')]), replica: cpuSeconds(stack.replicaPids()) }),
      };
      const limit = {
        target: { port, bodies, mark },
        cpu: () => ({ proxy: cpuSeconds([proxy.pid]), 'behind it': cpuSeconds([behind.pid]) }),
      };
      const what = 'Predict over GraphQL, 1 row of 30 columns, counted';
      return [await ratioFigure(what, [ours, limit], 'bare proxy, same bytes', TARGET, duration)];
    } finally {
      await proxy.end();
    }
  } finally {
    await behind.end();
  }
}
