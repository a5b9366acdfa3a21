/** Runs one pickle of a stream through the machine, from its first opcode to STOP. */
import { bufferSource } from '../byte-source.ts';
import { EndOfBytes } from '../byte-stream.ts';
import type { ByteStream } from '../byte-stream.ts';
import { contentOf, openAt } from '../content.ts';
import type { Content } from '../content.ts';
import { readArgument } from './argument.ts';
import { arrayBytes, maxPadding, wrappedBy } from './joblib-array.ts';
import type { WrappedArray } from './joblib-array.ts';
import { Machine } from './machine.ts';
import type { Operation, Report } from './machine.ts';
import { opcodes } from './opcodes.ts';
import { operations } from './operations.ts';
import { BrokenPickle, PickleLimit } from './pickle.errors.ts';
import { instance, isInstance } from './value.ts';
import type { Value } from './value.ts';

/** What the pickles of one file share. */
export interface Run {
  /** Opcodes so far. */
  steps: number;
  /** Where the opcode that is being followed starts, for what is reported meanwhile. */
  at: number;
  /** Whether an array's bytes have stood between the opcodes. */
  joblib: boolean;
}

const byCode: readonly (Operation | undefined)[] = opcodes.map((opcode) => opcode && operations[opcode.name]);
const buildCode = opcodes.findIndex((opcode) => opcode?.name === 'BUILD');
const frameCode = opcodes.findIndex((opcode) => opcode?.name === 'FRAME');
const stopCode = opcodes.findIndex((opcode) => opcode?.name === 'STOP');

/** No argument of fixed width is longer, opcode included. */
const longestOpcode = 9;

/** Bytes of an array that are looked at as opcodes where a content can only be read front to back. */
const disguiseBytes = 4096;

class PickleRun {
  readonly #stream: ByteStream;
  readonly #machine: Machine;
  readonly #run: Run;
  readonly #content: Content;
  #frameEnd = 0;
  /** Whether a frame is said to reach beyond the end. */
  #isCut = false;

  constructor(content: Content, stream: ByteStream, machine: Machine, run: Run) {
    this.#stream = stream;
    this.#machine = machine;
    this.#run = run;
    this.#content = content;
  }

  /** @param arrays whether joblib's wrappers mean what they do to joblib. */
  async toStop(arrays: boolean): Promise<void> {
    const { limits, report } = this.#machine.options;
    const stream = this.#stream;
    for (;;) {
      if (stream.buffered < longestOpcode && !(await stream.fill(longestOpcode)) && stream.buffered === 0) {
        throw new EndOfBytes();
      }
      this.#run.at = stream.position;
      this.#run.steps += 1;
      if (this.#run.steps > limits.opcodes) {
        throw new PickleLimit(`The pickles have more than ${limits.opcodes} opcodes.`);
      }
      const code = stream.byte();
      const [opcode, operation] = [opcodes[code], byCode[code]];
      if (opcode === undefined || operation === undefined) {
        throw new BrokenPickle(`The byte 0x${code.toString(16).padStart(2, '0')} is no opcode of a pickle.`);
      }
      const read = readArgument(stream, opcode.argument);
      const argument = read instanceof Promise ? await read : read;
      this.#checkFrame(stream.position);
      operation(this.#machine, argument);
      if (code === stopCode) {
        this.#stopped(report);
        return;
      }
      if (code === frameCode) this.#frame(Number(argument));
      else if (code === buildCode && arrays) await this.#array();
    }
  }

  /**
   * CPython's C code reads a frame ahead and drops what is left of it when an opcode's argument goes beyond: it then
   * sees other text than a reader that goes straight on, as this one and its own `loads` do. No pickler writes such.
   */
  #checkFrame(end: number): void {
    if (this.#run.at >= this.#frameEnd || end <= this.#frameEnd) return;
    this.#machine.options.report(
      'pickle.frame',
      'A frame ends within an opcode, so that loaders read it differently.',
    );
  }

  /** Loaders read a frame whole: their next pickle starts behind it, wherever in it this one has ended. */
  #stopped(report: Report): void {
    if (this.#isCut) report('pickle.truncated', 'A frame is said to reach beyond the end of the file.');
    else if (this.#stream.position < this.#frameEnd) {
      report(
        'pickle.frame',
        'A frame goes on behind the end of its pickle, so that loaders pass over what is there.',
      );
    }
  }

