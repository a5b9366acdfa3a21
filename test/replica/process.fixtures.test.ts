/** Every fixture model through a real replica process gives the answers of onnxruntime, binary and as JSON. */
import { afterEach, describe, expect, test } from 'vitest';
import { jsonData } from '#src/tensor/json.ts';
import { parseTensors } from '#src/tensor/parse.ts';
import {
  difference,
  fixturePredictions,
  fixtureSignature,
  fixtureVersions,
  http,
  startReplica,
  type FixtureTensor,
  type RunningReplica,
} from '#test/replica/process.harness.ts';

/** Graphs with ZipMap are served from a derived graph; v2-locale cannot load here. */
const elsewhere = new Set(['iris/v1', 'iris/v3-int-zipmap', 'spam-text/v2-locale']);
const served = [
  'breast-cancer',
  'diamonds',
  'digits',
  'external-data',
  'iris',
  'penguins',
  'spam-text',
  'wine',
]
  .flatMap((model) => fixtureVersions(model).map(({ version }) => [model, version] as const))
  .filter(([model, version]) => !elsewhere.has(`${model}/${version}`));

let replica: RunningReplica | null = null;
afterEach(async () => {
  await replica?.stop();
  replica = null;
});

describe.each(served)('%s/%s', (model, version) => {
  const { tolerance, requests } = fixturePredictions(model, version);
  const signature = fixtureSignature(model, version, true);

  test('answers as onnxruntime does', async () => {
    replica = await startReplica(model, version, { launch: { signature } });
    expect((await replica.settled()).state).toBe('READY');
    const { client, ready } = replica;

    // All at once, so that they share exchanges and runs.
    const binary = await Promise.all(
      requests.map(({ request }) => client.infer(parseTensors(signature, request.inputs, { maxRows: 100 }))),
    );
    requests.forEach(({ outputs }, index) => {
      const actual = binary[index]!.outputs;
      expect(actual.map(({ name, datatype }) => [name, datatype])).toEqual(
        outputs.map(({ name, datatype }) => [name, datatype]),
      );
      outputs.forEach((expected, at) => {
        expect(actual[at]!.shape).toEqual(expected.shape);
        expect(difference(jsonData(actual[at]!), expected.data)).toBeLessThanOrEqual(tolerance);
      });
    });

    for (const { request, outputs } of requests.slice(-3)) {
      const answer = await http(ready.endpoint, 'POST', `/v2/models/${model}/versions/7/infer`, {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...request, parameters: { unknown: true } }),
      });
      const body = JSON.parse(answer.body.toString()) as { id: string; outputs: FixtureTensor[] };
      expect([answer.status, body.id]).toEqual([200, request.id]);
      outputs.forEach((expected, at) => {
        expect(body.outputs[at]).toMatchObject({ name: expected.name, shape: expected.shape });
        expect(difference(body.outputs[at]!.data, expected.data)).toBeLessThanOrEqual(tolerance);
      });
    }
  });
});

test('rows of a dynamically quantised graph influence one another, those of others do not', async () => {
  const independent: unknown[] = [];
  for (const version of ['v2', 'v3-int8']) {
    replica = await startReplica('digits', version);
    independent.push((await replica.settled()).rowsIndependent);
    await replica.stop();
  }
  replica = null;
  expect(independent).toEqual([true, false]);
});
