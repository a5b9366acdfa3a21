/** Arrays between the opcodes: the reader must be where joblib is, and see what another loader would. */
import { describe, expect, test } from 'vitest';
import {
  assemble,
  build,
  dict,
  dtype,
  frame,
  global,
  integer,
  list,
  newObject,
  pickle,
  reduce,
  text,
  tuple,
  wrapped,
  wrapperClass,
} from './assemble.ts';
import type { Code, WrappedSpec } from './assemble.ts';
import { inspectBytes, rulesOf } from './inspect-bytes.ts';

const evil = reduce(global('os', 'system'), tuple(text('true')));
const padding = Buffer.of(3, 255, 255, 255);
const vector: WrappedSpec = { shape: tuple(integer(4)), dtype: dtype('f8') };

/** A pickle of an array with these raw bytes, and code behind. */
function withArray(spec: WrappedSpec, raw: Buffer, behind: Code = assemble('NONE')): Buffer {
  return pickle(list(Buffer.concat([wrapped(spec), raw]), behind));
}

async function answer(bytes: Buffer): Promise<string[]> {
  const inspection = await inspectBytes(bytes, 'm.joblib');
  return [inspection.verdict, ...rulesOf(inspection)];
}

describe('the array’s bytes are passed over', () => {
  test.each<[string, WrappedSpec, number]>([
    ['one dimension', vector, 32],
    ['none', { ...vector, shape: tuple() }, 8],
    ['three', { ...vector, shape: tuple(integer(2), integer(3), integer(4)) }, 192],
    ['no elements', { ...vector, shape: tuple(integer(0), integer(5)) }, 0],
    ['text', { ...vector, dtype: dtype('U3') }, 48],
    ['bytes', { ...vector, dtype: dtype('S5') }, 20],
    ['bools', { ...vector, dtype: dtype('b1') }, 4],
  ])('%s', async (_, spec, bytes) => {
    // STACK_GLOBAL on an empty stack: whoever takes the elements for opcodes breaks.
    const elements = Buffer.alloc(bytes, 0x93);
    expect(await answer(withArray(spec, Buffer.concat([padding, elements])))).toEqual(['SAFE']);
    expect(await answer(withArray(spec, Buffer.concat([padding, elements]), evil))).toEqual([
      'DANGEROUS',
      'pickle.denied-global',
    ]);
    const unpadded = { ...spec, alignment: null };
    expect(await answer(withArray(unpadded, elements))).toEqual(['SAFE']);
  });

  test('a structured type has the size that its state tells, and one with objects is a pickle', async () => {
    const none = assemble('NONE');
    const fields = (inner: Code) => dict({ a: tuple(inner, integer(0)), b: tuple(dtype('i4'), integer(8)) });
    const structured = (inner: Code, flags: number) =>
      build(
        reduce(global('numpy', 'dtype'), tuple(text('V12'))),
        tuple(
          integer(3),
          text('|'),
          none,
          tuple(text('a'), text('b')),
          fields(inner),
          integer(12),
          integer(1),
          integer(flags),
        ),
      );
    const plain = { shape: tuple(integer(2)), dtype: structured(dtype('f8'), 0) };
    expect(await answer(withArray(plain, Buffer.concat([padding, Buffer.alloc(24, 0x93)])))).toEqual([
      'SAFE',
    ]);
    const objects = { shape: tuple(integer(2)), dtype: structured(dtype('O'), 27) };
    expect(await answer(withArray(objects, pickle(none)))).toEqual(['SAFE']);
    expect(await answer(withArray(objects, pickle(evil)))).toEqual(['DANGEROUS', 'pickle.denied-global']);
  });

  test('an array cut short is unreadable', async () => {
    const cut = withArray(vector, Buffer.concat([padding, Buffer.alloc(32)])).subarray(0, -20);
    expect(await answer(cut)).toEqual(['UNREADABLE', 'pickle.truncated']);
  });
});

