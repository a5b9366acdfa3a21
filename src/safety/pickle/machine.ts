/**
 * An unpickler's stack, marks and memo over abstract values: it follows every opcode as CPython does (Lib/pickle.py,
 * Modules/_pickle.c), but looks nothing up, calls nothing and makes no object.
 */
import type { Limits } from '../limits.ts';
import type { Rule } from '../finding.ts';
import type { Argument } from './argument.ts';
import { Memo } from './memo.ts';
import { BrokenPickle, PickleLimit } from './pickle.errors.ts';
import { isNeverCalled, judge, resolve } from './policy.ts';
import { holdsReader, isGlobal, itemsOf, sequence, unknown } from './value.ts';
import type { Composite, Global, Sequence, Value } from './value.ts';

/** What an opcode with its argument does. */
export type Operation = (machine: Machine, argument: Argument) => void;

export type Report = (rule: Rule, message: string) => void;

export interface MachineOptions {
  readonly limits: Limits;
  /** Told of whatever is not in order, at the opcode where it shows. */
  readonly report: Report;
  /**
   * Objects kept outside of the pickle: expected in torch files, whose storages they are; suspicious elsewhere; and a
   * sign of no pickle in what is only tried as one, since most unpicklers refuse them and many a binary file seems to
   * have one.
   */
  readonly persistentIds: 'expected' | 'suspicious' | 'doubtful';
  /**
   * Whether to go on where an unpickler would stop for want of values: for bytes that another reader than the
   * intended one would take for opcodes.
   */
  readonly lenient?: boolean;
}

/** What a container or object takes here, about; texts up to `shortText` are not counted beside; and all together. */
const compositeBytes = 160;
const shortText = 32;
const heldBytes = 2 ** 30;

/** Memo and stack that another machine starts from. */
interface Inherited {
  readonly memo: Memo;
  readonly stack: readonly Value[];
}

/** A class that torch before 1.6 kept outside, with its source: ('module', class, file, source). Judged as a name. */
function isOutsideClass(value: Value): boolean {
  if (typeof value !== 'object' || value?.kind !== 'persistent') return false;
  const [tag, type] = itemsOf(value.id) ?? [];
  return tag === 'module' && isGlobal(type);
}

/** Whether something may be the name of a module or in one: numbers that are taken for a pickle hardly look so. */
function mayBeName(value: Value): boolean {
  const isLong = typeof value === 'object' && value?.kind === 'long-text';
  const text = isLong ? value.head : value;
  return typeof text !== 'string' || /^[^\s\p{Cc}]+$/u.test(text);
}

export class Machine {
  readonly options: MachineOptions;
  readonly memo: Memo;
  stack: Value[];
  readonly marks: number[] = [];
  /** What the last PROTO said; 0 where there was none. */
  protocol = 0;
  /** How many names were looked up that there may be, and how many calls made. */
  globals = 0;
  calls = 0;
  /** Ids of the objects kept outside, as torch files name their storages. */
  readonly persistent: Value[] = [];
  /** Whether it has met what most unpicklers refuse, so that what is only tried as a pickle seems to be none. */
  isDoubtful = false;
  #held = 0;
  /** Whether any place of the memo may hold another value than is known. */
  isBlurred = false;
  /** Set by STOP. */
  result: Value | undefined;

  constructor(options: MachineOptions, inherited?: Inherited) {
    this.options = options;
    this.memo = new Memo(inherited?.memo);
    this.stack = [...(inherited?.stack ?? [])];
  }

  /** Values below this are out of reach until the last mark is gone. */
  get fence(): number {
    return this.marks.at(-1) ?? 0;
  }

  push(value: Value): void {
    if (this.stack.length >= this.options.limits.stackDepth) {
      throw new PickleLimit(`The pickle stacks more than ${this.options.limits.stackDepth} values.`);
    }
    if (typeof value === 'string' && value.length > shortText) this.#hold(value.length);
    this.stack.push(value);
  }

  /** Pushes a container or an object that has just been made. */
  pushNew(value: Composite): void {
    this.#hold(compositeBytes);
    this.checkExtent(value);
    this.push(value);
  }

  /** Nobody tells what of it is still held: so the sum of all counts. */
  #hold(bytes: number): void {
    this.#held += bytes;
    if (this.#held > heldBytes) throw new PickleLimit('The pickle makes more values than can be followed.');
  }

  pop(): Value {
    if (this.stack.length <= this.fence)
      return this.#missing('The pickle takes a value where there is none.');
    return this.stack.pop() ?? null;
  }

  top(): Value {
    if (this.stack.length <= this.fence) return this.#missing('The pickle uses a value where there is none.');
    return this.stack.at(-1) ?? null;
  }

