import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareSignatures } from '#src/signature/compatibility.ts';
import {
  datatypes,
  tasks,
  type ColumnSpec,
  type Signature,
  type TensorSpec,
} from '#src/signature/signature.ts';

const tensor = (name: string, change: Partial<TensorSpec> = {}): TensorSpec => ({
  name,
  datatype: 'FP32',
  shape: [-1, 2],
  nullable: false,
  ...change,
});
const column = (name: string, index: number, change: Partial<ColumnSpec> = {}): ColumnSpec => ({
  name,
  input: 'x',
  index,
  datatype: 'FP32',
  nullable: false,
  ...change,
});
const base: Signature = {
  inputs: [tensor('x')],
  outputs: [tensor('label', { datatype: 'BYTES', shape: [-1] }), tensor('p')],
  columns: [column('age', 0), column('income', 1)],
  classes: ['no', 'yes'],
  positiveClass: 'yes',
  task: 'BINARY',
  labelOutput: 'label',
  probabilitiesOutput: 'p',
  valueOutput: null,
};

/** A signature that differs in this. */
const but = (change: Partial<Signature>): Signature => ({ ...base, ...change });

/** What becomes wider, and why the way back is closed. */
const widenings: [string, Signature, Signature, RegExp][] = [
  [
    'a dimension that was fixed',
    but({ inputs: [tensor('x', { shape: [1, 2] })] }),
    base,
    /takes \[1, 2\] instead of \[-1, 2\]/,
  ],
  [
    'missing values in an input',
    base,
    but({ inputs: [tensor('x', { nullable: true })] }),
    /no longer takes missing/,
  ],
  [
    'missing values in a column',
    base,
    but({ columns: [column('age', 0, { nullable: true }), column('income', 1)] }),
    /Column age may no longer be missing/,
  ],
  ['columns where there were none', but({ columns: null }), base, /no columns, so rows are not accepted/],
  ['one more output', base, but({ outputs: [...base.outputs, tensor('more')] }), /Output more is gone/],
  [
    'an answer of a fixed size',
    but({ outputs: [base.outputs[0]!, tensor('p', { shape: [-1, -1] })] }),
    base,
    /Output p is \[-1, -1\] instead of \[-1, 2\]/,
  ],
];

/** What callers cannot go on with, in either direction. */
const breaks: [string, Partial<Signature>, RegExp][] = [
  [
    'another datatype of an input',
    { inputs: [tensor('x', { datatype: 'FP64' })] },
    /Input x takes FP64 instead of FP32/,
  ],
  ['another number of dimensions', { inputs: [tensor('x', { shape: [-1, 2, 1] })] }, /takes \[-1, 2, 1\]/],
  [
    'another fixed size',
    { inputs: [tensor('x', { shape: [-1, 3] })] },
    /takes \[-1, 3\] instead of \[-1, 2\]/,
  ],
  ['another name of an input', { inputs: [tensor('y')] }, /Input x is gone/],
  [
    'another datatype of an output',
    { outputs: [base.outputs[0]!, tensor('p', { datatype: 'FP64' })] },
    /Output p is FP64/,
  ],
  ['another name of a column', { columns: [column('age', 0), column('wage', 1)] }, /Column income is gone/],
  [
    'another datatype of a column',
    { columns: [column('age', 0, { datatype: 'INT64' }), column('income', 1)] },
    /Column age takes INT64/,
  ],
  ['other classes', { classes: ['no', 'perhaps'], positiveClass: null }, /classes, or their order, differ/],
  ['other order of classes', { classes: ['yes', 'no'] }, /classes, or their order, differ/],
  ['another positive class', { positiveClass: 'no' }, /positive class is no instead of yes/],
  ['no positive class', { positiveClass: null }, /positive class is none instead of yes/],
  ['another task', { task: 'OTHER' }, /task is OTHER instead of BINARY/],
];

describe('wider is no harm, narrower is', () => {
  test.each(widenings)('%s', (_what, narrow, wide, why) => {
    const there = compareSignatures(narrow, wide);
    expect(there).toMatchObject({ compatible: true, reasons: [] });
    expect(there.changes.length).toBeGreaterThan(0);
    const back = compareSignatures(wide, narrow);
    expect(back.compatible).toBe(false);
    expect(back.reasons.join(' ')).toMatch(why);
  });
});

