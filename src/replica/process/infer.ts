/** One inference request, however it came: its body read, run, and the answer written. */
import { decodeRequest } from '../../inference/protocol.decode.ts';
import { encodeResponse, type Encoded, type InferRequest } from '../../inference/protocol.ts';
import type { ReplicaStatus, ToldTiming } from '../../inference/replica-status.ts';
import { ValidationError } from '../../platform/errors.ts';
import { parseTensors } from '../../tensor/parse.ts';
import type { NamedTensor } from '../../tensor/tensor.ts';
import type { Ran } from './batcher.ts';
import { BodyTooLarge } from './body.ts';
import type { Launch } from './launch.ts';

/** What is needed of the replica behind its server. */
export interface Served {
  readonly launch: Launch;
  readonly token: string | null;
  /** Rows of several requests that are best run together; 0 or 1 when none are. */
  readonly sharedRows: number;
  readonly isReady: boolean;
  /** Whether inference is taken. */
  readonly answers: boolean;
  status(): ReplicaStatus;
  renewLease(): void;
  drain(): void;
  infer(inputs: readonly NamedTensor[], outputs: readonly string[], isAbandoned: () => boolean): Promise<Ran>;
  /** Called around each inference request, answered or not. */
  begin(): void;
  end(): void;
}

/** An answer other than 200. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** 4xx is the caller's doing, 503 was not executed, every other 5xx is the model's. */
export function statusOf(error: unknown): number {
  if (error instanceof HttpError) return error.status;
  if (error instanceof ValidationError) return 400;
  return error instanceof BodyTooLarge ? 413 : 500;
}

/** @throws HttpError while inference is not taken. */
export function checkAnswers(served: Served): void {
  if (!served.answers) throw new HttpError(503, `The replica is ${served.status().state}.`);
}

export interface Inferred {
  readonly encoded: Encoded;
  readonly timing: ToldTiming;
}

/**
 * Runs what a body asks for.
 * @param headerLength of its JSON header, before binary tensors; null: it is nothing but JSON.
 * @throws ValidationError, HttpError, Abandoned, or the runtime's own Error.
 */
export async function inferBody(
  served: Served,
  body: Buffer,
  headerLength: number | null,
  isAbandoned: () => boolean,
): Promise<Inferred> {
  const { launch } = served;
  const asked = decodeRequest(body, headerLength);
  const inputs = parseTensors(launch.signature, asked.inputs, { maxRows: Infinity, root: ['inputs'] });
  const { outputs, ...timing } = await served.infer(inputs, outputNames(served, asked), isAbandoned);
  const encoded = encodeResponse(
    {
      modelName: launch.modelName,
      modelVersion: String(launch.versionNumber),
      id: asked.id,
      parameters: {},
      outputs,
    },
    (name) => asked.outputs?.find((output) => output.name === name)?.binary ?? asked.binaryOutput,
  );
  return { encoded, timing: { ...timing, sharedRows: served.sharedRows } };
}

function outputNames(served: Served, asked: InferRequest): readonly string[] {
  const known = served.launch.signature.outputs;
  if (asked.outputs === null || asked.outputs.length === 0) return known.map(({ name }) => name);
  return asked.outputs.map(({ name }, index) => {
    if (known.some((output) => output.name === name)) return name;
    const names = known.map((output) => JSON.stringify(output.name)).join(', ');
    throw ValidationError.of(['outputs', index, 'name'], `one of ${names}`, JSON.stringify(name));
  });
}
