import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ValidationError } from '#src/platform/errors.ts';
import type { Datatype, Signature, TensorSpec } from '#src/signature/signature.ts';
import { parseTensors } from '#src/tensor/parse.ts';
import { fixturePredictions, fixtureSignature } from '#test/replica/process.harness.ts';

const options = { maxRows: 5 };

function signatureOf(...inputs: readonly Partial<TensorSpec>[]): Signature {
  const specs = inputs.map((input, index) => ({
    name: 'abc'[index]!,
    datatype: 'FP32' as Datatype,
    shape: [-1, 3],
    nullable: false,
    ...input,
  }));
  return { ...fixtureSignature('breast-cancer', 'v2'), inputs: specs };
}

function issueOf(signature: Signature, given: unknown) {
  try {
    parseTensors(signature, given, options);
  } catch (error) {
    expect(error).toBeInstanceOf(ValidationError);
    const [issue] = (error as ValidationError).issues;
    return { ...issue!, path: issue!.path.join('.') };
  }
  throw new Error('It was accepted.');
}

describe.each(['breast-cancer/v1', 'diamonds/v1', 'digits/v1', 'iris/v2', 'penguins/v1', 'wine/v1'])(
  'invalid requests of %s',
  (key) => {
    const [model, version] = key.split('/') as [string, string];
    const signature = fixtureSignature(model, version);
    test.each(fixturePredictions(model, version).invalid_requests!)('$why', ({ request }) => {
      const { path, expected, found, message } = issueOf(signature, request.inputs);
      expect(path).toMatch(/^tensors/);
      expect(expected).toBeTruthy();
      expect(found).toBeTruthy();
      expect(message).toContain(expected!);
      expect(message).toContain(found!);
    });
  },
);

describe('what is wrong is said precisely', () => {
  const row = [1, 2, 3];
  const cases: [string, Signature, unknown, object][] = [
    ['no list', signatureOf({}), { name: 'a' }, { path: 'tensors', expected: 'a list with "a"' }],
    ['no object', signatureOf({}), [1], { path: 'tensors.0', found: '1' }],
    ['missing', signatureOf({}, {}), [{ name: 'a', data: row }], { path: 'tensors', expected: 'input "b"' }],
    [
      'rows differ',
      signatureOf({}, {}),
      [
        { name: 'a', data: row },
        { name: 'b', data: [row, row] },
      ],
      { path: 'tensors.1.shape.0', expected: '1 rows, as many as in "a"', found: '2 in "b"' },
    ],
    [
      'counts',
      signatureOf({}),
      [{ name: 'a', shape: [2, 3], data: row }],
      { path: 'tensors.0.data', expected: '6 values for shape [2, 3]', found: '3 values' },
    ],
    [
      'no multiple',
      signatureOf({}),
      [{ name: 'a', data: [1, 2] }],
      { path: 'tensors.0.data', found: '2 values' },
    ],
    [
      'ragged',
      signatureOf({}),
      [{ name: 'a', data: [row, [1]] }],
      { path: 'tensors.0.data.1', expected: 'a list of 3', found: 'a list of 1' },
    ],
    [
      'nested unlike the shape',
      signatureOf({}),
      [{ name: 'a', shape: [1, 3], data: [row, row] }],
      { path: 'tensors.0.data', expected: 'values nested as [1, 3]', found: 'values nested as [2, 3]' },
    ],
    [
      'nested cell',
      signatureOf({}),
      [{ name: 'a', data: [row, [1, 'x', 3]] }],
      { path: 'tensors.0.data.1.1', expected: 'a finite number', found: 'text "x"' },
    ],
    [
      'no rows',
      signatureOf({}),
      [{ name: 'a', shape: [0, 3], data: [] }],
      { path: 'tensors.0.shape.0', found: '0' },
    ],
    [
      'too many rows',
      signatureOf({}),
      [{ name: 'a', data: Array.from({ length: 18 }, () => 1) }],
      { path: 'tensors.0.shape.0', expected: 'at most 5 rows (MAX_ROWS)', found: '6' },
    ],
    [
      'two variable dimensions',
      signatureOf({ shape: [-1, -1] }),
      [{ name: 'a', data: row }],
      { path: 'tensors.0.shape', found: 'nothing' },
    ],
    [
      'deep',
      signatureOf({}),
      [{ name: 'a', data: [[[1, 2, 3]]] }],
      { path: 'tensors.0.shape', found: '[1, 1, 3]' },
    ],
  ];
  test.each(cases)('%s', (_name, signature, given, issue) =>
    expect(issueOf(signature, given)).toMatchObject(issue),
  );

  test('the nearest name is offered', () => {
    const signature = signatureOf({ name: 'mean_radius' });
    expect(issueOf(signature, [{ name: 'mean radius', data: row }]).message).toContain(
      'Did you mean "mean_radius"?',
    );
  });
});

