/** The fixture models and what their makers say about them. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

export const modelsFolder = fileURLToPath(new URL('../fixtures/models/', import.meta.url));

const tensor = z.object({
  name: z.string(),
  /** Not there where the value is no tensor. */
  datatype: z.string().optional(),
  onnx_type: z.string(),
  shape: z.array(z.number()),
});

const versionsFile = z.object({
  versions: z.array(
    z.object({
      version: z.string(),
      file: z.string(),
      ir_version: z.number().optional(),
      producer: z.string().optional(),
      opset: z.record(z.string(), z.number()).optional(),
      inputs: z.array(tensor).optional(),
      outputs: z.array(tensor).optional(),
    }),
  ),
});

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(`${modelsFolder}${path}`, 'utf8'));
}

/** Every version of every fixture model; `id` is such as `iris/v1`. */
export const fixtureVersions = readdirSync(modelsFolder).flatMap((model) =>
  versionsFile.parse(readJson(`${model}/versions.json`)).versions.map((version) => ({
    ...version,
    id: `${model}/${version.version}`,
    path: `${modelsFolder}${model}/${version.file}`,
  })),
);

/** The bytes of a fixture such as `iris/v1`. */
export function fixture(id: string): Buffer {
  return readFileSync(`${modelsFolder}${id}.onnx`);
}

const predictionsFile = z.record(
  z.string(),
  z.object({
    tolerance: z.number(),
    requests: z.array(
      z.object({
        request: z.object({
          inputs: z.array(z.object({ shape: z.array(z.number()), data: z.array(z.number()) })),
        }),
        outputs: z.array(
          z.object({
            name: z.string(),
            data: z.array(z.union([z.string(), z.number()])).optional(),
            /** In place of `data` where the output is a sequence of maps. */
            value: z.array(z.record(z.string(), z.number())).optional(),
          }),
        ),
      }),
    ),
  }),
);
type Predictions = z.infer<typeof predictionsFile>[string];
export type Prediction = Predictions['requests'][number];

/** Requests of numbers with the runtime's answers, and how far off an answer may be. */
export function predictions(model: string, version: string): Predictions {
  const found = predictionsFile.parse(readJson(`${model}/predictions.json`))[version];
  if (found === undefined) throw new Error(`No predictions for ${model}/${version}.`);
  return found;
}
