/** What an answer comes to, in one word. */
import { hash } from 'node:crypto';
import type { Signature } from '../signature/signature.ts';
import { resultAt } from '../tensor/results.ts';
import type { NamedTensor } from '../tensor/tensor.ts';

/** Classes that are told apart one by one. */
const MOST_CLASSES = 50;
/** Of more, or of any texts: what one is counted as depends on nothing but itself, so that both arms count alike. */
const GROUPS = 32;

/**
 * The answer for one row at random: its class (one of 32 groups of them, where there are many), or a regression's number;
 * null where there is neither.
 */
export function sampledAnswer(
  signature: Signature,
  outputs: readonly NamedTensor[],
  rows: number,
): string | number | null {
  const row = rows === 1 ? 0 : Math.floor(Math.random() * rows);
  const result = resultAt(signature, outputs, rows, row);
  const { label } = result;
  if (label !== null) return hasFewClasses(signature) ? label : groupOf(label);
  const { value } = result;
  return typeof value === 'number' ? value : null;
}

function hasFewClasses({ classes }: Signature): boolean {
  return classes !== null && classes.length <= MOST_CLASSES;
}

function groupOf(label: string): string {
  const number = Number.parseInt(hash('sha1', label).slice(0, 8), 16) % GROUPS;
  return `group ${number + 1} of ${GROUPS}`;
}