describe('what would lead the reader astray', () => {
  test('a type whose flags say objects though it has none, and the reverse', async () => {
    for (const type of [dtype('f8', 1), dtype('O', 0), dtype('O', 1), dtype('f8', 2)]) {
      expect(await answer(withArray({ ...vector, dtype: type }, Buffer.alloc(64)))).toEqual([
        'SUSPICIOUS',
        'numpy.element-type',
        'joblib.unclear-array',
      ]);
    }
  });

  test.each<[string, Code]>([
    ['no shape', assemble('NONE')],
    ['a negative dimension', tuple(integer(-1))],
    ['a dimension that a call makes', tuple(reduce(global('builtins', 'int'), tuple(text('4'))))],
  ])('%s: where it goes on is unknown', async (_, shape) => {
    const raw = Buffer.concat([padding, Buffer.alloc(32)]);
    expect(await answer(withArray({ ...vector, shape }, raw))).toEqual([
      'SUSPICIOUS',
      'joblib.unclear-array',
    ]);
  });

  test('a letter whose size depends on the platform', async () => {
    const raw = Buffer.concat([padding, Buffer.alloc(32)]);
    expect((await answer(withArray({ ...vector, dtype: dtype('l') }, raw)))[0]).toBe('SUSPICIOUS');
  });

  test.each<[string, Code]>([
    [
      'by a function that is given the class',
      reduce(global('sklearn.neighbors._kd_tree', 'newObj'), tuple(wrapperClass)),
    ],
    [
      'by one that is given it within a tuple',
      reduce(global('torch._tensor', '_rebuild_from_type_v2'), tuple(tuple(wrapperClass))),
    ],
    ['by one that is given an instance', reduce(global('numpy', 'amax'), tuple(newObject(wrapperClass)))],
    ['from a list', assemble(list(wrapperClass), 'POP', 'NONE')],
    ['from a dict', assemble(dict({ key: wrapperClass }), 'POP', 'NONE')],
  ])('a wrapper made %s', async (_, wrapper) => {
    const bytes = withArray({ ...vector, wrapper }, Buffer.concat([padding, Buffer.alloc(32)]));
    const [verdict, ...rules] = await answer(bytes);
    expect(verdict).toBe('DANGEROUS');
    expect(rules).toContain('joblib.hidden-array');
  });

  test('but by copyreg, as protocols 0 and 1 do, it is one', async () => {
    const wrapper = reduce(
      global('copy_reg', '_reconstructor'),
      tuple(wrapperClass, global('__builtin__', 'object'), assemble('NONE')),
    );
    const raw = Buffer.concat([padding, Buffer.alloc(32, 0x93)]);
    const bytes = assemble(list(Buffer.concat([wrapped({ ...vector, wrapper }), raw]), evil), 'STOP');
    expect(await answer(bytes)).toEqual(['DANGEROUS', 'pickle.denied-global']);
  });

  test('a frame that goes on behind the wrapper: joblib reads the array from behind the frame', async () => {
    const raw = Buffer.concat([padding, Buffer.alloc(32)]);
    const bytes = pickle(frame(list(Buffer.concat([wrapped(vector), raw]), assemble('NONE'))));
    expect(await answer(bytes)).toEqual(['DANGEROUS', 'joblib.array-within-frame']);
  });

  test('padding in which something could lie', async () => {
    const raw = Buffer.concat([Buffer.of(200), Buffer.alloc(200), Buffer.alloc(32)]);
    expect(await answer(withArray(vector, raw))).toEqual(['SUSPICIOUS', 'joblib.padding']);
  });

  test('elements that another loader would run', async () => {
    const hidden = assemble(evil, 'STOP');
    const spec = { shape: tuple(integer(hidden.length)), dtype: dtype('u1'), alignment: null };
    expect(await answer(withArray(spec, hidden))).toEqual(['DANGEROUS', 'pickle.hidden-in-array']);
    // Behind as many opcodes as anyone likes, and with texts from before the array.
    const late = Buffer.concat([
      ...Array.from({ length: 5000 }, () => assemble('NONE', 'POP')),
      assemble('BINGET', Buffer.of(0), 'BINGET', Buffer.of(1), 'STACK_GLOBAL', 'STOP'),
    ]);
    const before = assemble(text('os'), 'MEMOIZE', 'POP', text('system'), 'MEMOIZE', 'POP');
    const lateSpec = { shape: tuple(integer(late.length)), dtype: dtype('u1'), alignment: null };
    const bytes = pickle(list(before, Buffer.concat([wrapped(lateSpec), late])));
    expect(await answer(bytes)).toEqual(['DANGEROUS', 'pickle.hidden-in-array']);
  });
});
