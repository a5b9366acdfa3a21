/** Many callers at once, and what they share. */
import { beforeAll, describe, expect, test } from 'vitest';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { predict } from '#test/helpers/predict.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn } from '#test/helpers/work.ts';
import { patient } from './served.ts';

let stack: Stack;
let quick: string;
let slow: string;

beforeAll(async () => {
  stack = await startStack();
  const versionOf = async (path: string) =>
    (await stack.createModelVersion('fraud', [fixtureFile(path)], breastCancerSignature)).id;
  quick = await versionOf('breast-cancer/v2.onnx');
  slow = await versionOf('breast-cancer/v5-slow.onnx');
});

async function deployed(name: string, input: object): Promise<string> {
  const id = await createDeployment(stack, { project: PROJECT, name, ...input });
  await deploymentIn(stack, id, 'LIVE');
  return id;
}

describe('batching', () => {
  const CALLERS = 32;
  /** Rows of the runs that answer so many callers at once, each with one row. */
  async function sizes(deployment: string): Promise<number[]> {
    const ask = () => predict(stack, { deployment, rows: [patient] });
    // The api learns from the first answer what may travel together.
    await ask();
    return (await Promise.all(Array.from({ length: CALLERS }, ask))).map(({ latency }) => latency.batchSize);
  }
  test('callers share runs, and each gets its own answer', async () => {
    expect(Math.max(...(await sizes(await deployed('shared', { version: quick }))))).toBeGreaterThan(1);
  });
  test('not where the deployment says so', async () => {
    const alone = await deployed('alone', { version: quick, batching: { maxRows: 1 } });
    expect(new Set(await sizes(alone))).toEqual(new Set([1]));
  });
  test('nor where a model takes rows one after the other, and sharing would only make everybody wait', async () => {
    expect(new Set(await sizes(await deployed('unshared', { version: slow })))).toEqual(new Set([1]));
  });
});
