/** Which of the uploaded files is the model, and whether the others are what it needs. */
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { maxModelBytes, readOnnxModel } from '../onnx/model.ts';
import type { OnnxModel } from '../onnx/model.ts';
import { OnnxFormatError } from '../onnx/onnx.errors.ts';
import type { ReadExternal } from '../onnx/tensor.ts';
import type { InspectionFile } from './inspection.schema.ts';

/** The files as a whole cannot become a version; the message is for the person who uploaded them. */
export class RejectedFiles extends Error {
  override readonly name = 'RejectedFiles';
}

function read(file: InspectionFile): OnnxModel {
  const { size } = statSync(file.storedAt);
  if (size > maxModelBytes) {
    throw new OnnxFormatError(
      `It has ${size} bytes; an ONNX file cannot exceed ${maxModelBytes} (2 GiB). Keep the weights in external data files.`,
      maxModelBytes,
    );
  }
  return readOnnxModel(readFileSync(file.storedAt));
}

function readNamed(file: InspectionFile): OnnxModel {
  try {
    return read(file);
  } catch (error) {
    if (error instanceof OnnxFormatError) throw new RejectedFiles(`${file.path}: ${error.message}`);
    throw error;
  }
}

interface ModelFile {
  readonly file: InspectionFile;
  readonly model: OnnxModel;
}

/** Without the file extension: the only file that reads as ONNX, to which no others belong. */
function readUnnamed(files: readonly InspectionFile[]): ModelFile {
  const [only] = files;
  if (only !== undefined && files.length === 1) return { file: only, model: readNamed(only) };
  const found = files.flatMap((file) => {
    try {
      return [{ file, model: read(file) }];
    } catch (error) {
      if (error instanceof OnnxFormatError) return [];
      throw error;
    }
  });
  const [first] = found;
  if (first !== undefined && found.length === 1 && first.model.external.length === 0) return first;
  const paths = files.map((file) => file.path).join(', ');
  throw new RejectedFiles(
    first === undefined
      ? `None of the files is an ONNX model: ${paths}.`
      : `Which file is the model is unclear: name it with the ending .onnx. Found ${paths}.`,
  );
}

/**
 * Reads the model among the files: the only one that ends in `.onnx`, else the only one that reads as ONNX.
 * @throws RejectedFiles when there is none, or several, or it is not in order.
 */
export function findModel(files: readonly InspectionFile[]): ModelFile {
  if (files.length === 0) throw new RejectedFiles('No file was uploaded.');
  const named = files.filter((file) => file.path.toLowerCase().endsWith('.onnx'));
  if (named.length > 1) {
    const paths = named.map((file) => file.path).join(', ');
    throw new RejectedFiles(`A version holds one model; found ${named.length} ONNX files: ${paths}.`);
  }
  const [file] = named;
  return file === undefined ? readUnnamed(files) : { file, model: readNamed(file) };
}

/** An external location as a path among the uploaded files: it is relative to the model file's folder. */
function besideModel(modelPath: string, location: string): string {
  return posix.join(posix.dirname(modelPath), location);
}

/**
 * The uploaded files that hold the model's external data.
 * @throws RejectedFiles naming every file that is missing or too short.
 */
export function externalFiles(
  { file, model }: ModelFile,
  files: readonly InspectionFile[],
): InspectionFile[] {
  const byPath = new Map(files.map((each) => [each.path, each]));
  const needs = new Map<string, number>();
  for (const place of model.external) {
    const path = besideModel(file.path, place.location);
    needs.set(path, Math.max(needs.get(path) ?? 0, place.needs));
  }
  const problems: string[] = [];
  for (const [path, bytes] of needs) {
    const stored = byPath.get(path);
    if (path === file.path) problems.push(`${path} names itself as its external data.`);
    else if (stored === undefined)
      problems.push(`${file.path} needs the file ${path}, which was not uploaded.`);
    else if (statSync(stored.storedAt).size < bytes) {
      const { size } = statSync(stored.storedAt);
      problems.push(`${path} is too short: ${file.path} needs ${bytes} bytes of it, it has ${size}.`);
    }
  }
  if (problems.length > 0) throw new RejectedFiles(problems.join(' '));
  return [...needs.keys()].flatMap((path) => byPath.get(path) ?? []);
}

/** Files that often lie beside a model and are no part of it. */
const remarks = /\.(md|txt|json|ya?ml)$/i;

/** Says which files the model does not use: one of them may have the wrong name. */
export function unusedFiles(
  model: InspectionFile,
  external: readonly InspectionFile[],
  files: readonly InspectionFile[],
): string[] {
  return files
    .filter((each) => each.path !== model.path && !external.includes(each) && !remarks.test(each.path))
    .map(({ path }) => `${model.path} does not use the file ${path}; it is only kept beside it.`);
}

/** Reads slices of the uploaded external data files. */
export function externalReader(modelPath: string, files: readonly InspectionFile[]): ReadExternal {
  return ({ location, offset }, length) => {
    const stored = files.find((file) => file.path === besideModel(modelPath, location));
    if (stored === undefined) return undefined;
    const slice = Buffer.alloc(length);
    const handle = openSync(stored.storedAt, 'r');
    try {
      return readSync(handle, slice, 0, length, offset) === length ? slice : undefined;
    } finally {
      closeSync(handle);
    }
  };
}
