/** What each opcode does to the machine: constants, stack, memo and containers here, names and calls in `calls.ts`. */
import type { Argument } from './argument.ts';
import { callOperations } from './calls.ts';
import type { Machine, Operation } from './machine.ts';
import type { OpcodeName } from './opcodes.ts';
import { escapedText, integerLine, floatLine, quotedText } from './text-literal.ts';
import { addEntry, addItem, mapping, sequence, unknown } from './value.ts';
import type { Composite, Mapping, Value } from './value.ts';

function isValue(argument: Argument): argument is Value {
  return argument !== undefined && !(typeof argument === 'object' && argument?.kind === 'lines');
}

const pushArgument: Operation = (machine, argument) => machine.push(isValue(argument) ? argument : unknown);

const pushConstant =
  (value: Value): Operation =>
  (machine) =>
    machine.push(value);

const pushTuple =
  (count: number): Operation =>
  (machine) => {
    const items = Array.from({ length: count }, () => machine.pop()).toReversed();
    machine.pushSequence('tuple', items);
  };

/** Digits in such numbers that they are not held, as by zeros before them. */
const longNumber = /^[\s\d_+]*(\0|$)/;

/** A place in the memo; undefined where it is none, `unclear` where it is written so long that nobody here can tell. */
function place(machine: Machine, argument: Argument): number | 'unclear' | undefined {
  if (typeof argument === 'number') return argument;
  const isLong = typeof argument === 'object' && argument !== null && argument.kind === 'long-text';
  if (isLong && longNumber.test(argument.head)) return 'unclear';
  const parsed = integerLine(machine, argument);
  // Only INT takes 00 and 01 for truth values.
  const at = typeof parsed === 'boolean' ? Number(parsed) : parsed;
  return typeof at === 'number' && at >= 0 ? at : undefined;
}

const get: Operation = (machine, argument) => {
  const at = place(machine, argument);
  if (at === 'unclear') machine.blur();
  machine.push(typeof at === 'number' ? machine.recall(at) : unknown);
};

const put: Operation = (machine, argument) => {
  const value = machine.top();
  const at = place(machine, argument);
  if (at === 'unclear') machine.blur();
  else if (at !== undefined) machine.remember(at, value);
};

/** In what an opcode adds to: a list or set itself, or an object that behaves like one. */
function itemsInto(machine: Machine, items: readonly Value[]): void {
  const target = containerOf(machine, machine.top(), 'list');
  if (target === undefined) return;
  for (const item of items) {
    machine.hold(item);
    if (target.kind === 'dict') {
      // Such an object's `append` may be one of its entries, as with scikit-learn's Bunch.
      machine.options.report('pickle.special-attribute', 'Appends to an object that has entries.');
      target.partial = true;
    } else addItem(target, item);
  }
  grown(machine, target);
}

function entriesInto(machine: Machine, pairs: readonly Value[]): void {
  if (pairs.length % 2 === 1) machine.broken('A dict has a key without a value.');
  const target = containerOf(machine, machine.top(), 'dict');
  if (target === undefined) return;
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const value = pairs[i + 1] ?? null;
    machine.hold(value);
    // A list takes entries too (`list[index] = value`); what it then holds is not followed.
    if (target.kind === 'dict') addEntry(target, pairs[i] ?? null, value);
    else addItem(target, value);
  }
  grown(machine, target);
}

/** Checks a container that has grown, and the object around it. */
function grown(machine: Machine, target: Composite): void {
  machine.checkExtent(target);
  const holder = machine.top();
  if (typeof holder !== 'object' || holder === null || holder === target || holder.kind !== 'instance')
    return;
  if (!('weight' in target)) return;
  holder.depth = Math.max(holder.depth, target.depth + 1);
  holder.weight = Math.max(holder.weight, target.weight + 1);
  machine.checkExtent(holder);
}

function containerOf(machine: Machine, value: Value, kind: 'list' | 'dict') {
  if (typeof value === 'object' && value !== null) {
    if (value.kind === 'list' || value.kind === 'set' || value.kind === 'dict') return value;
    if (value.kind === 'instance') return (value.contents ??= kind === 'dict' ? mapping() : sequence('list'));
    if (value.kind === 'unknown') return undefined;
    if (value.kind === 'global') {
      machine.options.report('pickle.changes-class', `Adds to ${value.module}.${value.name} itself.`);
      return undefined;
    }
  }
  machine.broken('The pickle adds to a value that is no container.');
  return undefined;
}

