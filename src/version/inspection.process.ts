/**
 * The child that reads an uploaded model: started by `inspection.ts`, ended by it at its limits. The request comes on
 * stdin as JSON; the answer leaves on file descriptor 3 as lines of JSON (stdout belongs to whoever logs).
 */
import { writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { Worker } from 'node:worker_threads';
import type { Signature } from '../signature/signature.ts';
import type { Session } from '../platform/onnx-runtime.ts';
import { layOutModel } from '../onnx/model-folder.ts';
import { readOnnxModel } from '../onnx/model.ts';
import type { OnnxModel } from '../onnx/model.ts';
import { OnnxFormatError, SignatureMismatch, UnsupportedGraphError } from '../onnx/onnx.errors.ts';
import { deriveServingGraph } from '../onnx/serving-graph.ts';
import { signatureOf } from '../onnx/signature.ts';
import { externalFiles, externalReader, findModel, RejectedFiles, unusedFiles } from './inspection.files.ts';
import type { ReadExternal } from '../onnx/tensor.ts';
import { childRequest } from './inspection.schema.ts';
import type { ChildRequest, InspectionFile, InspectionLine, ReadyResult } from './inspection.schema.ts';
import { disagreement, plainMessage, trialRun, tryLoading, withObservedShapes } from './inspection.trial.ts';

function answer(line: InspectionLine): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  for (let at = 0; at < bytes.length;) at += writeSync(3, bytes, at);
}

type Faces = Pick<OnnxModel, 'inputs' | 'outputs'>;

/** What was learnt from the bytes alone. Holds nothing of the bytes: the runtime will need their room. */
interface Read {
  readonly result: ReadyResult;
  readonly faces: Faces;
  /** The signature with the shapes a run has shown; undefined when the file declares them all. */
  readonly refine: ((observed: ReadonlyMap<string, readonly number[]>) => Signature) | undefined;
  /** The path the runtime can load the served graph from. */
  readonly path: string;
}

function placed(
  request: ChildRequest,
  model: InspectionFile,
  external: readonly InspectionFile[],
  graph: string,
) {
  if (external.length === 0) return graph;
  layOutModel(request.folder, [{ path: model.path, storedAt: graph }, ...external]);
  return join(request.folder, model.path);
}

/** Separate from `readFiles`, so that the bytes are kept only where there is a shape to refine. */
function refiner(found: OnnxModel, served: OnnxModel, request: ChildRequest, readExternal: ReadExternal) {
  const undeclared = served.outputs.some(({ type }) => type.kind === 'tensor' && type.dims === null);
  if (!undeclared) return undefined;
  return (observed: ReadonlyMap<string, readonly number[]>) =>
    signatureOf(found, withObservedShapes(served, observed), request.given, readExternal);
}

function readFiles(request: ChildRequest): Read {
  const found = findModel(request.files);
  const { file, model } = found;
  const external = externalFiles(found, request.files);
  const derived = deriveServingGraph(model);
  const served = derived === undefined ? model : readOnnxModel(derived.bytes);
  const readExternal = externalReader(file.path, external);
  const signature = signatureOf(model, served, request.given, readExternal);
  if (derived !== undefined) writeFileSync(request.servingTo, derived.bytes);
  const graph = derived === undefined ? file.storedAt : request.servingTo;
  return {
    result: {
      verdict: 'ready',
      signature,
      served: derived === undefined ? null : { transform: derived.transform, path: request.servingTo },
      opsets: Object.fromEntries(model.opsets),
      producer: model.producer,
      warnings: unusedFiles(file, external, request.files),
      modelFile: file.path,
    },
    faces: { inputs: served.inputs, outputs: served.outputs },
    refine: refiner(model, served, request, readExternal),
    path: placed(request, file, external, graph),
  };
}

/** Says what a row of zeros gave; never a reason to refuse. */
async function tried(read: Read, session: Session): Promise<ReadyResult> {
  try {
    const observed = await trialRun(session, read.faces.inputs);
    if (observed === undefined || read.refine === undefined) return read.result;
    return { ...read.result, signature: read.refine(observed) };
  } catch (error) {
    // The declared classes may not fit the shape that is known only now: that is the caller's to mend.
    if (error instanceof SignatureMismatch) throw error;
    const message = error instanceof Error ? plainMessage(error.message, read.path) : String(error);
    return { ...read.result, warnings: [`A trial run on one row of zeros failed: ${message}`] };
  }
}

async function inspect(request: ChildRequest): Promise<InspectionLine['result']> {
  const read = readFiles(request);
  globalThis.gc?.();
  const loaded = await tryLoading(read.path);
  if (loaded.outcome === 'refused') return { verdict: 'rejected', reason: loaded.reason };
  if (loaded.outcome === 'host') return { ...read.result, warnings: [loaded.warning] };
  const differs = disagreement(loaded.session, read.faces);
  if (differs !== undefined) return { verdict: 'rejected', reason: differs };
  answer({ stage: 'trial', result: read.result });
  return tried(read, loaded.session);
}

/** What the bytes or the caller are to blame for is an answer; anything else is a fault of this program. */
function asRejection(error: unknown): InspectionLine['result'] {
  if (error instanceof SignatureMismatch) {
    return { verdict: 'rejected', reason: error.message, issues: [...error.issues] };
  }
  const blamed =
    error instanceof RejectedFiles ||
    error instanceof OnnxFormatError ||
    error instanceof UnsupportedGraphError;
  if (blamed) return { verdict: 'rejected', reason: error.message };
  throw error;
}

// The main thread may hang within the runtime; whether the parent still lives is another thread's to watch.
const watchdog = new Worker(new URL('./inspection.watchdog.ts', import.meta.url));
watchdog.unref();
const request = childRequest.parse(await json(process.stdin));
const result = await inspect(request).catch(asRejection);
answer({ stage: 'done', result });
process.exit(0);
