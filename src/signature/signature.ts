/**
 * What a version takes and what it answers: the tensors of its served graph, the columns a row is made of,
 * and the meaning of its outputs. Pure data, stored as JSON beside the version.
 */

/** Element types of the Open Inference Protocol v2. `BYTES` is UTF-8 text here. */
export const datatypes = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
] as const;
export type Datatype = (typeof datatypes)[number];

export const tasks = ['BINARY', 'MULTICLASS', 'REGRESSION', 'OTHER'] as const;
export type Task = (typeof tasks)[number];

export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  /** Dimensions, outermost first; -1 is variable. The first one is the row when it is -1. */
  readonly shape: readonly number[];
  /** Whether NaN is a legal value (a missing one), because the graph imputes or routes it. */
  readonly nullable: boolean;
}

/** Which cell of which input tensor a column of a row feeds. */
export interface ColumnSpec {
  readonly name: string;
  readonly input: string;
  /** Position within the input's row, 0-based; null when the input holds this one value per row. */
  readonly index: number | null;
  readonly datatype: Datatype;
  readonly nullable: boolean;
}

export interface Signature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** null when neither the graph nor the caller names them: then only tensors can be predicted on. */
  readonly columns: readonly ColumnSpec[] | null;
  /** Class names in the order of the probabilities' columns; null where there are none. */
  readonly classes: readonly string[] | null;
  readonly positiveClass: string | null;
  readonly task: Task;
  /** Names of the outputs that carry the label, the class probabilities ([N, classes]) and a regression's value. */
  readonly labelOutput: string | null;
  readonly probabilitiesOutput: string | null;
  readonly valueOutput: string | null;
}

/** What a caller may declare at `createVersion`; checked against the graph at ingest. */
export interface GivenSignature {
  readonly columns?:
    | readonly {
        readonly name: string;
        readonly input?: string;
        readonly index?: number;
        readonly nullable?: boolean;
      }[]
    | undefined;
  readonly classes?: readonly string[] | undefined;
  readonly positiveClass?: string | undefined;
  readonly task?: Task | undefined;
}