  #frame(length: number): void {
    const end = this.#stream.position + length;
    if (this.#stream.position < this.#frameEnd) this.#checkFrame(end);
    this.#frameEnd = Math.max(this.#frameEnd, end);
    // CPython's own unpickler refuses a frame that is cut short; the one in Python, which joblib uses, runs what is
    // there. So it counts as broken, and what it holds is followed all the same.
    if (end > (this.#content.size ?? Infinity)) this.#isCut = true;
  }

  /** After BUILD: if that was of joblib's wrapper, passes over the array and puts it in the wrapper's place. */
  async #array(): Promise<void> {
    const machine = this.#machine;
    const wrapper = machine.top();
    const array = wrappedBy(wrapper);
    if (array === undefined) return;
    if (array === 'unclear') {
      const message = 'An array of joblib does not tell how many bytes it has.';
      throw new PickleLimit(message, 'joblib.unclear-array');
    }
    this.#run.joblib = true;
    const { report } = machine.options;
    if (this.#stream.position < this.#frameEnd) {
      // joblib reads the array from behind the frame, whatever the frame still holds.
      report('joblib.array-within-frame', 'An array of joblib lies elsewhere than right behind its wrapper.');
    }
    machine.stack[machine.stack.length - 1] = array.type.hasObjects
      ? await this.#nested()
      : await this.#raw(array, wrapper);
  }

  /** An array of objects is a pickle of its own. */
  async #nested(): Promise<Value> {
    const machine = new Machine(this.#machine.options);
    await new PickleRun(this.#content, this.#stream, machine, this.#run).toStop(false);
    this.#machine.globals += machine.globals;
    this.#machine.calls += machine.calls;
    return machine.result ?? null;
  }

  /** Passes over the elements. @returns what stands for the array: with its wrapper's shape and type. */
  async #raw(array: WrappedArray, wrapper: Value): Promise<Value> {
    const stream = this.#stream;
    await this.#disguise();
    if (array.padded) {
      await stream.need(1);
      const padding = stream.byte();
      if (padding > maxPadding) {
        const message = `Before an array of joblib lie ${padding} bytes that are neither opcodes nor its elements.`;
        this.#machine.options.report('joblib.padding', message);
      }
      await stream.skip(padding);
    }
    await stream.skip(arrayBytes(array));
    const made = instance({ kind: 'global', module: 'numpy', name: 'ndarray' }, null);
    if (isInstance(wrapper)) made.attributes = wrapper.attributes;
    return made;
  }

  /** The bytes from here on, read beside the stream: all where that is cheap, else the next few. */
  async #ahead(): Promise<{ readonly content: Content; readonly stream: ByteStream }> {
    const content = this.#content;
    if (content.source !== undefined)
      return { content, stream: await openAt(content, this.#stream.position) };
    const bytes = Buffer.from(await this.#stream.peek(disguiseBytes));
    const part = contentOf(bufferSource(bytes), content.path);
    return { content: part, stream: part.open() };
  }

  /**
   * What another loader than joblib's takes for opcodes: the bytes from here on, with the memo and the stack so far.
   * Real arrays end this at the first byte or soon after; only a denied name counts.
   */
  async #disguise(): Promise<void> {
    const first = (await this.#stream.peek(1))[0];
    if (first === undefined || opcodes[first] === undefined) return;
    const { options, memo, stack } = this.#machine;
    const report: Report = (rule, message) => {
      if (rule === 'pickle.denied-global') options.report('pickle.hidden-in-array', message);
    };
    const inherited = { memo, stack: stack.slice(-64) };
    const machine = new Machine({ ...options, lenient: true, report }, inherited);
    machine.protocol = this.#machine.protocol;
    const run = { ...this.#run };
    try {
      const { content, stream } = await this.#ahead();
      await new PickleRun(content, stream, machine, run).toStop(false);
    } catch (error) {
      if (!isEnd(error)) throw error;
    }
    // It counts towards the limit, or a file of many arrays could make this take for ever.
    this.#run.steps = run.steps;
  }
}

/** Whether an error is one of those that end a pickle. */
export function isEnd(error: unknown): error is EndOfBytes | BrokenPickle | PickleLimit {
  return error instanceof EndOfBytes || error instanceof BrokenPickle || error instanceof PickleLimit;
}

/**
 * Follows the pickle that starts at the stream's position up to and with its STOP. What is not in order is reported
 * on the way, and the machine tells what was found up to the end, however that came.
 * @param stream of the content.
 * @throws EndOfBytes, BrokenPickle or PickleLimit where it goes no further; see `isEnd`.
 */
export async function followPickle(
  content: Content,
  stream: ByteStream,
  machine: Machine,
  run: Run,
): Promise<void> {
  await new PickleRun(content, stream, machine, run).toStop(true);
}