describe('cells', () => {
  const good: [Datatype, boolean, unknown, unknown][] = [
    ['FP32', false, 3.4028235e38, Math.fround(3.4028235e38)],
    ['FP32', true, 'NaN', Number.NaN],
    ['FP32', true, null, Number.NaN],
    ['FP32', true, '-Infinity', Number.NEGATIVE_INFINITY],
    ['FP64', false, 1e300, 1e300],
    ['FP16', false, 1.5, 0x3e00],
    ['FP16', false, 65_504, 0x7bff],
    ['INT8', false, -128, -128],
    ['UINT32', false, 4_294_967_295, 4_294_967_295],
    ['INT64', false, '-9223372036854775808', -(2n ** 63n)],
    ['INT64', false, 7, 7n],
    ['UINT64', false, '18446744073709551615', 2n ** 64n - 1n],
    ['BOOL', false, true, 1],
    ['BYTES', false, 'Grüße 🐧', 'Grüße 🐧'],
    ['BYTES', true, null, ''],
  ];
  test.each(good)('%s (nullable: %s) takes %j', (datatype, nullable, value, element) => {
    const signature = signatureOf({ datatype, nullable, shape: [-1] });
    const [tensor] = parseTensors(signature, [{ name: 'a', datatype, data: [value] }], options);
    expect(tensor).toMatchObject({ shape: [1], datatype });
    expect(tensor!.data[0]).toEqual(element);
  });

  const bad: [Datatype, boolean, unknown, string][] = [
    ['FP32', false, 1e39, 'within float32'],
    ['FP32', true, 1e39, 'within float32'],
    ['FP32', false, 3.4028235677973366e38, 'within float32'],
    ['FP16', false, 65_520, 'within float16'],
    ['FP32', false, 'NaN', 'nullable'],
    ['FP32', false, 'Infinity', 'nullable'],
    ['FP32', false, null, 'nullable'],
    ['FP32', true, '1', 'a number'],
    ['FP32', true, 'toString', 'a number'],
    ['FP32', false, true, 'finite number'],
    ['FP32', false, Object.create(null), 'an object'],
    ['INT8', false, 128, '-128 to 127'],
    ['UINT8', false, -1, '0 to 255'],
    ['INT32', false, 1.5, 'integer'],
    ['INT32', false, '1', 'integer'],
    ['INT64', false, 2 ** 53, 'as a string'],
    ['INT64', false, '9223372036854775808', 'INT64'],
    ['UINT64', false, '-1', 'UINT64'],
    ['INT64', false, '0x10', 'INT64'],
    ['BOOL', false, 1, 'true or false'],
    ['BYTES', false, 'a\0b', 'NUL'],
    ['BYTES', false, '\ud800', 'surrogate'],
    ['BYTES', false, null, 'text'],
    ['BYTES', false, 5, 'text'],
  ];
  test.each(bad)('%s (nullable: %s) refuses %j', (datatype, nullable, value, reason) => {
    const signature = signatureOf({ datatype, nullable, shape: [-1] });
    const issue = issueOf(signature, [{ name: 'a', data: [value] }]);
    expect(issue.path).toBe('tensors.0.data.0');
    expect(issue.message).toContain(reason);
  });
});

test('binary values meet the same rules', () => {
  const signature = signatureOf({}, { datatype: 'BOOL', shape: [-1] });
  const a = { name: 'a', shape: [1, 3], datatype: 'FP32', data: Float32Array.of(1, Number.NaN, 3) };
  const b = { name: 'b', shape: [1], datatype: 'BOOL', data: Uint8Array.of(2) };
  expect(issueOf(signature, [a, { ...b, data: Uint8Array.of(1) }]).path).toBe('tensors.0.data.1');
  const whole = { ...a, data: Float32Array.of(1, 2, 3) };
  expect(issueOf(signature, [whole, b])).toMatchObject({ path: 'tensors.1.data.0', expected: '0 or 1' });
  const nullable = signatureOf({ nullable: true });
  expect(parseTensors(nullable, [a], options)[0]!.data).toBe(a.data);
});

test('at most 20 issues are reported', () => {
  const data = Array.from({ length: 1000 }, () => Array.from({ length: 3 }, () => 'x'));
  try {
    parseTensors(signatureOf({}), [{ name: 'a', data }], { maxRows: 10_000 });
    expect.unreachable();
  } catch (error) {
    expect((error as ValidationError).issues).toHaveLength(20);
  }
});

test('flat and nested say the same', () => {
  const rows = fc.array(
    fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 3, maxLength: 3 }),
    {
      minLength: 1,
      maxLength: 5,
    },
  );
  fc.assert(
    fc.property(rows, (data) => {
      const [nested] = parseTensors(signatureOf({}), [{ name: 'a', data }], options);
      const [flat] = parseTensors(signatureOf({}), [{ name: 'a', data: data.flat() }], options);
      expect(nested).toEqual(flat);
      expect([...(flat!.data as Float32Array)]).toEqual(data.flat());
    }),
  );
});

test('nothing that JSON can hold brings anything but tensors or a ValidationError', () => {
  const signature = signatureOf({}, { datatype: 'BYTES', shape: [-1, -1] });
  const some = fc.record(
    {
      name: fc.constantFrom('a', 'b', 'c', 1),
      shape: fc.jsonValue(),
      datatype: fc.jsonValue(),
      data: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.array(some)), (given) => {
      try {
        parseTensors(signature, given, options);
      } catch (error) {
        expect(error).toBeInstanceOf(ValidationError);
      }
    }),
    { numRuns: 500 },
  );
});
