/** Fixture models as somebody would upload them. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { UploadFile } from './client.ts';

const folder = new URL('../fixtures/models/', import.meta.url);

/** The bytes of a fixture's file, such as `iris/v1.onnx`. */
export function fixtureFile(path: string): UploadFile {
  return { name: path.slice(path.lastIndexOf('/') + 1), content: readFileSync(new URL(path, folder)) };
}

const meaning = z.object({
  feature_order: z.array(z.string()),
  classes: z.array(z.string()).optional(),
  positive_class: z.string().optional(),
});

/** What a fixture model's makers say of its columns and classes. */
export function meaningOf(model: string): z.infer<typeof meaning> {
  return meaning.parse(JSON.parse(readFileSync(new URL(`${model}/versions.json`, folder), 'utf8')));
}

/** The names of the columns of `breast-cancer`. */
export const breastCancerColumns = meaningOf('breast-cancer').feature_order;

/** What goes with a version of `breast-cancer` at createVersion. */
export const breastCancerSignature = {
  columns: breastCancerColumns.map((name) => ({ name })),
  classes: ['benign', 'malignant'],
  positiveClass: 'malignant',
  task: 'BINARY',
};
