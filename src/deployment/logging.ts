/** How a deployment's predictions are logged: how many with their payload, what is left out, how long they stay. Pure. */
import { shown } from '../name/name.ts';
import { ValidationError } from '../platform/errors.ts';
import type { Signature } from '../signature/signature.ts';
import { suggestion } from '../text/nearest.ts';
import type { DeploymentRow } from './deployment.queries.ts';

/** Days that a logged prediction may stay: each has partitions of its own. */
const retentions = [1, 7, 30, 90, 365] as const;

export interface Logging {
  /** Share of the requests whose inputs and outputs are kept, 0 to 1. */
  readonly sampleRate: number;
  /** Columns (inputs, where the version names no columns) whose values are not written down. */
  readonly redact: readonly string[];
  readonly retentionDays: number;
}

export type GivenLogging = { readonly [key in keyof Logging]?: Logging[key] | null | undefined };

export const defaultLogging: Logging = { sampleRate: 1, redact: [], retentionDays: 30 };

export function loggingOf(row: DeploymentRow): Logging {
  return { sampleRate: row.logSampleRate, redact: row.logRedact, retentionDays: row.logRetentionDays };
}

/**
 * What is given, and the rest as it was.
 * @throws ValidationError at a path below `logging`; a column to redact must be one of some signature's.
 */
export function checkLogging(
  given: GivenLogging,
  before: Logging,
  signatures: readonly Signature[],
): Logging {
  const sampleRate = given.sampleRate ?? before.sampleRate;
  if (!(sampleRate >= 0 && sampleRate <= 1))
    throw ValidationError.of(['logging', 'sampleRate'], '0 to 1', String(sampleRate));
  const retentionDays = given.retentionDays ?? before.retentionDays;
  if (!retentions.some((days) => days === retentionDays)) {
    const days = `${retentions.slice(0, -1).join(', ')} or ${retentions.at(-1)} days`;
    throw ValidationError.of(['logging', 'retentionDays'], days, String(retentionDays));
  }
  return {
    sampleRate,
    retentionDays,
    redact: given.redact ? checkRedact(given.redact, signatures) : before.redact,
  };
}

function checkRedact(redact: readonly string[], signatures: readonly Signature[]): string[] {
  const known = new Set(signatures.flatMap(redactable));
  redact.forEach((name, index) => {
    if (known.has(name)) return;
    const path = ['logging', 'redact', index];
    const kind = signatures.some(({ columns }) => columns !== null) ? 'a column' : 'an input';
    const hint = suggestion(name, known).trim();
    throw ValidationError.of(path, `${kind} of the signature`, shown(name), hint === '' ? {} : { hint });
  });
  return [...new Set(redact)];
}

/** What of a signature can be left out of the log: its columns, or its inputs where it names no columns. */
function redactable({ columns, inputs }: Signature): string[] {
  return (columns ?? inputs).map(({ name }) => name);
}

/** As it is kept in a deployment's row. */
export function loggingColumns({ sampleRate, redact, retentionDays }: Logging) {
  return { logSampleRate: sampleRate, logRedact: [...redact], logRetentionDays: retentionDays };
}
