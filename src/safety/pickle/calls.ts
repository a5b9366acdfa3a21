/** Opcodes that look names up, call, and set the state of objects. */
import type { Argument, Lines } from './argument.ts';
import { isUnclearDtype } from './dtype.ts';
import type { Machine, Operation } from './machine.ts';
import type { OpcodeName } from './opcodes.ts';
import { checkState, setState } from './state.ts';
import { instance, isGlobal, isInstance, itemsOf, sequence, unknown } from './value.ts';
import type { Persistent, Value } from './value.ts';

function isLines(argument: Argument): argument is Lines {
  return typeof argument === 'object' && argument !== null && argument.kind === 'lines';
}

function named(machine: Machine, argument: Argument): Value {
  return isLines(argument) ? machine.lookUp(argument.first, argument.second) : unknown;
}

function stackGlobal(machine: Machine): void {
  const name = machine.pop();
  machine.push(machine.lookUp(machine.pop(), name));
}

function isNamed(callee: Value, module: string, name: string): boolean {
  return isGlobal(callee) && callee.module === module && callee.name === name;
}

/** The object that protocols 0 and 1 make by a function of `copyreg`, as if by its class. */
function madeBy(callee: Value, args: Value): [callee: Value, args: Value] {
  const items = itemsOf(args);
  const [type] = items ?? [];
  const isMaker =
    isNamed(callee, 'copyreg', '_reconstructor') ||
    isNamed(callee, 'copyreg', '__newobj__') ||
    isNamed(callee, 'copyreg', '__newobj_ex__');
  return isMaker && type !== undefined ? [type, sequence('tuple', items?.slice(1))] : [callee, args];
}

/** `_codecs.encode` carries bytes as Latin-1 text below protocol 3; as other codecs it may carry anything. */
function checkEncoding(machine: Machine, callee: Value, args: Value): void {
  if (!isNamed(callee, '_codecs', 'encode')) return;
  const encoding = itemsOf(args)?.[1];
  if (encoding === 'latin1' || encoding === 'latin-1') return;
  machine.options.report('pickle.computed-text', 'Makes text or bytes by another codec than Latin-1.');
}

/** Functions that call one of their arguments, and which. */
const calledArguments: Readonly<Record<string, number>> = {
  // Its second argument's `__new__` and `__init__`.
  'copyreg._reconstructor': 1,
  'numpy.random._pickle.__generator_ctor': 1,
  'numpy.random._pickle.__randomstate_ctor': 1,
  'numpy.random.mtrand.__randomstate_ctor': 1,
  'torch._tensor._rebuild_from_type_v2': 0,
};

/** What is called by what is called must be told, too. */
function checkArguments(machine: Machine, callee: Value, args: Value): void {
  const index = isGlobal(callee) ? calledArguments[`${callee.module}.${callee.name}`] : undefined;
  if (index === undefined) return;
  const items = itemsOf(args);
  if (items === undefined) machine.called(unknown);
  else if (items[index] !== undefined) machine.called(items[index]);
}

/** @param isCall whether the callee runs, and does not only lend its class. */
function call(machine: Machine, callee: Value, args: Value, isCall = true): void {
  if (isCall) machine.called(callee);
  else machine.made(callee);
  checkEncoding(machine, callee, args);
  checkArguments(machine, callee, args);
  const [type, rest] = madeBy(callee, args);
  machine.hold(rest);
  machine.pushNew(instance(type, rest));
}

function reduce(machine: Machine): void {
  const args = machine.pop();
  call(machine, machine.pop(), args);
}

function newObject(machine: Machine): void {
  const args = machine.pop();
  call(machine, machine.pop(), args, false);
}

function newObjectEx(machine: Machine): void {
  const keywords = machine.pop();
  const args = machine.pop();
  const made = sequence('tuple', [...(itemsOf(args) ?? [args]), keywords]);
  call(machine, machine.pop(), made, false);
}

function instanceByName(machine: Machine, argument: Argument): void {
  // The name first, as Python's own unpickler does: it is looked up even where there is nothing to call it with.
  const callee = named(machine, argument);
  call(machine, callee, sequence('tuple', machine.popMark()));
}

function object(machine: Machine): void {
  const [callee, ...args] = machine.popMark();
  if (callee === undefined) {
    machine.broken('The pickle makes an object of no class.');
    machine.push(unknown);
    return;
  }
  call(machine, callee, sequence('tuple', args));
}

function build(machine: Machine): void {
  const state = machine.pop();
  const target = machine.top();
  machine.hold(state);
  checkState(machine, target, state);
  if (isInstance(target)) {
    setState(target, state);
    if (isUnclearDtype(target)) {
      const message =
        'Makes an element type that contradicts itself: arrays of it may hold addresses of its making.';
      machine.options.report('numpy.element-type', message);
    }
    machine.checkExtent(target);
  } else if (isGlobal(target)) {
    const full = `${target.module}.${target.name}`;
    machine.options.report('pickle.changes-class', `Sets attributes of ${full} itself, not of an object.`);
  }
}

function persistent(machine: Machine, id: Value): void {
  const { persistentIds } = machine.options;
  if (persistentIds === 'doubtful') machine.isDoubtful = true;
  if (persistentIds !== 'expected') {
    machine.options.report('pickle.persistent-id', 'Refers to an object that is kept outside of the file.');
  }
  machine.keepId(id);
  machine.push({ kind: 'persistent', id } satisfies Persistent);
}

function extension(machine: Machine): void {
  machine.options.report(
    'pickle.extension-code',
    "Looks up a name by a number of Python's extension registry, which is not in the file.",
  );
  machine.push(unknown);
}

export const callOperations = {
  GLOBAL: (machine, argument) => machine.push(named(machine, argument)),
  STACK_GLOBAL: stackGlobal,
  REDUCE: reduce,
  NEWOBJ: newObject,
  NEWOBJ_EX: newObjectEx,
  INST: instanceByName,
  OBJ: object,
  BUILD: build,
  PERSID: (machine, argument) => persistent(machine, typeof argument === 'string' ? argument : unknown),
  BINPERSID: (machine) => persistent(machine, machine.pop()),
  EXT1: extension,
  EXT2: extension,
  EXT4: extension,
} satisfies Partial<Record<OpcodeName, Operation>>;
