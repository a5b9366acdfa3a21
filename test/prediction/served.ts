/** Fixture models in service, and rows for them. */
import { breastCancerColumns, fixtureFile } from '#test/helpers/models.ts';
import type { Stack } from '#test/helpers/stack.ts';
import { fixturePredictions } from '#test/replica/process.harness.ts';

export type Row = Record<string, unknown>;

/** Row 0 of a fixture's request for a model with one input, by column names. */
export function rowOf(model: string, columns: readonly string[], request = 0): Row {
  const { data } = fixturePredictions(model, 'v1').requests[request]!.request.inputs[0]!;
  return Object.fromEntries(columns.map((name, index) => [name, data[index]]));
}

export const patient = rowOf('breast-cancer', breastCancerColumns);
export const penguin: Row = {
  bill_length_mm: 41.4,
  bill_depth_mm: 18.6,
  flipper_length_mm: 191,
  body_mass_g: 3700,
  island: 'Biscoe',
  sex: 'male',
};

/** Makes a fixture the first version of a model and deploys it, both under the same name. */
export async function serve(stack: Stack, name: string, path: string, signature?: Row): Promise<void> {
  const { id } = await stack.createModelVersion(name, [fixtureFile(path)], signature);
  await stack.deploy(id, { name });
}
