/**
 * What an unpickler would have on its stack, without making it: enough to tell which names are looked up, what is
 * called, and what a model holds. A pickle of a gigabyte must not become a gigabyte of these, so containers keep only
 * their first entries and long texts only their head.
 */
import { currentModule } from './module-names.ts';

/**
 * Text of up to `heldText` bytes is a string, an integer a number or bigint, a float a number, None is null.
 * Python's 1.0 and 1 are the same here.
 */
export type Value = string | number | bigint | boolean | null | Composite;

export type Composite = LongText | Bytes | Sequence | Mapping | Global | Instance | Persistent | Unknown;

/**
 * The size of what a value stands for, should anyone walk it as a tree: containers within containers, and all values
 * with shared ones counted each time.
 */
interface Extent {
  depth: number;
  weight: number;
  /** Whether it holds, or is, what makes a loader read on in the file; see `Machine.hold`. */
  holdsReader: boolean;
}

/** Text that is too long to be the name of anything. */
export interface LongText {
  readonly kind: 'long-text';
  readonly head: string;
  /** In bytes. */
  readonly length: number;
}

export interface Bytes {
  readonly kind: 'bytes';
  /** The first bytes, a character each: there may be millions of these, and buffers are large. */
  readonly head: string;
  readonly length: number;
}

export interface Sequence extends Extent {
  readonly kind: 'list' | 'tuple' | 'set' | 'frozenset';
  /** The first `heldItems`. */
  items: Value[];
  length: number;
}

export interface Mapping extends Extent {
  readonly kind: 'dict';
  /** The first `heldEntries` of those whose keys are text; a key given twice has its last value. */
  readonly entries: Map<string, Value>;
  /** Entries given, those not held among them. */
  length: number;
  /** Whether an entry is not held. */
  partial: boolean;
  /** A key that as an attribute's name would stand for a method that loaders call. */
  special: string | undefined;
  /** Whether a key may be a text that is only made while loading. */
  hasComputedKey: boolean;
}

/** What a module's name stands for, as Python 3 would look it up. */
export interface Global {
  readonly kind: 'global';
  readonly module: string;
  readonly name: string;
}

/** The result of a call, or an object made without one. */
export interface Instance extends Extent {
  readonly kind: 'instance';
  readonly callee: Value;
  readonly args: Value;
  /** Attributes that BUILD has set from dicts; made when the first is, since most instances are scalars without. */
  attributes: Map<string, Value> | undefined;
  /** Whether BUILD has set attributes that are not held. */
  partial: boolean;
  /** The last state that was no dict. */
  state: Value | undefined;
  /** What was appended to or set in it, where it is a list or dict of its own kind. */
  contents: Sequence | Mapping | undefined;
}

export interface Persistent {
  readonly kind: 'persistent';
  readonly id: Value;
}

/** What the file does not tell. */
export interface Unknown {
  readonly kind: 'unknown';
}

export const unknown: Unknown = { kind: 'unknown' };

/** No module or name is longer, in bytes. */
export const heldText = 512;
const heldItems = 64;
const heldEntries = 512;

/** A container of these items. Takes the array over: one made by pushing would be several times as large. */
export function sequence(kind: Sequence['kind'], items: Value[] = []): Sequence {
  const held = items.length > heldItems ? items.slice(0, heldItems) : items;
  const made: Sequence = { kind, items: held, length: items.length, depth: 1, weight: 1, holdsReader: false };
  for (const item of items) enclose(made, item);
  return made;
}

export function mapping(): Mapping {
  return {
    kind: 'dict',
    entries: new Map(),
    length: 0,
    partial: false,
    special: undefined,
    hasComputedKey: false,
    depth: 1,
    weight: 1,
    holdsReader: false,
  };
}

export function instance(callee: Value, args: Value): Instance {
  const made: Instance = {
    kind: 'instance',
    callee,
    args,
    attributes: undefined,
    partial: false,
    state: undefined,
    contents: undefined,
    depth: 1,
    weight: 1,
    holdsReader: isReaderClass(callee),
  };
  enclose(made, args);
  return made;
}

function isExtent(value: Value): value is Sequence | Mapping | Instance {
  return typeof value === 'object' && value !== null && 'weight' in value;
}

/**
 * joblib's wrapper of an array, whose BUILD makes joblib read the array's raw bytes from the file: `joblib-array.ts`
 * must see each of them made.
 */
export function isReaderClass(value: Value): value is Global {
  if (!isGlobal(value) || value.name !== 'NumpyArrayWrapper') return false;
  return currentModule(value.module) === 'joblib.numpy_pickle';
}

/** Whether a value is such a class, one of its instances, or holds one. */
export function holdsReader(value: Value): boolean {
  return isExtent(value) ? value.holdsReader : isReaderClass(value);
}

/** Adds a value's extent to that of what holds it. */
export function enclose(holder: Extent, held: Value): void {
  if (isExtent(held)) {
    holder.depth = Math.max(holder.depth, held.depth + 1);
    holder.weight += held.weight;
    holder.holdsReader ||= held.holdsReader;
  } else {
    holder.weight += 1;
    holder.holdsReader ||= isReaderClass(held);
  }
}

export function addItem(target: Sequence, item: Value): void {
  // An array of one takes a fraction of one that has been pushed to, and most lists of a few million have one item.
  if (target.items.length === 0) target.items = [item];
  else if (target.items.length < heldItems) target.items.push(item);
  target.length += 1;
  enclose(target, item);
}

/** Methods that unpicklers look up on an object by name. */
const special = /^(__\w+__|append|extend|add)$/;

export function addEntry(target: Mapping, key: Value, value: Value): void {
  if (typeof key === 'string') {
    if (special.test(key)) target.special ??= key;
  } else if (typeof key === 'object' && key !== null) {
    target.hasComputedKey ||= key.kind === 'instance' || key.kind === 'unknown' || key.kind === 'persistent';
  }
  if (typeof key === 'string' && (target.entries.size < heldEntries || target.entries.has(key))) {
    target.entries.set(key, value);
  } else target.partial = true;
  target.length += 1;
  enclose(target, value);
}

/** A tuple's or list's items, if all of them are held. */
export function itemsOf(value: Value | undefined): readonly Value[] | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (value.kind !== 'tuple' && value.kind !== 'list') return undefined;
  return value.items.length === value.length ? value.items : undefined;
}

export function isGlobal(value: Value | undefined): value is Global {
  return typeof value === 'object' && value?.kind === 'global';
}

export function isInstance(value: Value | undefined): value is Instance {
  return typeof value === 'object' && value?.kind === 'instance';
}
