/** What an answer comes to, in one word. */
import type { Signature } from '../signature/signature.ts';
import { resultAt } from '../tensor/results.ts';
import type { NamedTensor } from '../tensor/tensor.ts';

/** The answer for one row at random: its class, or a regression's number; null where there is neither. */
export function sampledAnswer(
  signature: Signature,
  outputs: readonly NamedTensor[],
  rows: number,
): string | number | null {
  const row = rows === 1 ? 0 : Math.floor(Math.random() * rows);
  const result = resultAt(signature, outputs, rows, row);
  const { label } = result;
  if (label !== null) return label;
  const { value } = result;
  return typeof value === 'number' ? value : null;
}
