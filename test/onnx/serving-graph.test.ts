import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readOnnxModel } from '#src/onnx/model.ts';
import { deriveServingGraph } from '#src/onnx/serving-graph.ts';
import { loadSession, Tensor } from '#src/platform/onnx-runtime.ts';
import type { Session } from '#src/platform/onnx-runtime.ts';
import { buildModel, elem, sequenceOutput, strings } from './build-model.ts';
import type { ModelSpec } from './build-model.ts';
import { fixture, fixtureVersions, predictions } from './fixtures.ts';
import type { Prediction } from './fixtures.ts';

const folder = mkdtempSync(join(tmpdir(), 'serving-graph-'));
afterAll(() => rmSync(folder, { recursive: true }));

function derive(bytes: Buffer): Buffer {
  const derived = deriveServingGraph(readOnnxModel(bytes));
  expect(derived?.transform).toBe('zipmap-removed/1');
  return derived?.bytes ?? Buffer.alloc(0);
}

function load(bytes: Buffer): Promise<Session> {
  const path = join(folder, 'served.onnx');
  writeFileSync(path, bytes);
  return loadSession(path, { threads: 1 });
}

/** A float output's values. */
function floats(answer: Awaited<ReturnType<Session['run']>>, name: string): number[] {
  const data = answer[name]?.data;
  if (!(data instanceof Float32Array)) throw new Error(`Output "${name}" is no float tensor.`);
  return [...data];
}

async function expectAnswer(session: Session, { request, outputs }: Prediction, tolerance: number) {
  const { shape = [], data = [] } = request.inputs[0] ?? {};
  const answer = await session.run({ input: new Tensor('float32', Float32Array.from(data), shape) });
  const [label, probability] = outputs;
  const labels = answer['output_label']?.data;
  expect(
    Array.isArray(labels) || labels instanceof BigInt64Array ? Array.from(labels, String) : labels,
  ).toEqual(label?.data?.map(String));
  const expected = probability?.value?.flatMap((row) => Object.values(row)) ?? [];
  expect(answer['output_probability']?.dims).toEqual([shape[0], 3]);
  const found = floats(answer, 'output_probability');
  for (const [at, value] of expected.entries())
    expect(Math.abs((found[at] ?? NaN) - value)).toBeLessThan(tolerance);
}

describe('a ZipMap at an output', () => {
  test.each(['v1', 'v3-int-zipmap'])('iris/%s answers as the original, as a tensor', async (version) => {
    const session = await load(derive(fixture(`iris/${version}`)));
    const { requests, tolerance } = predictions('iris', version);
    expect(requests.length).toBeGreaterThan(0);
    for (const prediction of requests) await expectAnswer(session, prediction, tolerance);
  });

  test('everything but the ZipMap stays, byte for byte', () => {
    const bytes = fixture('iris/v1');
    const before = readOnnxModel(bytes);
    const after = readOnnxModel(derive(bytes));
    expect(after.outputs).toEqual([
      before.outputs[0],
      { name: 'output_probability', type: { kind: 'tensor', elemType: elem.float, dims: [-1, 3] } },
    ]);
    const kept = before.nodes.filter((node) => node.opType !== 'ZipMap');
    for (const [at, node] of kept.entries()) {
      const same = after.nodes[at];
      expect(after.bytes.subarray(same?.start, same?.end)).toEqual(bytes.subarray(node.start, node.end));
    }
    expect(after.nodes.length).toBe(before.nodes.length);
    expect(after.opsets).toEqual(before.opsets);
    const tail = bytes.subarray(before.graphSpan.end);
    expect(after.bytes.subarray(after.graphSpan.end)).toEqual(tail);
  });
});

test('other graphs are served as they are', () => {
  const others = fixtureVersions.filter(({ id }) => !['iris/v1', 'iris/v3-int-zipmap'].includes(id));
  for (const { id, path } of others) {
    const file = fixture(path.slice(path.indexOf('/models/') + 8, -'.onnx'.length));
    expect(deriveServingGraph(readOnnxModel(file)), id).toBeUndefined();
  }
});

/** A ZipMap on a normalised input; by default nothing else uses what feeds it. */
function zipMapModel(changes: Partial<ModelSpec> = {}): ModelSpec {
  return {
    nodes: [
      { op: 'Normalizer', domain: 'ai.onnx.ml', inputs: ['x'], outputs: ['p'] },
      {
        op: 'ZipMap',
        domain: 'ai.onnx.ml',
        inputs: ['p'],
        outputs: ['maps'],
        attributes: [strings('classlabels_strings', ['no', 'yes'])],
      },
    ],
    inputs: [{ name: 'x', elem: elem.float, dims: [-1, 2] }],
    outputs: [sequenceOutput('maps')],
    ...changes,
  };
}

async function runOn(bytes: Buffer) {
  const session = await load(bytes);
  return session.run({ x: new Tensor('float32', Float32Array.of(1, 3), [1, 2]) });
}

describe('what feeds the ZipMap', () => {
  test('is also an output of its own', async () => {
    const outputs = [{ name: 'p', elem: elem.float, dims: [-1, 2] }, sequenceOutput('maps')];
    const answer = await runOn(derive(buildModel(zipMapModel({ outputs }))));
    expect(floats(answer, 'maps')).toEqual(floats(answer, 'p'));
  });

  test('is an input of the graph', async () => {
    const spec = zipMapModel();
    const nodes = spec.nodes.slice(1).map((node) => ({ ...node, inputs: ['x'] }));
    const answer = await runOn(derive(buildModel({ ...spec, nodes })));
    expect(floats(answer, 'maps')).toEqual([1, 3]);
  });

  test('lies in a graph that imports only ai.onnx.ml', async () => {
    const bytes = buildModel(zipMapModel({ opsets: { 'ai.onnx.ml': 1 } }));
    const derived = derive(bytes);
    expect(readOnnxModel(derived).opsets.get('ai.onnx')).toBe(13);
    const answer = await runOn(derived);
    expect(answer['maps']?.dims).toEqual([1, 2]);
  });
});

test('a ZipMap that feeds another node is left alone', () => {
  const spec = zipMapModel();
  const nodes = [...spec.nodes, { op: 'Identity', inputs: ['maps'], outputs: ['copy'] }];
  const outputs = [sequenceOutput('maps'), sequenceOutput('copy')];
  expect(deriveServingGraph(readOnnxModel(buildModel({ ...spec, nodes, outputs })))).toBeUndefined();
});
