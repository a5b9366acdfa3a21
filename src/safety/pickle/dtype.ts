/** NumPy's element types and shapes, from what a pickle makes them of. */
import { isInstance, itemsOf } from './value.ts';
import type { Instance, Mapping, Value } from './value.ts';

export interface ElementType {
  /** As NumPy names it: `float64`, `object`, `<U12`, `void448`. */
  readonly name: string;
  /** Bytes of one element. */
  readonly size: number;
  /** Whether elements are Python objects, so that an array of them is a pickle. */
  readonly hasObjects: boolean;
}

/**
 * Sizes in bytes of the letters that stand without one (numpy: `np.typecodes`), but for those that differ between
 * platforms: NumPy pickles none of these, and an attacker would choose the platform.
 */
const letterSizes: Readonly<Record<string, number>> = {
  '?': 1,
  b: 1,
  B: 1,
  h: 2,
  H: 2,
  i: 4,
  I: 4,
  q: 8,
  Q: 8,
  e: 2,
  f: 4,
  d: 8,
  F: 8,
  D: 16,
  O: 8,
};

const kindNames: Readonly<Record<string, string>> = {
  i: 'int',
  u: 'uint',
  f: 'float',
  c: 'complex',
  V: 'void',
};

function nameOf(kind: string, size: number): string {
  if (kind === 'b' && size === 1) return 'bool';
  if (kind === 'O') return 'object';
  if (kind === 'U') return `<U${size / 4}`;
  if (kind === 'S' || kind === 'a') return `S${size}`;
  if (kind === 'M') return 'datetime64';
  if (kind === 'm') return 'timedelta64';
  return `${kindNames[kind] ?? kind}${size * 8}`;
}

/** The element type that a code such as `<f8`, `U12` or `O` stands for; undefined where it is none or has no size. */
export function elementType(code: string): ElementType | undefined {
  const [, kind, digits] = /^[|<>=]?([a-zA-Z?])(\d{0,9})(?:\[[^\]]*\])?$/.exec(code) ?? [];
  if (kind === undefined || digits === undefined) return undefined;
  if (digits === '') {
    const size = letterSizes[kind];
    return size === undefined ? undefined : { name: nameOf(kind, size), size, hasObjects: kind === 'O' };
  }
  const count = Number(digits);
  // Python objects are pointers; their size in a pickle of another machine says nothing.
  if (kind === 'O') return { name: 'object', size: 8, hasObjects: true };
  const size = kind === 'U' ? count * 4 : count;
  if (!'biufcUSVMma'.includes(kind)) return undefined;
  return { name: nameOf(kind, size), size, hasObjects: false };
}

/**
 * Bits of a dtype's flags (numpy/ndarraytypes.h): elements hold references (NPY_ITEM_REFCOUNT), which is what loaders of
 * arrays go by; and what goes with it, of which NPY_LIST_PICKLE decides whether references are read from raw bytes.
 */
const hasObjectFlag = 1;
const listPickleFlag = 2;
const objectFlags = 0b11011;

function isDict(value: Value | undefined): value is Mapping {
  return typeof value === 'object' && value?.kind === 'dict';
}

/** Whether a field of a structured dtype, or the elements of a subarray one, are objects. undefined: not told. */
function partsHaveObjects(subarray: Value | undefined, fields: Value | undefined): boolean | undefined {
  let found = false;
  if (isDict(fields) && fields.partial) return undefined;
  const parts = isDict(fields) ? [...fields.entries.values()] : [];
  for (const part of subarray === null || subarray === undefined ? parts : [...parts, subarray]) {
    const type = dtypeOf(itemsOf(part)?.[0]);
    if (type === undefined) return undefined;
    found ||= type.hasObjects;
  }
  return found;
}

/** The state that NumPy sets: version, byte order, subarray, names, fields, element size, alignment, flags. */
function withState(type: ElementType, code: string, state: readonly Value[]): ElementType | undefined {
  const [, , subarray, , fields, size, , flags] = state;
  const partsHave = partsHaveObjects(subarray, fields);
  if (partsHave === undefined || typeof flags !== 'number') return undefined;
  const flagged = (flags & hasObjectFlag) !== 0;
  // Flags that contradict the type or each other were set by hand.
  if (flagged !== (type.hasObjects || partsHave)) return undefined;
  if (flagged ? (flags & objectFlags) !== objectFlags : (flags & listPickleFlag) !== 0) return undefined;
  const ownSize = typeof size === 'number' && size >= 0 && /^[|<>=]?[USVa]/.test(code) ? size : type.size;
  const name = ownSize === type.size ? type.name : nameOf(code.replace(/[^USVa]/g, '')[0] ?? 'V', ownSize);
  return { name, size: ownSize, hasObjects: flagged };
}

function isDtype(value: Value | undefined): value is Instance {
  if (!isInstance(value) || typeof value.callee !== 'object' || value.callee === null) return false;
  return value.callee.kind === 'global' && value.callee.module === 'numpy' && value.callee.name === 'dtype';
}

/** The class that stands for a structured type whose fields are attributes, too; the state tells its size. */
function isRecord(value: Value | undefined): boolean {
  if (typeof value !== 'object' || value?.kind !== 'global') return false;
  return /^numpy\.((rec|_?core\.records)\.)?record$/.test(`${value.module}.${value.name}`);
}

/** The element type of an abstract `numpy.dtype`; undefined where the pickle does not tell it beyond doubt. */
export function dtypeOf(value: Value | undefined): ElementType | undefined {
  if (!isDtype(value) || value.attributes !== undefined) return undefined;
  const written = itemsOf(value.args)?.[0];
  const code = isRecord(written) ? 'V0' : written;
  if (typeof code !== 'string') return undefined;
  const type = elementType(code);
  if (type === undefined || value.state === undefined) return type;
  const state = itemsOf(value.state);
  return state === undefined || state.length < 8 ? undefined : withState(type, code, state);
}

/** Whether it is a `numpy.dtype` whose state NumPy has not written. */
export function isUnclearDtype(value: Instance): boolean {
  return isDtype(value) && value.state !== undefined && dtypeOf(value) === undefined;
}

/** More dimensions than NumPy has. */
const maxDimensions = 64;

/** A shape of known, whole, non-negative dimensions. */
export function shapeOf(value: Value | undefined): readonly number[] | undefined {
  const items = itemsOf(value);
  if (items === undefined || items.length > maxDimensions) return undefined;
  const shape = items.filter((item) => typeof item === 'number' && Number.isSafeInteger(item) && item >= 0);
  return shape.length === items.length ? shape.map(Number) : undefined;
}
