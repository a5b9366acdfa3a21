/** What BUILD does to an object: it sets attributes, or hands a state to the object's class. */
import type { Machine } from './machine.ts';
import { enclose, isGlobal, isInstance, itemsOf } from './value.ts';
import type { Instance, Mapping, Value } from './value.ts';

function isDict(value: Value): value is Mapping {
  return typeof value === 'object' && value?.kind === 'dict';
}

function setAttributes(target: Instance, state: Mapping): void {
  target.attributes ??= new Map();
  for (const [name, value] of state.entries) {
    target.attributes.set(name, value);
    enclose(target, value);
  }
  target.partial ||= state.partial;
}

/** A state is a dict of attributes, a pair of two such (the second for slots), or what `__setstate__` makes of it. */
function partsOf(state: Value): readonly Value[] {
  const parts = itemsOf(state);
  return parts?.length === 2 && parts.every((part) => part === null || isDict(part)) ? parts : [state];
}

export function setState(target: Instance, state: Value): void {
  for (const part of partsOf(state)) {
    if (isDict(part)) setAttributes(target, part);
    else if (part !== null) {
      target.state = part;
      enclose(target, part);
    }
  }
}

/** Objects that real models have as a state or as half of one: none of them has items that could be attributes. */
const plainStates =
  /^numpy\.(dtype|(_core|core)\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)|random\..*|ndarray)$/;

/** Whether attributes may come out of it whose names are not in the file. */
function isComputed(state: Value): boolean {
  if (typeof state !== 'object' || state === null) return false;
  if (state.kind === 'unknown' || state.kind === 'persistent') return true;
  if (!isInstance(state)) return false;
  const { callee } = state;
  return !isGlobal(callee) || !plainStates.test(`${callee.module}.${callee.name}`);
}

/**
 * Python looks `__setstate__`, `append`, `extend` and `add` up on objects, where an attribute that the pickle itself has
 * set stands before the method of the class: BUILD and APPEND then call whatever that is.
 */
export function checkState(machine: Machine, target: Value, state: Value): void {
  if (!isInstance(target)) return;
  const items = itemsOf(state);
  const halves = items?.length === 2 ? items : [];
  for (const part of [state, ...halves]) {
    if (isDict(part) && part.special !== undefined) {
      const message = `Sets the attribute ${part.special}, in place of a method that loaders call.`;
      machine.options.report('pickle.special-attribute', message);
    }
    if (isComputed(part) || (isDict(part) && part.hasComputedKey)) {
      const message = 'Sets attributes whose names are only made while loading.';
      machine.options.report('pickle.special-attribute', message);
    }
  }
}
