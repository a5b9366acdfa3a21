/** The protocol's door to a deployment with two arms: by version, by routing key, under an idempotency key, in time. */
import { beforeAll, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn } from '#test/helpers/work.ts';
import { fixturePredictions } from '#test/replica/process.harness.ts';

let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
  const versionOf = async (path: string) =>
    (await stack.createModelVersion('fraud', [fixtureFile(path)], breastCancerSignature)).id;
  const [old, fresh] = [
    await versionOf('breast-cancer/v2.onnx'),
    await versionOf('breast-cancer/v5-slow.onnx'),
  ];
  const arms = [
    { name: 'old', version: old, weight: 0.5 },
    { name: 'new', version: fresh, weight: 0.5 },
  ];
  await deploymentIn(stack, await createDeployment(stack, { project: PROJECT, name: 'split', arms }), 'LIVE');
});

const [input] = fixturePredictions('breast-cancer', 'v1').requests[0]!.request.inputs;

interface Answer {
  readonly status: number;
  readonly id: string | null;
  readonly body: { readonly model_version?: string; readonly outputs?: unknown; readonly error?: string };
}
async function infer(headers: Record<string, string> = {}, more: object = {}, path = ''): Promise<Answer> {
  const answer = await fetch(`${stack.api.url}/v2/models/${PROJECT}/split${path}/infer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ inputs: [input], ...more }),
  });
  const body = (await answer.json()) as Answer['body'];
  return { status: answer.status, id: answer.headers.get('x-request-id'), body };
}

test.each(['1', '2'])('version %s is asked whatever its weight', async (version) => {
  for (let again = 0; again < 8; again++)
    expect((await infer({}, {}, `/versions/${version}`)).body.model_version).toBe(version);
});
test('one that is not deployed: 404, and which are', async () => {
  const { status, body } = await infer({}, {}, '/versions/3');
  expect([status, body.error]).toEqual([404, expect.stringMatching(/Deployed there: 1, 2\./)]);
});

test('a routing key stays with its arm, and both arms have some', async () => {
  const versions = new Set<string | undefined>();
  for (let key = 0; key < 20; key++) {
    const headers = { 'x-routing-key': `patient ${key}` };
    const [first, second] = [await infer(headers), await infer(headers)];
    expect(second.body.model_version).toBe(first.body.model_version);
    versions.add(first.body.model_version);
  }
  expect(versions).toEqual(new Set(['1', '2']));
});

test('an idempotency key: the same request gets the same answer, another one a conflict', async () => {
  const headers = { 'idempotency-key': 'once' };
  const first = await infer(headers);
  const second = await infer(headers);
  expect(second).toEqual(first);
  expect(first.status).toBe(200);
  const other = await infer(headers, { outputs: [{ name: 'label' }] });
  expect([other.status, other.body.error]).toEqual([
    409,
    expect.stringMatching(/given with another request/),
  ]);
  const unlike = await infer({ 'idempotency-key': 'two words' });
  expect([unlike.status, unlike.body.error]).toEqual([400, expect.stringMatching(/idempotencyKey/)]);
});

test('timeout_ms: no answer in time is a 504; what is no time is refused', async () => {
  const late = await infer({}, { parameters: { timeout_ms: 1 } }, '/versions/2');
  expect(late.status).toBe(504);
  for (const timeout_ms of [0, 'soon']) {
    const { status, body } = await infer({}, { parameters: { timeout_ms } });
    expect([status, body.error]).toEqual([400, expect.stringMatching(/timeout/)]);
  }
});