  #missing(message: string): Value {
    if (this.options.lenient === true) return unknown;
    throw new BrokenPickle(message);
  }

  /**
   * Something that one unpickler or another refuses, or all do. As long as the next opcode can be found this goes on:
   * what is refused differs between them, and what stands behind it should be told.
   */
  broken(message: string): void {
    if (this.options.lenient !== true) this.options.report('pickle.broken', message);
  }

  mark(): void {
    const { nesting, stackDepth } = this.options.limits;
    if (this.marks.length >= stackDepth) throw new PickleLimit(`The pickle nests ${stackDepth} levels deep.`);
    if (this.marks.length === nesting) this.#nests();
    this.marks.push(this.stack.length);
  }

  #nests(): void {
    const { nesting } = this.options.limits;
    this.options.report('pickle.limit', `The pickle nests deeper than ${nesting} levels.`);
  }

  /** Removes the last mark and the values above it, which it returns. */
  popMark(): Value[] {
    const at = this.marks.pop();
    if (at === undefined) {
      this.#missing('The pickle ends a group that it has not begun.');
      return this.stack.splice(0);
    }
    return this.stack.splice(at);
  }

  /** Reports structures that no pickler writes and that whoever walks them would choke on; here nobody does. */
  checkExtent(value: Composite): void {
    if (!('weight' in value)) return;
    const { nesting, expandedValues } = this.options.limits;
    if (value.depth > nesting) this.#nests();
    if (value.weight > expandedValues) {
      this.options.report(
        'pickle.limit',
        `A few values of the pickle stand for more than ${expandedValues}.`,
      );
    }
  }

  pushSequence(kind: Sequence['kind'], items: Value[]): void {
    this.pushNew(sequence(kind, items));
  }

  remember(place: number, value: Value): void {
    if (this.memo.size >= this.options.limits.memoEntries) {
      throw new PickleLimit(`The pickle's memo has more than ${this.options.limits.memoEntries} entries.`);
    }
    this.memo.set(place, value);
  }

  /** A place of the memo is meant that cannot be told: from here on none of them can. */
  blur(): void {
    this.isBlurred = true;
    this.options.report('pickle.limit', 'The pickle means a place of its memo that cannot be told.');
  }

  recall(place: number): Value {
    if (this.isBlurred) return unknown;
    const value = this.memo.get(place);
    return value === undefined
      ? this.#missing(`The pickle has nothing at place ${place} of its memo.`)
      : value;
  }

  keepId(id: Value): void {
    if (this.persistent.length >= this.options.limits.tensors) {
      throw new PickleLimit(
        `The pickle refers to more than ${this.options.limits.tensors} objects outside of it.`,
      );
    }
    this.persistent.push(id);
  }

  /**
   * A value goes into something that may be handed to a call later. joblib's reader class never does: made in a
   * roundabout way, its instances would not be known for what they are, and the bytes they skip would be read as
   * opcodes here and not by joblib.
   */
  hold(value: Value): void {
    if (!holdsReader(value)) return;
    this.options.report(
      'joblib.hidden-array',
      'Makes an array wrapper in a way that hides where its bytes lie.',
    );
  }

  /** A name is looked up: judged here, whether or not it is ever called. */
  lookUp(module: Value, name: Value): Value {
    if (mayBeName(module) && mayBeName(name)) this.globals += 1;
    if (typeof module !== 'string' || typeof name !== 'string') {
      this.options.report(
        'pickle.unresolved-global',
        'Looks up a name that is only made while loading, so that it cannot be judged.',
      );
      return unknown;
    }
    const written = { module, name };
    const judgement = judge(written, this.protocol);
    const full = `${module}.${name}`;
    if (judgement === 'denied') {
      this.options.report(
        'pickle.denied-global',
        `Looks up ${full}, which can run code or reach the system.`,
      );
    } else if (judgement === 'unknown') {
      this.options.report('pickle.unknown-global', `Looks up ${full}, which is not known to be harmless.`);
    }
    const resolved = resolve(written, this.protocol);
    return { kind: 'global', module: resolved.module, name: resolved.name } satisfies Global;
  }

  /** Something is called. */
  called(callee: Value): void {
    this.calls += 1;
    if (isGlobal(callee)) {
      if (!isNeverCalled(callee)) return;
      const full = `${callee.module}.${callee.name}`;
      this.options.report(
        'pickle.unusual-call',
        `Calls ${full}, which models name but do not call while loading.`,
      );
    } else if (!isOutsideClass(callee)) {
      this.options.report(
        'pickle.computed-callee',
        'Calls what another call has returned, so that it cannot be told what runs.',
      );
    }
  }

  /** An object of a class is made without calling it. */
  made(type: Value): void {
    if (isGlobal(type)) this.calls += 1;
    else this.called(type);
  }
}