function dictOf(machine: Machine, pairs: readonly Value[]): Mapping {
  const made = mapping();
  machine.pushNew(made);
  entriesInto(machine, pairs);
  return made;
}

function pop(machine: Machine): void {
  // The mark is on the same stack in pickle.py, so that POP removes it, too.
  if (machine.marks.length > 0 && machine.stack.length === machine.fence) machine.marks.pop();
  else machine.pop();
}

function protocol(machine: Machine, argument: Argument): void {
  const version = Number(argument);
  if (version > 5) machine.broken(`The pickle protocol ${version} does not exist.`);
  else machine.protocol = version;
}

function nextBuffer(machine: Machine): void {
  machine.options.report('pickle.out-of-band', 'Takes bytes that are not in the file.');
  machine.push(unknown);
}

const ignore: Operation = () => undefined;

export const operations: Readonly<Record<OpcodeName, Operation>> = {
  ...callOperations,
  PROTO: protocol,
  // Frames only say how far to read ahead; where joblib makes more of them, `joblib-array.ts` looks.
  FRAME: ignore,
  STOP: (machine) => {
    machine.result = machine.pop();
  },
  MARK: (machine) => machine.mark(),
  POP: pop,
  POP_MARK: (machine) => void machine.popMark(),
  DUP: (machine) => machine.push(machine.top()),

  NONE: pushConstant(null),
  NEWTRUE: pushConstant(true),
  NEWFALSE: pushConstant(false),
  INT: (machine, argument) => machine.push(integerLine(machine, argument)),
  LONG: (machine, argument) => machine.push(integerLine(machine, argument)),
  FLOAT: (machine, argument) => machine.push(floatLine(machine, argument)),
  BININT: pushArgument,
  BININT1: pushArgument,
  BININT2: pushArgument,
  BINFLOAT: pushArgument,
  LONG1: pushArgument,
  LONG4: pushArgument,
  STRING: (machine, argument) => machine.push(quotedText(machine, argument)),
  UNICODE: (machine, argument) => machine.push(escapedText(argument)),
  BINSTRING: pushArgument,
  SHORT_BINSTRING: pushArgument,
  BINUNICODE: pushArgument,
  SHORT_BINUNICODE: pushArgument,
  BINUNICODE8: pushArgument,
  BINBYTES: pushArgument,
  SHORT_BINBYTES: pushArgument,
  BINBYTES8: pushArgument,
  BYTEARRAY8: pushArgument,
  NEXT_BUFFER: nextBuffer,
  READONLY_BUFFER: (machine) => void machine.top(),

  GET: get,
  BINGET: get,
  LONG_BINGET: get,
  PUT: put,
  BINPUT: put,
  LONG_BINPUT: put,
  MEMOIZE: (machine) => machine.remember(machine.memo.size, machine.top()),

  EMPTY_TUPLE: (machine) => machine.pushSequence('tuple', []),
  TUPLE: (machine) => machine.pushSequence('tuple', machine.popMark()),
  TUPLE1: pushTuple(1),
  TUPLE2: pushTuple(2),
  TUPLE3: pushTuple(3),
  EMPTY_LIST: (machine) => machine.pushNew(sequence('list')),
  LIST: (machine) => machine.pushSequence('list', machine.popMark()),
  APPEND: (machine) => itemsInto(machine, [machine.pop()]),
  APPENDS: (machine) => itemsInto(machine, machine.popMark()),
  EMPTY_SET: (machine) => machine.pushNew(sequence('set')),
  ADDITEMS: (machine) => itemsInto(machine, machine.popMark()),
  FROZENSET: (machine) => machine.pushSequence('frozenset', machine.popMark()),
  EMPTY_DICT: (machine) => machine.pushNew(mapping()),
  DICT: (machine) => void dictOf(machine, machine.popMark()),
  SETITEM: (machine) => entriesInto(machine, [machine.pop(), machine.pop()].toReversed()),
  SETITEMS: (machine) => entriesInto(machine, machine.popMark()),
};
