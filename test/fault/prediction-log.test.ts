/** PostgreSQL goes away while predictions are made: none fails for the log's sake, and the log goes on afterwards. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { predict, refusal } from '#test/helpers/predict.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { loggedBy, loggingOf, predictionsOf } from '#test/prediction/logged.ts';
import { patient } from '#test/prediction/served.ts';
import { Load, outcomes } from './load.ts';
import { OwnService } from './own-services.ts';

const PER_SECOND = 20;
const postgres = new OwnService('postgres');
let stack: Stack;
let deployment: string;

beforeAll(async () => {
  await postgres.start();
  const env = { DATABASE_URL: postgres.url, PREDICTION_LOG_PER_SECOND: String(PER_SECOND) };
  stack = await startStack({ env });
  const model = fixtureFile('breast-cancer/v1.onnx');
  const { id } = await stack.createModelVersion('fraud', [model], breastCancerSignature);
  deployment = (await stack.deploy(id, { name: 'fraud' })).id;
});

afterAll(async () => {
  await stack?.stop();
  await postgres.remove();
});

/** A prediction that is found in the log: there is room in it when all others are accounted for. */
async function logs(): Promise<void> {
  const { rows } = await predict(stack, { deployment, rows: [patient] });
  await loggedBy(stack, rows[0]!.predictionId);
}

/** Every request that has been asked is logged or counted. */
async function accounted(asked: number): Promise<{ logged: number; dropped: number }> {
  for (;;) {
    const { dropped } = await loggingOf(stack, deployment);
    let logged = 0;
    let after: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof predictionsOf>> = await predictionsOf(
        stack,
        deployment,
        { first: 100, after },
        'id',
      );
      logged += page.edges.length;
      after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    } while (after);
    if (logged + dropped >= asked) return { logged, dropped };
  }
}

test('no prediction fails, what does not fit is counted, and the log goes on', async () => {
  await logs();
  const load = new Load(stack, deployment, 4);
  await load.more(200);
  await postgres.end('SIGQUIT');
  const keyed = { deployment, rows: [patient], idempotencyKey: 'promised' };
  expect(await refusal(stack, keyed)).toMatchObject({
    __typename: 'NotReadyError',
    retryAfterMs: expect.any(Number),
  });
  await load.more(500);
  await postgres.start();
  await load.more(200);
  const ended = await load.stop();
  expect(outcomes(ended)).toEqual({ PredictPayload: ended.length });
  while ((await stack.gql('{ projects { name } }')).body.errors);

  const asked = ended.length + 1;
  const { logged, dropped } = await accounted(asked);
  // What was counted just as the database went away may have been counted twice.
  expect(logged + dropped).toBeGreaterThanOrEqual(asked);
  expect(logged).toBeLessThan(asked);
  expect(logged).toBeGreaterThan(2);
  expect(dropped).toBeGreaterThan(0);
  await logs();
  expect(await predict(stack, keyed)).toEqual(await predict(stack, keyed));
  expect(stack.api.written()).not.toContain('unhandled rejection');
});
