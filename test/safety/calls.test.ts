/** What allowed names may be made to do: what is called, with what, and what BUILD sets. */
import { describe, expect, test } from 'vitest';
import {
  assemble,
  build,
  dict,
  dtype,
  frame as frameOf,
  global,
  integer,
  list,
  newObject,
  pickle,
  reduce,
  text,
  tuple,
} from './assemble.ts';
import type { Code } from './assemble.ts';
import { inspectBytes, rulesOf } from './inspect-bytes.ts';

const none = assemble('NONE');
const ridge = newObject(global('sklearn.linear_model._ridge', 'Ridge'));
const scorer = build(
  newObject(global('sklearn.metrics._scorer', '_PredictScorer')),
  dict({ _response_method: text('eval') }),
);
const frame = global('pandas.core.frame', 'DataFrame');

async function answer(code: Code, name = 'm.pkl'): Promise<string[]> {
  const inspection = await inspectBytes(pickle(code), name);
  return [inspection.verdict, ...rulesOf(inspection)];
}

describe('functions and boosters are named, not called', () => {
  const named: [string, string][] = [
    ['sklearn.metrics.pairwise', 'pairwise_distances'],
    ['sklearn.feature_selection._univariate_selection', 'f_classif'],
    ['numpy', 'mean'],
    ['numpy._core._multiarray_umath', 'add'],
    ['xgboost.core', 'Booster'],
  ];

  test.each(named)('%s.%s', async (module, name) => {
    const function_ = global(module, name);
    expect(await answer(dict({ metric: function_ }))).toEqual(['SAFE']);
    expect(await answer(newObject(function_))).toEqual(['SAFE']);
    const unusual = ['SUSPICIOUS', 'pickle.unusual-call'];
    expect(await answer(reduce(function_, tuple(ridge, text('x'))))).toEqual(unusual);
    expect(await answer(assemble('MARK', function_, ridge, 'OBJ'))).toEqual(unusual);
    const lines = Buffer.from(`${module}\n${name}\n`);
    expect(await answer(assemble('MARK', ridge, 'INST', lines))).toEqual(unusual);
  });

  test('what compiled classes are made by is called', async () => {
    const tree = reduce(
      global('sklearn.neighbors._kd_tree', 'newObj'),
      tuple(global('sklearn.neighbors._kd_tree', 'KDTree')),
    );
    expect(await answer(tree)).toEqual(['SAFE']);
  });
});

describe('what calls its argument', () => {
  const rebuild = (callee: Code) =>
    reduce(
      global('torch._tensor', '_rebuild_from_type_v2'),
      tuple(callee, frame, tuple(reduce(frame, tuple()), text('1 + 1'), none), none),
    );

  test('is SAFE with a function that may be called', async () => {
    expect(await answer(rebuild(global('torch._utils', '_rebuild_tensor_v2')))).toEqual(['SAFE']);
    const generator = global('numpy.random._pickle', '__generator_ctor');
    const made = global('numpy.random._pickle', '__bit_generator_ctor');
    expect(await answer(reduce(generator, tuple(text('PCG64'), made)))).toEqual(['SAFE']);
  });

  test('is not with an object, with a function that is only named, or with what is not told', async () => {
    expect(await answer(rebuild(scorer))).toEqual(['SUSPICIOUS', 'pickle.computed-callee']);
    expect(await answer(rebuild(global('numpy', 'mean')))).toEqual(['SUSPICIOUS', 'pickle.unusual-call']);
    const generator = global('numpy.random._pickle', '__generator_ctor');
    expect(await answer(reduce(generator, tuple(text('x'), scorer)))).toEqual([
      'SUSPICIOUS',
      'pickle.computed-callee',
    ]);
    const computed = reduce(global('builtins', 'tuple'), tuple(list(text('x'), scorer)));
    expect(await answer(reduce(generator, computed))).toEqual(['SUSPICIOUS', 'pickle.computed-callee']);
  });
});

describe('BUILD does not set', () => {
  const special = ['SUSPICIOUS', 'pickle.special-attribute'];
  const key = (code: Code) => assemble('EMPTY_DICT', code, scorer, 'SETITEM');
  const computed = reduce(global('builtins', 'str'), tuple(text('__setstate__')));

  test.each<[string, Code]>([
    ['a method that the next BUILD calls', dict({ __setstate__: scorer })],
    ['a method that APPEND calls', dict({ append: scorer })],
    ['one for slots', tuple(none, dict({ __class__: frame }))],
    ['one whose name is computed', key(computed)],
    [
      'attributes of a dict that a call makes',
      reduce(global('collections', 'OrderedDict'), tuple(list(tuple(text('__setstate__'), scorer)))),
    ],
    [
      'attributes of such a dict for slots',
      tuple(none, reduce(global('builtins', 'dict'), tuple(list(tuple(text('add'), scorer))))),
    ],
  ])('%s', async (_, state) => {
    expect(await answer(build(ridge, state))).toEqual(special);
  });

  test('and an object with entries is not appended to', async () => {
    const bunch = assemble(
      newObject(global('sklearn.utils._bunch', 'Bunch')),
      text('extend'),
      scorer,
      'SETITEM',
    );
    expect(await answer(assemble(bunch, 'MARK', none, 'APPENDS'))).toEqual(special);
  });

  test('what models have as a state is SAFE', async () => {
    const bits = newObject(global('numpy.random._mt19937', 'MT19937'));
    const seeds = newObject(global('numpy.random.bit_generator', 'SeedSequence'));
    expect(await answer(build(bits, tuple(dict({ key: none }), seeds)))).toEqual(['SAFE']);
    expect(await answer(build(ridge, dict({ _add: none, coef_: integer(1) })))).toEqual(['SAFE']);
  });
});

