/** What one inspection may cost. Time is limited by whoever runs it: a process can be ended, a loop cannot. */
export interface Limits {
  /** Opcodes of all pickles of the file together. */
  readonly opcodes: number;
  /** Values on a pickle's stack. */
  readonly stackDepth: number;
  /** Marks on a pickle's stack, and containers within containers. */
  readonly nesting: number;
  /** Entries of a pickle's memo. */
  readonly memoEntries: number;
  /** Values that a pickle stands for when shared ones are counted each time: exponential structures grow fast. */
  readonly expandedValues: number;
  /** Archives and compressed streams within one another. */
  readonly archiveDepth: number;
  /** Members of one archive. */
  readonly members: number;
  /** Bytes of one zip's central directory. */
  readonly directoryBytes: number;
  /** Bytes that decompression may produce in all. */
  readonly expandedBytes: number;
  /** Expanding to more than `expansionRatio` times the file's size is a bomb, once past `expansionFloor` bytes. */
  readonly expansionRatio: number;
  readonly expansionFloor: number;
  /** What a member unpacks to is held in memory up to this many bytes, streamed (again and again) beyond. */
  readonly heldBytes: number;
  /** A decompressor's dictionary. */
  readonly dictionaryBytes: number;
  /** Stored members up to this many bytes are compared with their checksum; see `zip.ts` for the others. */
  readonly checksummedBytes: number;
  /** Tensors of one safetensors or GGUF file, and entries of its metadata. */
  readonly tensors: number;
  /** Findings that are listed; the verdict counts those beyond, too. */
  readonly findings: number;
}

const MiB = 2 ** 20;

export const defaultLimits: Limits = {
  opcodes: 50_000_000,
  stackDepth: 1_000_000,
  nesting: 2_000,
  memoEntries: 3_000_000,
  expandedValues: 1e9,
  archiveDepth: 5,
  members: 10_000,
  directoryBytes: 16 * MiB,
  expandedBytes: 32 * 1024 * MiB,
  expansionRatio: 100,
  expansionFloor: 32 * MiB,
  heldBytes: 16 * MiB,
  dictionaryBytes: 64 * MiB,
  checksummedBytes: MiB,
  tensors: 1_000_000,
  findings: 100,
};
