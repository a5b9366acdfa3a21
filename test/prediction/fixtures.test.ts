/** Every fixture model through the public door: uploaded, deployed, and answering as onnxruntime does. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import type { UploadFile, Variables } from '#test/helpers/client.ts';
import { predict, refusal, sendPredict, type Tensor } from '#test/helpers/predict.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn, stopped } from '#test/helpers/work.ts';
import { difference, fixturePredictions, fixtureVersions } from '#test/replica/process.harness.ts';

const folder = new URL('../fixtures/models/', import.meta.url);
const models = readdirSync(folder);
/** Enough of each version's two dozen: the first, the last, which hold what is special, and some between. */
const REQUESTS = 10;

function filesOf(model: string, file: string): UploadFile[] {
  const names = model === 'external-data' ? [file, 'weights.bin'] : [file];
  return names.map((name) => ({ name, content: readFileSync(new URL(`${model}/${name}`, folder)) }));
}

/** An output as the fixtures have it: a sequence of maps, as ZipMap gives, stands for a matrix of probabilities. */
type Expected = Tensor & { readonly value?: readonly Readonly<Record<string, number>>[] };

function asTensor(expected: Expected): Tensor {
  const { name, value } = expected;
  if (!value) return expected;
  const shape = [value.length, Object.keys(value[0] ?? {}).length];
  return { name, datatype: 'FP32', shape, data: value.flatMap((row) => Object.values(row)) };
}

/** Every version of a model: ingested and in service, all at once. */
async function serve(stack: Stack, model: string): Promise<Map<string, string>> {
  const deployments = fixtureVersions(model).map(async ({ version, file }): Promise<[string, string]> => {
    const { id } = await stack.createModelVersion(`${model}-${version}`, filesOf(model, file));
    const name = `${model}-${version}`;
    const invalidOutputs = version === 'v6-nan' ? 'RETURN' : 'FAIL';
    return [version, await createDeployment(stack, { project: PROJECT, name, version: id, invalidOutputs })];
  });
  return new Map(await Promise.all(deployments));
}

const hasLocale = execFileSync('locale', ['-a'], { encoding: 'utf8' }).toLowerCase().includes('en_us.utf8');

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});

describe.each(models)('%s', (model) => {
  let deployments: Map<string, string>;
  beforeAll(async () => {
    deployments = await serve(stack, model);
    return async () => {
      await Promise.all([...deployments.values()].map((id) => stopped(stack, id)));
    };
  });
  const versions = fixtureVersions(model).map(({ version }) => version);
  const served = versions.filter((version) => version !== 'v2-locale');

  test.each(served)('%s answers as onnxruntime does', async (version) => {
    const deployment = deployments.get(version) as string;
    expect(await deploymentIn(stack, deployment, ['LIVE', 'FAILED'])).toMatchObject({ state: 'LIVE' });
    const { tolerance, requests } = fixturePredictions(model, version);
    const some = [...requests.slice(0, 3), ...requests.slice(3 - REQUESTS)];
    const answers = await Promise.all(
      some.map(({ request }) => predict(stack, { deployment, tensors: request.inputs })),
    );
    some.forEach(({ outputs }, index) => {
      const { tensors, rows, warnings } = answers[index]!;
      const expected = (outputs as Expected[]).map(asTensor);
      expect(tensors).toMatchObject(expected.map(({ name, datatype, shape }) => ({ name, datatype, shape })));
      expected.forEach(({ data }, at) => {
        expect(difference(tensors[at]!.data, data)).toBeLessThanOrEqual(tolerance);
      });
      expect(rows).toHaveLength(expected[0]!.shape[0]!);
      expect(warnings.length > 0).toBe(expected.some(({ data }) => data.includes('NaN')));
    });
  });

  const invalid = versions.flatMap((version) =>
    (fixturePredictions(model, version)?.invalid_requests ?? []).map(({ why, request }) => ({
      version,
      why,
      request,
    })),
  );
  // GraphQL itself refuses what is no value of the schema's types.
  const beyondSchema = new Set(['unknown datatype', 'element count overflows 2^53']);

  if (invalid.length > 0) {
    test('invalid requests are refused with where, what was expected and what was found', async () => {
      for (const { version, why, request } of invalid) {
        const deployment = deployments.get(version) as string;
        await deploymentIn(stack, deployment, ['LIVE']);
        const input: Variables = { deployment, tensors: request.inputs };
        if (beyondSchema.has(why)) {
          const { body } = await sendPredict(stack, input);
          expect(body.data, why).toBeUndefined();
          expect(body.errors?.[0]?.message, why).toMatch(/"FLOAT"|2147483648/);
          continue;
        }
        const { __typename, code, issues = [] } = await refusal(stack, input);
        expect([__typename, code], why).toEqual(['ValidationError', 'VALIDATION']);
        expect(issues.length, why).toBeGreaterThan(0);
        for (const issue of issues) {
          expect(issue.path[0], why).toBe('tensors');
          expect(issue.expected, why).toBeTruthy();
          expect(issue.found, why).toBeTruthy();
          expect(issue.message, why).toContain(issue.expected);
        }
      }
    });
  }

  if (versions.includes('v2-locale') && !hasLocale) {
    test('v2-locale fails with the reason', async () => {
      const deployment = deployments.get('v2-locale') as string;
      const { state, stateReason } = await deploymentIn(stack, deployment, ['LIVE', 'FAILED']);
      expect(state).toBe('FAILED');
      expect(stateReason).toMatch(/could not be loaded.*en_US\.UTF-8/s);
      const query = `query ($id: ID!) { node(id: $id) { ... on Deployment { operation { kind status error { code message hint } } } } }`;
      const { node } = await stack.data<{ node: { operation: object } }>(query, { id: deployment });
      expect(node.operation).toEqual({
        kind: 'deployment.provision',
        status: 'FAILED',
        error: { code: 'PROVISIONING_FAILED', message: stateReason, hint: expect.any(String) },
      });
      expect(
        await refusal(stack, { deployment, tensors: [{ name: 'text', data: [['hello']] }] }),
      ).toMatchObject({
        __typename: 'NotReadyError',
        retryAfterMs: null,
        message: expect.stringContaining('FAILED'),
      });
    });
  }

  if (versions.includes('v2-locale') && hasLocale) {
    test('v2-locale answers as v1', async () => {
      const deployment = deployments.get('v2-locale') as string;
      await deploymentIn(stack, deployment, ['LIVE']);
      const { requests, tolerance } = fixturePredictions(model, 'v1');
      const { request, outputs } = requests[0]!;
      const { tensors } = await predict(stack, { deployment, tensors: request.inputs });
      outputs.forEach(({ data }, at) =>
        expect(difference(tensors[at]!.data, data)).toBeLessThanOrEqual(tolerance),
      );
    });
  }
});
