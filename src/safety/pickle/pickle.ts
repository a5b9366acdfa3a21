/** Files of pickles: one, several in a row, joblib's with arrays between the opcodes, torch's with storages behind. */
import { EndOfBytes } from '../byte-stream.ts';
import type { ByteStream } from '../byte-stream.ts';
import type { Content } from '../content.ts';
import { rules } from '../finding.ts';
import type { Rule } from '../finding.ts';
import type { Limits } from '../limits.ts';
import { describePickles } from './contents.ts';
import type { PickleContents } from './contents.ts';
import { Machine } from './machine.ts';
import type { MachineOptions } from './machine.ts';
import { followPickle, isEnd } from './pickle-run.ts';
import type { Run } from './pickle-run.ts';
import { PickleLimit } from './pickle.errors.ts';
import { legacyMagic, legacyPickles, legacyStorageBytes } from './torch-storage.ts';
import type { Value } from './value.ts';

interface Remark {
  readonly offset: number;
  readonly rule: Rule;
  readonly message: string;
}

export interface PickleReading {
  readonly format: 'PICKLE' | 'JOBLIB' | 'TORCH';
  readonly remarks: readonly Remark[];
  readonly contents: PickleContents;
}

export interface PickleOptions {
  readonly limits: Limits;
  /** Whether the file is known to be a pickle: by its name or its place. Else its bytes must show it. */
  readonly claimed: boolean;
  /** Whether it belongs to a torch archive, so that persistent ids are expected. */
  readonly torch: boolean;
  /** Opcodes that other pickles of the file have taken already. */
  readonly steps: number;
}

/** Remarks kept per file; the rest would say the same. */
const maxRemarks = 1000;

/** Results that are kept: torch's files have five, and what more there are would be told nowhere. */
const maxValues = 64;

/** Two bytes of PROTO and three further opcodes in order are no accident in a file of numbers. */
const convincingSteps = 4;

/** Reads the pickles of one content from front to back. */
class PickleFile {
  readonly remarks: Remark[] = [];
  readonly values: Value[] = [];
  readonly run: Run;
  globals = 0;
  calls = 0;
  startsWithProto = false;
  torch: boolean;
  isDoubtful = false;
  /** Whether it goes on where it could not be followed. */
  isUnfollowed = false;
  readonly #content: Content;
  readonly #limits: Limits;
  readonly #stream: ByteStream;
  readonly #claimed: boolean;
  #isDangerous = false;
  /** Ids of the storages that the last pickle with any refers to. */
  #ids: readonly Value[] = [];

  constructor(content: Content, options: PickleOptions) {
    this.#content = content;
    this.#limits = options.limits;
    this.#stream = content.open();
    this.torch = options.torch;
    this.#claimed = options.claimed;
    this.run = { steps: options.steps, at: 0, joblib: false };
  }

  remark(rule: Rule, message: string): void {
    // However many harmless remarks come first, a dangerous one is never the one too many.
    const isNews = rules[rule] === 'DANGEROUS' && !this.#isDangerous;
    if (this.remarks.length >= maxRemarks && !isNews) return;
    this.#isDangerous ||= rules[rule] === 'DANGEROUS';
    this.remarks.push({ offset: this.run.at, rule, message });
  }

