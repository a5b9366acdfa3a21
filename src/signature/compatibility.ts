/** Whether callers of one version can go on with another. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { ColumnSpec, Signature, TensorSpec } from './signature.ts';

/** A difference; `before` or `after` is undefined where it was not there. */
export interface Change {
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

export interface SignatureComparison {
  /** Every request that the one accepts, the other accepts, and answers in the same form. */
  readonly compatible: boolean;
  /** Why not, a sentence each. */
  readonly reasons: readonly string[];
  readonly changes: readonly Change[];
}

/**
 * Compares what two versions take and answer. Callers of `from` can go on with `to` when it takes all that `from` took
 * (the same inputs and columns at the same places with the same datatypes, and no more; dimensions and missing values may
 * be freer) and answers all that `from` answered (the same outputs and classes; more outputs are no harm).
 */
export function compareSignatures(from: Signature, to: Signature): SignatureComparison {
  const reasons = [
    ...inputReasons(from.inputs, to.inputs),
    ...columnReasons(from.columns, to.columns),
    ...outputReasons(from.outputs, to.outputs),
    ...meaningReasons(from, to),
  ];
  const changes = [
    ...namedChanges('inputs', from.inputs, to.inputs),
    ...namedChanges('outputs', from.outputs, to.outputs),
    ...namedChanges('columns', from.columns ?? [], to.columns ?? []),
    ...plainChanges(from, to),
  ];
  return { compatible: reasons.length === 0, reasons, changes };
}

const byName = <T extends { readonly name: string }>(specs: readonly T[]): ReadonlyMap<string, T> =>
  new Map(specs.map((spec) => [spec.name, spec]));
const dims = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

/** Whether every tensor of shape `narrow` is one of shape `wide`. */
function fits(narrow: readonly number[], wide: readonly number[]): boolean {
  return narrow.length === wide.length && wide.every((size, index) => size === -1 || size === narrow[index]);
}

function inputReasons(from: readonly TensorSpec[], to: readonly TensorSpec[]): string[] {
  const now = byName(to);
  const gone = from.flatMap((before): string[] => {
    const after = now.get(before.name);
    if (!after) return [`Input ${before.name} is gone.`];
    const reasons: string[] = [];
    if (after.datatype !== before.datatype)
      reasons.push(`Input ${before.name} takes ${after.datatype} instead of ${before.datatype}.`);
    if (!fits(before.shape, after.shape))
      reasons.push(`Input ${before.name} takes ${dims(after.shape)} instead of ${dims(before.shape)}.`);
    if (before.nullable && !after.nullable)
      reasons.push(`Input ${before.name} no longer takes missing values.`);
    return reasons;
  });
  const before = byName(from);
  const added = to
    .filter(({ name }) => !before.has(name))
    .map(({ name }) => `Input ${name} is new and needed.`);
  return [...gone, ...added];
}

function columnReasons(from: readonly ColumnSpec[] | null, to: readonly ColumnSpec[] | null): string[] {
  if (from === null) return [];
  if (to === null) return ['It has no columns, so rows are not accepted.'];
  const now = byName(to);
  const gone = from.flatMap((before): string[] => {
    const after = now.get(before.name);
    if (!after) return [`Column ${before.name} is gone.`];
    const reasons: string[] = [];
    if (after.datatype !== before.datatype)
      reasons.push(`Column ${before.name} takes ${after.datatype} instead of ${before.datatype}.`);
    if (after.input !== before.input || after.index !== before.index)
      reasons.push(`Column ${before.name} is at another place of the tensors.`);
    if (before.nullable && !after.nullable) reasons.push(`Column ${before.name} may no longer be missing.`);
    return reasons;
  });
  const before = byName(from);
  const added = to
    .filter(({ name }) => !before.has(name))
    .map(({ name }) => `Column ${name} is new and needed.`);
  return [...gone, ...added];
}

function outputReasons(from: readonly TensorSpec[], to: readonly TensorSpec[]): string[] {
  const now = byName(to);
  return from.flatMap((before): string[] => {
    const after = now.get(before.name);
    if (!after) return [`Output ${before.name} is gone.`];
    const reasons: string[] = [];
    if (after.datatype !== before.datatype)
      reasons.push(`Output ${before.name} is ${after.datatype} instead of ${before.datatype}.`);
    if (!fits(after.shape, before.shape))
      reasons.push(`Output ${before.name} is ${dims(after.shape)} instead of ${dims(before.shape)}.`);
    return reasons;
  });
}

function meaningReasons(from: Signature, to: Signature): string[] {
  const reasons: string[] = [];
  if (from.task !== to.task) reasons.push(`The task is ${to.task} instead of ${from.task}.`);
  if (!isDeepStrictEqual(from.classes, to.classes)) reasons.push('The classes, or their order, differ.');
  if (from.positiveClass !== to.positiveClass)
    reasons.push(
      `The positive class is ${to.positiveClass ?? 'none'} instead of ${from.positiveClass ?? 'none'}.`,
    );
  return reasons;
}

/** What differs between things of the same name, and what was added or is gone. */
function namedChanges<T extends { readonly name: string }>(
  group: string,
  from: readonly T[],
  to: readonly T[],
): Change[] {
  const before = byName(from);
  const after = byName(to);
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((name): Change[] => {
    const [a, b] = [before.get(name), after.get(name)];
    const path = `${group}.${name}`;
    if (!a || !b) return [{ path, before: a, after: b }];
    return Object.keys(a).flatMap((key): Change[] => {
      const [was, is] = [a[key as keyof T], b[key as keyof T]];
      return isDeepStrictEqual(was, is) ? [] : [{ path: `${path}.${key}`, before: was, after: is }];
    });
  });
}

function plainChanges(from: Signature, to: Signature): Change[] {
  return (['task', 'classes', 'positiveClass'] as const).flatMap((path): Change[] =>
    isDeepStrictEqual(from[path], to[path]) ? [] : [{ path, before: from[path], after: to[path] }],
  );
}