describe('an element type', () => {
  test.each<[string, Code]>([
    ['of objects whose bytes are taken for addresses', dtype('O', 0)],
    ['of objects that are read from raw bytes', dtype('O', 1)],
    ['of numbers that are said to be objects', dtype('f8', 63)],
  ])('%s is suspicious', async (_, type) => {
    expect(await answer(type)).toEqual(['SUSPICIOUS', 'numpy.element-type']);
  });

  test('of records is as NumPy writes it', async () => {
    const fields = dict({ x: tuple(dtype('i4'), integer(0)) });
    const made = reduce(
      global('numpy', 'dtype'),
      tuple(global('numpy', 'record'), assemble('NEWFALSE'), assemble('NEWTRUE')),
    );
    const state = tuple(
      integer(3),
      text('|'),
      none,
      tuple(text('x')),
      fields,
      integer(4),
      integer(1),
      integer(16),
    );
    expect(await answer(build(made, state))).toEqual(['SAFE']);
  });
});

test('a persistent id does not hide what follows in a file of no known name', async () => {
  const evil = reduce(global('os', 'system'), tuple(text('true')));
  const bytes = assemble('PERSID', Buffer.from('0\n'), evil, 'STOP');
  expect((await inspectBytes(bytes, 'weights')).verdict).toBe('DANGEROUS');
  expect(
    await inspectBytes(assemble('PERSID', Buffer.from('0\n'), global('a', 'b'), 'STOP'), 'weights'),
  ).toMatchObject({
    format: 'OPAQUE',
    verdict: 'SAFE',
  });
});

test('names that are no text end a pickle, and numbers that begin like an opcode are none', async () => {
  const bytes = Buffer.concat([
    Buffer.from('c'),
    Buffer.alloc(40, 0xfe),
    Buffer.from('\n'),
    Buffer.alloc(40, 0xfd),
    Buffer.from('\n.'),
  ]);
  expect(await inspectBytes(bytes, 'weights')).toMatchObject({ format: 'OPAQUE', verdict: 'SAFE' });
  expect((await inspectBytes(bytes, 'weights.pkl')).verdict).toBe('UNREADABLE');
});

test('a frame that reaches beyond the end breaks the file, and what stands behind its pickle is read', async () => {
  const evil = pickle(reduce(global('os', 'system'), tuple(text('true'))));
  const cut = Buffer.concat([
    Buffer.of(0x80, 4, 0x95),
    Buffer.alloc(7),
    Buffer.of(1),
    assemble('NONE', 'STOP'),
  ]);
  expect(rulesOf(await inspectBytes(cut))).toEqual(['pickle.truncated']);
  expect((await inspectBytes(Buffer.concat([cut, evil]))).verdict).toBe('DANGEROUS');
});

test('a frame that goes on behind its pickle is where loaders see another one next', async () => {
  const evil = pickle(reduce(global('os', 'system'), tuple(text('true'))));
  // Within the frame: a pickle's end and the head of bytes that hold another pickle.
  const shown = assemble('NONE', 'STOP', 'SHORT_BINBYTES', Buffer.of(evil.length));
  const bytes = Buffer.concat([Buffer.of(0x80, 4), frameOf(shown), evil, assemble('STOP')]);
  expect(await inspectBytes(bytes)).toMatchObject({
    verdict: 'DANGEROUS',
    findings: [{ rule: 'pickle.frame' }],
  });
});

test('values without end are not followed without end', async () => {
  const bytes = Buffer.concat([Buffer.of(0x80, 4), Buffer.alloc(900_000, 0x5d), Buffer.alloc(899_999, 0x61)]);
  const eight = Buffer.concat([
    bytes,
    ...Array.from({ length: 7 }, () => Buffer.concat([Buffer.of(0x30), bytes.subarray(2)])),
  ]);
  const { verdict, findings } = await inspectBytes(eight, 'm.pkl', { nesting: 1_000_000 });
  expect(verdict).toBe('SUSPICIOUS');
  expect(findings.map(({ message }) => message)).toEqual([
    'The pickle makes more values than can be followed.',
  ]);
});