describe('broken', () => {
  test.each(breaks)('%s', (_what, change, why) => {
    const there = compareSignatures(base, but(change));
    expect(there.compatible).toBe(false);
    expect(there.reasons.join(' ')).toMatch(why);
    expect(there.changes.length).toBeGreaterThan(0);
    expect(compareSignatures(but(change), base).compatible).toBe(false);
  });

  test('one more input is needed, one less is not taken', () => {
    const more = but({ inputs: [tensor('x'), tensor('z')] });
    expect(compareSignatures(base, more).reasons).toEqual(['Input z is new and needed.']);
    expect(compareSignatures(more, base).reasons).toEqual(['Input z is gone.']);
  });

  // A row has to name every column, also one that may be null.
  test('one more column is needed, whether it may be missing or not', () => {
    for (const nullable of [false, true]) {
      const more = but({ columns: [...base.columns!, column('city', 2, { nullable })] });
      expect(compareSignatures(base, more).reasons).toEqual(['Column city is new and needed.']);
    }
  });

  test('columns that change places mean something else to those who send tensors', () => {
    const turned = compareSignatures(base, but({ columns: [column('income', 0), column('age', 1)] }));
    expect(turned.changes.map(({ path }) => path)).toEqual(['columns.age.index', 'columns.income.index']);
    expect(turned.compatible).toBe(false);
  });
});

const names = fc.constantFrom('a', 'b', 'c', 'constructor');
const tensors = fc.uniqueArray(
  fc.record({
    name: names,
    datatype: fc.constantFrom(...datatypes),
    shape: fc.array(fc.constantFrom(-1, 1, 2), { maxLength: 3 }),
    nullable: fc.boolean(),
  }),
  { selector: ({ name }) => name, maxLength: 3 },
);
const signatures: fc.Arbitrary<Signature> = fc.record({
  inputs: tensors,
  outputs: tensors,
  columns: fc.option(
    fc.uniqueArray(
      fc.record({
        name: names,
        input: names,
        index: fc.option(fc.nat(3)),
        datatype: fc.constantFrom(...datatypes),
        nullable: fc.boolean(),
      }),
      { selector: ({ name }) => name, maxLength: 3 },
    ),
  ),
  classes: fc.option(fc.constant(['no', 'yes'])),
  positiveClass: fc.option(fc.constant('yes')),
  task: fc.constantFrom(...tasks),
  labelOutput: fc.constant(null),
  probabilitiesOutput: fc.constant(null),
  valueOutput: fc.constant(null),
});

describe('for every signature', () => {
  test('it is compatible with itself, and nothing of it differs', () => {
    fc.assert(
      fc.property(signatures, (signature) => {
        expect(compareSignatures(signature, structuredClone(signature))).toEqual({
          compatible: true,
          reasons: [],
          changes: [],
        });
      }),
    );
  });

  test('what breaks also differs, and each difference is told once', () => {
    fc.assert(
      fc.property(signatures, signatures, (from, to) => {
        const { compatible, reasons, changes } = compareSignatures(from, to);
        expect(compatible).toBe(reasons.length === 0);
        if (!compatible) expect(changes.length).toBeGreaterThan(0);
        expect(new Set(changes.map(({ path }) => path)).size).toBe(changes.length);
      }),
    );
  });

  test('what is compatible with one that is compatible is compatible', () => {
    // Drawn from few, so that chains are met often.
    const near = fc.record({
      shape: fc.constantFrom([-1, 2], [1, 2], [-1, -1]),
      nullable: fc.boolean(),
      columns: fc.constantFrom(null, base.columns, [
        column('age', 0, { nullable: true }),
        column('income', 1),
      ]),
      more: fc.boolean(),
    });
    const signatureOf = ({
      shape,
      nullable,
      columns,
      more,
    }: typeof near extends fc.Arbitrary<infer T> ? T : never) =>
      but({
        inputs: [tensor('x', { shape, nullable })],
        columns,
        outputs: more ? [...base.outputs, tensor('more')] : base.outputs,
      });
    let chains = 0;
    fc.assert(
      fc.property(near, near, near, (a, b, c) => {
        const [first, second, third] = [a, b, c].map(signatureOf) as [Signature, Signature, Signature];
        if (!compareSignatures(first, second).compatible || !compareSignatures(second, third).compatible)
          return;
        chains++;
        expect(compareSignatures(first, third).reasons).toEqual([]);
      }),
      { numRuns: 2000 },
    );
    expect(chains).toBeGreaterThan(20);
  });
});
