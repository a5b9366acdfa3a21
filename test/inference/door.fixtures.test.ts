/** Every fixture model by the Open Inference Protocol: in JSON and in bytes, answering as onnxruntime does. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import type { UploadFile } from '#test/helpers/client.ts';
import {
  binaryCall,
  errorOf,
  inferPath,
  jsonOf,
  readAnswer,
  sendInference,
  type ReadTensor,
} from '#test/helpers/open-inference.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn, stopped } from '#test/helpers/work.ts';
import {
  difference,
  fixturePredictions,
  fixtureSignature,
  fixtureVersions,
} from '#test/replica/process.harness.ts';

const folder = new URL('../fixtures/models/', import.meta.url);
const models = readdirSync(folder);
const hasLocale = execFileSync('locale', ['-a'], { encoding: 'utf8' }).toLowerCase().includes('en_us.utf8');
const REQUESTS = 6;

function filesOf(model: string, file: string): UploadFile[] {
  const names = model === 'external-data' ? [file, 'weights.bin'] : [file];
  return names.map((name) => ({ name, content: readFileSync(new URL(`${model}/${name}`, folder)) }));
}

type Expected = ReadTensor & { readonly value?: readonly Readonly<Record<string, number>>[] };

/** A sequence of maps, as ZipMap gives, stands for a matrix of probabilities. */
function asTensor(expected: Expected): ReadTensor {
  const { name, value } = expected;
  if (!value) return expected;
  const shape = [value.length, Object.keys(value[0] ?? {}).length];
  return { name, datatype: 'FP32', shape, data: value.flatMap((row) => Object.values(row)) };
}

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});

describe.each(models)('%s', (model) => {
  const versions = fixtureVersions(model).filter(({ version }) => version !== 'v2-locale' || hasLocale);
  const ids = new Map<string, string>();
  beforeAll(async () => {
    const started = versions.map(async ({ version, file }) => {
      const name = `${model}-${version}`;
      const { id } = await stack.createModelVersion(name, filesOf(model, file));
      const invalidOutputs = version === 'v6-nan' ? 'RETURN' : 'FAIL';
      ids.set(
        version,
        await createDeployment(stack, { project: PROJECT, name, version: id, invalidOutputs }),
      );
    });
    await Promise.all(started);
    return async () => {
      await Promise.all([...ids.values()].map((id) => stopped(stack, id)));
    };
  });

  test.each(versions.map(({ version }) => version))('%s, in JSON and in bytes', async (version) => {
    await deploymentIn(stack, ids.get(version) as string, ['LIVE', 'FAILED']);
    const { tolerance, requests } = fixturePredictions(model, version === 'v2-locale' ? 'v1' : version);
    const signature = fixtureSignature(model, version, true);
    const path = inferPath(`${model}-${version}`);
    const some = [...requests.slice(0, 2), ...requests.slice(2 - REQUESTS)];
    for (const { request, outputs } of some) {
      const json = await sendInference(stack, path, { body: request });
      const binary = await sendInference(stack, path, binaryCall(signature, request.inputs));
      expect(json.headers['content-type']).toBe('application/json');
      expect(binary.headers['content-type']).toBe('application/octet-stream');
      const expected = (outputs as Expected[]).map(asTensor);
      for (const answer of [readAnswer(json), readAnswer(binary)]) {
        expect(answer).toMatchObject({ modelName: `test/${model}-${version}`, modelVersion: '1' });
        expect(answer.outputs).toMatchObject(
          expected.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
        );
        expected.forEach(({ data, datatype }, at) => {
          const off = difference(answer.outputs[at]!.data, data);
          // Labels are exact.
          expect(off).toBeLessThanOrEqual(datatype.startsWith('FP') ? tolerance : 0);
        });
      }
      // The same model on the same input: no rounding by either way of writing it.
      expect(readAnswer(json).outputs).toEqual(readAnswer(binary).outputs);
      expect(readAnswer(json).id).toBe(request.id);
      expect(readAnswer(binary).id).toBe(binary.headers['x-request-id']);
    }
  });

  test('metadata are those of the graph', async () => {
    for (const { version, inputs, outputs } of versions) {
      await deploymentIn(stack, ids.get(version) as string, ['LIVE', 'FAILED']);
      const answer = jsonOf(await sendInference(stack, `/v2/models/test/${model}-${version}`));
      expect(answer).toMatchObject({
        name: `test/${model}-${version}`,
        versions: ['1'],
        platform: 'onnx_onnxv1',
      });
      if (inputs) {
        const declared = inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape }));
        expect(answer['inputs']).toEqual(declared);
      }
      // A ZipMap's output is offered as a tensor.
      const names = (answer['outputs'] as { name: string }[]).map(({ name }) => name);
      expect(names).toEqual((outputs ?? []).map(({ name }) => name));
    }
  });

  const invalid = versions.flatMap(({ version }) =>
    (fixturePredictions(model, version === 'v2-locale' ? 'v1' : version).invalid_requests ?? []).map(
      (one) => ({ version, ...one }),
    ),
  );
  if (invalid.length === 0) return;
  test('invalid requests: 400, with where, what was expected and what was found', async () => {
    for (const { version, why, request } of invalid) {
      await deploymentIn(stack, ids.get(version) as string, ['LIVE', 'FAILED']);
      const answer = await sendInference(stack, inferPath(`${model}-${version}`), { body: request });
      const { status, error } = errorOf(answer);
      expect(status, why).toBe(400);
      expect(error, why).toMatch(/(inputs|body).*: .*expected .*, found /);
    }
  });
});
