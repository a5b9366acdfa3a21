/** Subscriptions by server-sent events, with nothing but fetch; and the same metrics over a WebSocket. */
import { beforeAll, describe, expect, test } from 'vitest';
import { breastCancerColumns, breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { predict, refusal } from '#test/helpers/predict.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';

interface Frame {
  readonly at: string;
  readonly gapBefore: boolean;
  readonly arms: readonly {
    readonly arm: string;
    readonly requests: number;
    readonly rowsPerSecond: number;
    readonly errors: object;
  }[];
}

const query = `subscription ($deployment: ID!, $backfill: Int) {
  deploymentMetrics(deployment: $deployment, backfillSeconds: $backfill) { at gapBefore arms { arm requests rowsPerSecond errors { client model server shed } } }
}`;

let stack: Stack;
const deployment = 'test/watched';
const row = Object.fromEntries(breastCancerColumns.map((name, index) => [name, index]));

beforeAll(async () => {
  stack = await startStack();
  const { id } = await stack.createModelVersion(
    'watched',
    [fixtureFile('breast-cancer/v2.onnx')],
    breastCancerSignature,
  );
  await stack.deploy(id, { name: 'watched' });
});

/** The events of a stream: name and parsed data. */
async function* events(response: Response): AsyncGenerator<{ name: string; data: unknown }, void, void> {
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (name !== undefined) yield { name, data: data ? (JSON.parse(data) as unknown) : undefined };
    }
  }
}

function open(variables: object, method: 'GET' | 'POST' = 'POST'): Promise<Response> {
  const headers = { accept: 'text/event-stream', 'content-type': 'application/json' };
  const url = `${stack.api.url}/graphql`;
  if (method === 'GET') {
    const search = new URLSearchParams({ query, variables: JSON.stringify(variables) });
    return fetch(`${url}?${search.toString()}`, { headers });
  }
  return fetch(url, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
}

describe('server-sent events', () => {
  test.each(['GET', 'POST'] as const)(
    'by %s: the past, then a frame a second, with what happened',
    async (method) => {
      const response = await open({ deployment, backfill: 2 }, method);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
      await predict(stack, { deployment, rows: [row, row] });
      await refusal(stack, { deployment, rows: [{}] });
      const frames: Frame[] = [];
      for await (const { name, data } of events(response)) {
        expect(name).toBe('next');
        const { deploymentMetrics } = (data as { data: { deploymentMetrics: Frame } }).data;
        frames.push(deploymentMetrics);
        const sum = frames.flatMap(({ arms }) => arms).reduce((total, { requests }) => total + requests, 0);
        if (sum >= 2 && frames.length > 3) break;
      }
      const times = frames.map(({ at }) => Date.parse(at));
      expect(times).toEqual(times.map((_, index) => times[0]! + index * 1000));
      const busy = frames.flatMap(({ arms }) => arms).filter(({ requests }) => requests > 0);
      expect(busy[0]).toMatchObject({ arm: 'stable' });
      expect(busy.reduce((total, { rowsPerSecond }) => total + rowsPerSecond, 0)).toBeGreaterThanOrEqual(2);
      expect(JSON.stringify(busy)).toContain('"client":1');
    },
  );

  test('an error ends the stream', async () => {
    const seen = [];
    for await (const event of events(await open({ deployment: 'test/nope' }))) seen.push(event);
    expect(seen[0]).toMatchObject({
      name: 'next',
      data: { errors: [{ extensions: { code: 'NOT_FOUND' } }] },
    });
    expect(seen.at(-1)?.name).toBe('complete');
  });

  test('a past that is too long', async () => {
    for await (const { data } of events(await open({ deployment, backfill: 121 }))) {
      expect(data).toMatchObject({
        errors: [{ extensions: { code: 'VALIDATION', issues: [{ path: ['backfillSeconds'] }] } }],
      });
      break;
    }
  });
});

test('over a WebSocket the frames are the same', async () => {
  const times: number[] = [];
  for await (const { deploymentMetrics } of stack.subscribe<{ deploymentMetrics: Frame }>(query, {
    deployment,
    backfill: 3,
  })) {
    times.push(Date.parse(deploymentMetrics.at));
    if (times.length === 6) break;
  }
  expect(times).toEqual(times.map((_, index) => times[0]! + index * 1000));
});
