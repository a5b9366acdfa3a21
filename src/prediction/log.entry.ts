/** What the log takes down of a request: references first, and what becomes a row of them when there is time. */
import type { ArmRoute, RolloutRoute } from '../deployment/routing.ts';
import type { PredictionPayload, TagRecord } from '../platform/database.types.ts';
import { newId, timeOfId } from '../platform/id.ts';
import type { Signature } from '../signature/signature.ts';
import { packTensors } from '../tensor/packed.ts';
import { rowResults, type JsonNumber } from '../tensor/results.ts';
import { allocate, rowSize, type NamedTensor, type TensorData } from '../tensor/tensor.ts';

/** A request that has ended. Its tensors must not change any more. */
export interface LogEntry {
  readonly deploymentId: string;
  readonly arm: Pick<ArmRoute, 'name' | 'weight' | 'version' | 'signature'>;
  /** The one that ran. */
  readonly rollout: Pick<RolloutRoute, 'id' | 'step'> | null;
  /** null: it failed, and its caller was told no id. */
  readonly requestId: string | null;
  readonly rows: number;
  readonly latencyMs: number;
  /** Code of the error that it ended with; null: it was answered. */
  readonly error: string | null;
  readonly labels: readonly TagRecord[] | null;
  readonly inputs: readonly NamedTensor[];
  /** null where it failed. */
  readonly outputs: readonly NamedTensor[] | null;
}

/** An entry as it waits: with the tensors that it may still need. */
export interface Waiting {
  readonly entry: Omit<LogEntry, 'inputs' | 'outputs' | 'requestId'>;
  readonly requestId: string;
  readonly inputs: readonly NamedTensor[] | null;
  readonly outputs: readonly NamedTensor[] | null;
  readonly tooLarge: boolean;
  /** 0 to 1: below the deployment's rate it is in the sample. */
  readonly luck: number;
}

/** A failed request has no id yet: it gets one as it is held. */
export function idOf(entry: LogEntry): string {
  return entry.requestId ?? newId();
}

/** How a deployment wants to be logged, at the time of writing. */
export interface Settings {
  readonly sampleRate: number;
  readonly redact: readonly string[];
  readonly retentionDays: number;
}

/** A row, as JSON for PostgreSQL; its payload stands apart. */
export interface Encoded {
  readonly row: Readonly<Record<string, unknown>>;
  readonly at: Date;
  readonly retentionDays: number;
  readonly inputs: Buffer | null;
  readonly outputs: Buffer | null;
}

export function encode(waiting: Waiting, settings: Settings): Encoded {
  const { entry, requestId, outputs } = waiting;
  const { arm, rollout, rows } = entry;
  const { signature } = arm;
  const at = timeOfId(requestId);
  const payload = payloadOf(waiting, settings);
  const kept = payload === 'LOGGED';
  const redacted = kept && settings.redact.length > 0 ? settings.redact : null;
  return {
    at,
    retentionDays: settings.retentionDays,
    inputs: kept && waiting.inputs ? packInputs(signature, waiting.inputs, redacted ?? []) : null,
    outputs: kept && outputs ? packTensors(signature.outputs, outputs) : null,
    row: {
      request_id: requestId,
      at: at.toISOString(),
      retention_days: settings.retentionDays,
      deployment_id: entry.deploymentId,
      version_id: arm.version.id,
      weight: arm.weight,
      latency_ms: entry.latencyMs,
      rows,
      arm: arm.name,
      error: entry.error,
      labels: entry.labels,
      ...(outputs ? answersOf(signature, outputs, rows) : {}),
      payload,
      redacted,
      rollout_id: rollout?.id,
      rollout_step: rollout?.step,
    },
  };
}

function payloadOf({ tooLarge, luck, inputs }: Waiting, { sampleRate }: Settings): PredictionPayload {
  if (tooLarge) return 'TOO_LARGE';
  return inputs !== null && luck < sampleRate ? 'LOGGED' : 'NOT_SAMPLED';
}

/** What PostgreSQL's text cannot hold is replaced: a model may answer anything. */
const storable = (text: string): string => text.toWellFormed().replaceAll('\0', '\ufffd');

/**
 * Per row the label, and the number that goes with it: a regression's value, else the probability. Enough to judge a row by
 * what turns out later.
 */
function answersOf(signature: Signature, outputs: readonly NamedTensor[], rows: number) {
  const results = rowResults(signature, outputs, rows);
  const labels = results.map(({ label }) => (label === null ? null : storable(label)));
  const numbers = results.map((result): JsonNumber | null => result.value ?? result.probability);
  return {
    answer_labels: labels.some((label) => label !== null) ? labels : null,
    answer_numbers: numbers.some((number) => number !== null) ? numbers : null,
  };
}

function packInputs(signature: Signature, inputs: readonly NamedTensor[], redact: readonly string[]): Buffer {
  return packTensors(
    signature.inputs,
    redact.length === 0 ? inputs : withoutRedacted(signature, inputs, redact),
  );
}

/** Copies in which the cells of redacted columns are empty; inputs that are redacted whole are not there. */
function withoutRedacted(
  signature: Signature,
  inputs: readonly NamedTensor[],
  redact: readonly string[],
): NamedTensor[] {
  const { columns } = signature;
  if (columns === null) return inputs.filter(({ name }) => !redact.includes(name));
  const hidden = columns.filter(({ name }) => redact.includes(name));
  return inputs.map((tensor) => {
    const cells = hidden.filter(({ input }) => input === tensor.name).map(({ index }) => index ?? 0);
    return cells.length === 0 ? tensor : { ...tensor, data: emptied(tensor, cells) };
  });
}

function emptied({ datatype, shape, data }: NamedTensor, cells: readonly number[]): TensorData {
  const empty = allocate(datatype, 1)[0]!;
  const copy = data.slice();
  const step = Math.max(1, rowSize(shape));
  for (let row = 0; row < copy.length; row += step) for (const cell of cells) copy[row + cell] = empty;
  return copy;
}

/** One row of the inputs: by column where the version names them, else by input. Redacted ones are not there. */
export function inputsOf(
  signature: Signature,
  row: number,
  rows: number,
  inputs: readonly NamedTensor[],
  redacted: readonly string[],
): Record<string, unknown> {
  const byInput = rowResults(signature, inputs, rows)[row]?.outputs ?? {};
  const { columns } = signature;
  if (columns === null) return byInput;
  const cells = columns
    .filter(({ name }) => !redacted.includes(name))
    .map(({ name, input, index }) => [name, cellOf(byInput[input], index ?? 0)]);
  return Object.fromEntries(cells) as Record<string, unknown>;
}

/** A column's cell within its input's row, which may be nested, or one value. */
function cellOf(input: unknown, index: number): unknown {
  const cells = [input].flat(Infinity);
  return cells[index] ?? null;
}