  async read(): Promise<void> {
    const [first, second] = await this.#stream.peek(2);
    this.startsWithProto = first === 0x80 && second !== undefined && second <= 5;
    while (await this.#pickle()) {
      if (await this.#stream.isAtEnd()) return;
      if (this.#isLegacy() && this.values.length === legacyPickles) return this.#storages();
    }
  }

  close(): void {
    this.#stream.close();
  }

  #persistentIds(): MachineOptions['persistentIds'] {
    if (this.torch || this.#isLegacy()) return 'expected';
    return this.#claimed || this.startsWithProto ? 'suspicious' : 'doubtful';
  }

  #isLegacy(): boolean {
    return this.values[0] === legacyMagic;
  }

  /** One pickle up to STOP; false where it breaks. */
  async #pickle(): Promise<boolean> {
    const start = this.#stream.position;
    const remarks = this.remarks.length;
    const machine = new Machine({
      limits: this.#limits,
      persistentIds: this.#persistentIds(),
      report: (rule, message) => this.remark(rule, message),
    });
    try {
      await followPickle(this.#content, this.#stream, machine, this.run);
    } catch (error) {
      if (!isEnd(error)) throw error;
      this.#ended(error, machine, start, remarks);
      return false;
    } finally {
      this.globals += machine.globals;
      this.calls += machine.calls;
      this.isDoubtful ||= machine.isDoubtful;
      this.isUnfollowed ||= machine.isBlurred;
    }
    if (machine.persistent.length > 0) this.#ids = machine.persistent;
    if (this.values.length < maxValues) this.values.push(machine.result ?? null);
    return true;
  }

  #ended(error: Error, machine: Machine, start: number, remarks: number): void {
    this.isUnfollowed ||= error instanceof PickleLimit;
    // What follows a whole pickle and looks nothing up is no further one.
    const isDenied = this.remarks.slice(remarks).some(({ rule }) => rule === 'pickle.denied-global');
    const isNone = machine.globals === 0 && !isDenied && !(error instanceof PickleLimit);
    if (this.values.length > 0 && isNone) {
      this.remarks.length = remarks;
      this.run.at = start;
      this.remark('pickle.trailing-bytes', 'After the pickle lie bytes that are no pickle.');
    } else if (error instanceof EndOfBytes) {
      this.remark('pickle.truncated', 'The pickle ends before its last opcode: the file is cut short.');
    } else {
      this.remark(error instanceof PickleLimit ? error.rule : 'pickle.broken', error.message);
    }
  }

  /**
   * Passes over a legacy file's storages. They are numbers that torch copies into tensors; that they fill the rest of
   * the file exactly shows that nothing else lies there.
   */
  async #storages(): Promise<void> {
    const bytes = legacyStorageBytes(this.#ids);
    this.run.at = this.#stream.position;
    if (bytes !== undefined && (await this.#stream.pass(bytes)) === bytes && (await this.#stream.isAtEnd())) {
      return;
    }
    this.remark(
      'torch.storages',
      'The bytes after the pickles are not exactly the tensors that those refer to.',
    );
  }
}

/** Whether what was read is a pickle and not bytes that begin like one. */
function isPickle(file: PickleFile, options: PickleOptions): boolean {
  if (options.claimed || file.remarks.some(({ rule }) => rule === 'pickle.denied-global')) return true;
  // A million values that mean nothing are no accident, either: what comes behind them nobody here has seen.
  if (file.isUnfollowed) return true;
  const isWhole = file.values.length > 0;
  // Numbers hardly look like a frame, and some loaders see other opcodes from there on.
  if (file.remarks.some(({ rule }) => rule === 'pickle.frame')) return true;
  if (file.startsWithProto) return isWhole || file.run.steps - options.steps >= convincingSteps;
  // A name by its number in Python's registry, which is called: what it is only the loader knows.
  if (file.calls > 0 && file.remarks.some(({ rule }) => rule === 'pickle.extension-code')) return true;
  // Protocols 0 and 1 have no magic. Without a name that is looked up they are only data.
  return !file.isDoubtful && file.globals > 0 && (isWhole || file.calls > 0);
}

export interface PickleAnswer {
  /** undefined: it is no pickle. */
  readonly reading: PickleReading | undefined;
  /** Opcodes that it took. */
  readonly steps: number;
  /** What stopped the reading from outside, such as compressed bytes that are damaged. */
  readonly error: unknown;
}

/** Reads a content as pickles, whatever else it may be. What was found before an error is told all the same. */
export async function readPickles(content: Content, options: PickleOptions): Promise<PickleAnswer> {
  const file = new PickleFile(content, options);
  let error: unknown;
  try {
    await file.read();
  } catch (thrown) {
    error = thrown;
  } finally {
    file.close();
  }
  const steps = file.run.steps - options.steps;
  if (!isPickle(file, options)) return { reading: undefined, steps, error };
  const isTorch = options.torch || file.values[0] === legacyMagic;
  const format = isTorch ? 'TORCH' : file.run.joblib || content.compressed ? 'JOBLIB' : 'PICKLE';
  const reading: PickleReading = { format, remarks: file.remarks, contents: describePickles(file.values) };
  return { reading, steps, error };
}
