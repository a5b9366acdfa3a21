import {
  datatypes,
  tasks,
  type ColumnSpec,
  type Signature,
  type TensorSpec,
} from '#src/signature/signature.ts';
import { builder } from './builder.ts';

export const DatatypeEnum = builder.enumType('Datatype', {
  description: 'Element type of a tensor, by its name in the Open Inference Protocol v2.',
  values: Object.fromEntries(
    datatypes.map((name) => [name, { description: name === 'BYTES' ? 'Text in UTF-8.' : describe(name) }]),
  ) as Record<(typeof datatypes)[number], { description: string }>,
});

function describe(name: string): string {
  const bits = name.replace(/^[A-Z]+/, '');
  if (name === 'BOOL') return 'True or false.';
  if (name.startsWith('FP')) return `Floating point of ${bits} bits (IEEE 754).`;
  return `${name.startsWith('U') ? 'Unsigned' : 'Signed'} integer of ${bits} bits.`;
}

const TaskEnum = builder.enumType('Task', {
  description: 'What a version is for.',
  values: Object.fromEntries(
    tasks.map((task) => [
      task,
      {
        description: {
          BINARY: 'Classification into two classes.',
          MULTICLASS: 'Classification into more than two classes.',
          REGRESSION: 'A number per row.',
          OTHER: 'Anything else.',
        }[task],
      },
    ]),
  ) as Record<(typeof tasks)[number], { description: string }>,
});

const TensorSpecType = builder.objectRef<TensorSpec>('TensorSpec').implement({
  description: 'A tensor that goes in or comes out.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name in the graph.' }),
    datatype: t.expose('datatype', { type: DatatypeEnum, description: 'Type of its elements.' }),
    shape: t.intList({
      description: 'Its dimensions, outermost first; -1 is variable. The first is the row.',
      resolve: (spec) => [...spec.shape],
    }),
    nullable: t.exposeBoolean('nullable', { description: 'Whether NaN (a missing value) is accepted.' }),
  }),
});

const ColumnSpecType = builder.objectRef<ColumnSpec>('ColumnSpec').implement({
  description: 'Which column of a row feeds which cell of which tensor.',
  fields: (t) => ({
    name: t.exposeString('name', { description: "The column's name." }),
    input: t.exposeString('input', { description: 'The input tensor it feeds.' }),
    index: t.exposeInt('index', {
      nullable: true,
      description: "Position within the input's row, from 0; null where the input holds one value per row.",
    }),
    datatype: t.expose('datatype', { type: DatatypeEnum, description: 'Type of its values.' }),
    nullable: t.exposeBoolean('nullable', {
      description: 'Whether null or NaN (a missing value) is accepted.',
    }),
  }),
});

export const SignatureType = builder.objectRef<Signature>('Signature').implement({
  description: 'What a version takes and answers.',
  fields: (t) => ({
    inputs: t.field({
      type: [TensorSpecType],
      description: 'Tensors that go in.',
      resolve: (s) => [...s.inputs],
    }),
    outputs: t.field({
      type: [TensorSpecType],
      description: 'Tensors that come out.',
      resolve: (s) => [...s.outputs],
    }),
    columns: t.field({
      type: [ColumnSpecType],
      nullable: true,
      description:
        'Columns of a row; null where neither the graph nor `signature` at createVersion names them.',
      resolve: (s) => (s.columns ? [...s.columns] : null),
    }),
    classes: t.stringList({
      nullable: true,
      description: 'Class names in the order of the probabilities; null where there are none.',
      resolve: (s) => (s.classes ? [...s.classes] : null),
    }),
    positiveClass: t.exposeString('positiveClass', {
      nullable: true,
      description: 'The class whose probability `probability` is; null unless BINARY.',
    }),
    task: t.expose('task', { type: TaskEnum, description: 'What it is for.' }),
  }),
});

const ColumnInput = builder.inputType('ColumnInput', {
  description: 'A column of a row.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'Its name.' }),
    input: t.string({
      description: 'The input tensor it feeds; without it the only one, or the one of its name.',
    }),
    index: t.int({ description: "Position within the input's row, from 0; without it the next." }),
    nullable: t.boolean({
      description: 'Whether a missing value is accepted; without it, as the graph tells.',
    }),
  }),
});

export const SignatureInput = builder.inputType('SignatureInput', {
  description: 'What the graph does not say itself. Checked against it: a contradiction rejects the version.',
  fields: (t) => ({
    columns: t.field({
      type: [ColumnInput],
      description: 'Columns of a row, in the order of the input tensor.',
    }),
    classes: t.stringList({ description: 'Class names in the order of the probabilities.' }),
    positiveClass: t.string({ description: 'The class whose probability is of interest; BINARY only.' }),
    task: t.field({ type: TaskEnum, description: 'What the version is for.' }),
  }),
});
