/** Files of tensors: their headers are counts, lengths and places, and every one of them may be a lie. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { assemble, pickle, reduce, global, text, tuple, uint32, uint64 } from './assemble.ts';
import { inspectBytes, rulesOf } from './inspect-bytes.ts';
import { npy } from './npy-writer.ts';

async function answer(bytes: Buffer, name = 'model'): Promise<string[]> {
  const inspection = await inspectBytes(bytes, name);
  return [inspection.format, inspection.verdict, ...rulesOf(inspection)];
}

function safetensors(header: string | object, data: Buffer): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  return Buffer.concat([uint64(json.length), json, data]);
}

const tensor = (start: number, end: number, shape = [end - start], dtype = 'U8') => ({
  dtype,
  shape,
  data_offsets: [start, end],
});

describe('safetensors', () => {
  const layout = fc.array(
    fc.record({
      name: fc.string({ unit: 'binary', maxLength: 40 }),
      dtype: fc.constantFrom<[string, number]>(['F64', 8], ['F32', 4], ['BF16', 2], ['BOOL', 1]),
      shape: fc.array(fc.nat(5), { maxLength: 4 }),
    }),
    { maxLength: 12 },
  );

  function written(
    tensors: readonly { name: string; dtype: readonly [string, number]; shape: readonly number[] }[],
  ): Buffer {
    let at = 0;
    const entries: [string, object][] = [['__metadata__', { format: 'pt' }]];
    for (const { name, dtype, shape } of tensors) {
      if (entries.some(([other]) => other === name)) continue;
      const end = at + shape.reduce((product, size) => product * size, dtype[1]);
      entries.push([name, { dtype: dtype[0], shape, data_offsets: [at, end] }]);
      at = end;
    }
    // As text, since an object of JavaScript has no key __proto__ and sorts numbers first.
    const body = entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
    return safetensors(`{${body.join(' , ')}} `, Buffer.alloc(at, 7));
  }

  test('any that is in order is SAFE, and not with a byte more or less', async () => {
    await fc.assert(
      fc.asyncProperty(layout, async (tensors) => {
        const bytes = written(tensors);
        expect(await answer(bytes, 'm.safetensors')).toEqual(['SAFETENSORS', 'SAFE']);
        const rest = await answer(Buffer.concat([bytes, Buffer.of(0)]), 'm.safetensors');
        expect(rest.slice(1)).toEqual(['UNREADABLE', 'safetensors.tensors']);
        expect((await answer(bytes.subarray(0, -1), 'm.safetensors'))[1]).toBe('UNREADABLE');
      }),
      { numRuns: 150 },
    );
  });

  test.each<[string, string | object, number, string]>([
    ['a gap', { a: tensor(0, 4), b: tensor(5, 8) }, 8, 'safetensors.tensors'],
    ['an overlap', { a: tensor(0, 4), b: tensor(3, 8) }, 8, 'safetensors.tensors'],
    ['a shape of other bytes', { a: tensor(0, 8, [3]) }, 8, 'safetensors.tensors'],
    ['a shape whose product wraps', { a: tensor(0, 0, [2 ** 32, 2 ** 32]) }, 0, 'safetensors.tensors'],
    ['a type that does not exist', { a: tensor(0, 8, [8], 'X8') }, 8, 'safetensors.tensors'],
    [
      'a name twice',
      '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      1,
      'safetensors.header',
    ],
    [
      'a name twice, once escaped',
      '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0061":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      1,
      'safetensors.header',
    ],
    ['a fraction', '{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}', 1, 'safetensors.header'],
    ['a missing part', '{"a":{"dtype":"U8","shape":[1]}}', 1, 'safetensors.header'],
    ['metadata that is no text', '{"__metadata__":{"a":1}}', 0, 'safetensors.header'],
    ['a comma too many', '{"__metadata__":{},}', 0, 'safetensors.header'],
    ['something behind', '{"__metadata__":{}}{}', 0, 'safetensors.header'],
  ])('%s is not', async (_, header, bytes, rule) => {
    expect(await answer(safetensors(header, Buffer.alloc(bytes)))).toEqual([
      'SAFETENSORS',
      'UNREADABLE',
      rule,
    ]);
  });
});

describe('GGUF', () => {
  const string = (value: string) => Buffer.concat([uint64(value.length), Buffer.from(value)]);
  const entry = (key: string, type: number, value: Buffer) =>
    Buffer.concat([string(key), uint32(type), value]);
  const described = (name: string, dims: number[], type: number, offset: number) =>
    Buffer.concat([string(name), uint32(dims.length), ...dims.map(uint64), uint32(type), uint64(offset)]);

  function gguf(entries: readonly Buffer[], tensors: readonly Buffer[], data: number, version = 3): Buffer {
    const counts = [uint64(tensors.length), uint64(entries.length)];
    const head = Buffer.concat([Buffer.from('GGUF'), uint32(version), ...counts, ...entries, ...tensors]);
    return Buffer.concat([head, Buffer.alloc((32 - (head.length % 32)) % 32), Buffer.alloc(data)]);
  }

  const metadata = [
    entry('general.name', 8, string('test')),
    entry('general.alignment', 4, uint32(32)),
    entry('list', 9, Buffer.concat([uint32(4), uint64(3), Buffer.alloc(12)])),
    entry('tokens', 9, Buffer.concat([uint32(8), uint64(2), string('a'), string('b')])),
    entry('flag', 7, Buffer.of(1)),
  ];
  const weights = [described('w', [32, 2], 0, 0), described('q', [256], 12, 256)];

  test('in order is SAFE', async () => {
    expect(await answer(gguf(metadata, weights, 256 + 144))).toEqual(['GGUF', 'SAFE']);
    expect(await answer(gguf([], [], 0))).toEqual(['GGUF', 'SAFE']);
  });

  test.each<[string, Buffer, string[]]>([
    ['a tensor beyond the end', gguf(metadata, weights, 256 + 143), ['UNREADABLE', 'gguf.tensors']],
    [
      'tensors that overlap',
      gguf([], [described('a', [32], 0, 0), described('b', [32], 0, 32)], 256),
      ['UNREADABLE', 'gguf.tensors'],
    ],
    [
      'a place that is not aligned',
      gguf([], [described('a', [8], 0, 4)], 64),
      ['UNREADABLE', 'gguf.tensors'],
    ],
    ['half a block', gguf([], [described('a', [100], 12, 0)], 256), ['UNREADABLE', 'gguf.tensors']],
    ['an unknown type', gguf([], [described('a', [8], 99, 0)], 64), ['SUSPICIOUS', 'gguf.tensor-type']],
    [
      'an unknown kind of metadata',
      gguf([entry('k', 13, Buffer.alloc(8))], [], 0),
      ['UNREADABLE', 'gguf.broken'],
    ],
    [
      'an alignment of 7',
      gguf([entry('general.alignment', 4, uint32(7))], [], 0),
      ['UNREADABLE', 'gguf.broken'],
    ],
    ['an unknown version', gguf([], [], 0, 4), ['UNREADABLE', 'gguf.broken']],
  ])('with %s it is not', async (_, bytes, expected) => {
    expect(await answer(bytes)).toEqual(['GGUF', ...expected]);
  });

  test('a chat template that reaches for Python is suspicious', async () => {
    const template = (value: string) => gguf([entry('tokenizer.chat_template', 8, string(value))], [], 0);
    expect(await answer(template('{% for m in messages %}{{ m.content }}{% endfor %}'))).toEqual([
      'GGUF',
      'SAFE',
    ]);
    const attack = "{{ ''.__class__.__mro__[1].__subclasses__() }}";
    expect(await answer(template(attack))).toEqual(['GGUF', 'SUSPICIOUS', 'gguf.template']);
  });

  test('version 1 counts in 32 bits', async () => {
    const name = Buffer.concat([uint32(1), Buffer.from('w')]);
    const one = Buffer.concat([name, uint32(1), uint32(8), uint32(0), uint64(0)]);
    const head = Buffer.concat([Buffer.from('GGUF'), uint32(1), uint32(1), uint32(0), one]);
    const bytes = Buffer.concat([head, Buffer.alloc((32 - (head.length % 32)) % 32), Buffer.alloc(32)]);
    expect(await answer(bytes)).toEqual(['GGUF', 'SAFE']);
    expect((await answer(bytes.subarray(0, -1)))[1]).toBe('UNREADABLE');
  });
});

describe('.npy', () => {
  const evil = pickle(reduce(global('os', 'system'), tuple(text('true'))));

  test.each<[string, string, string, Buffer, string[]]>([
    ['floats', "'<f8'", '(2, 3)', Buffer.alloc(48), ['SAFE']],
    ['a single number', "'<i4'", '()', Buffer.alloc(4), ['SAFE']],
    ['texts', "'<U3'", '(2,)', Buffer.alloc(24), ['SAFE']],
    ['fields', "[('a', '<f8'), ('b', '|u1', (2, 2))]", '(2,)', Buffer.alloc(24), ['SAFE']],
    ['dates', "'<M8[ns]'", '(1,)', Buffer.alloc(8), ['SAFE']],
    ['too few bytes', "'<f8'", '(2,)', Buffer.alloc(15), ['UNREADABLE', 'numpy.truncated']],
    ['too many bytes', "'<f8'", '(2,)', Buffer.alloc(17), ['SUSPICIOUS', 'numpy.trailing-bytes']],
    ['an unknown type', "'<x8'", '(2,)', Buffer.alloc(16), ['UNREADABLE', 'numpy.header']],
    ['a negative size', "'<f8'", '(-2,)', Buffer.alloc(16), ['UNREADABLE', 'numpy.header']],
    ['a call in its header', "__import__('os')", '(2,)', Buffer.alloc(16), ['UNREADABLE', 'numpy.header']],
    ['objects', "'|O'", '(1,)', pickle(assemble('NONE')), ['SAFE']],
    ['dangerous objects', "'|O'", '(1,)', evil, ['DANGEROUS', 'pickle.denied-global']],
    [
      'objects in a field of a field',
      "[('a', [('b', '|O')])]",
      '(1,)',
      evil,
      ['DANGEROUS', 'pickle.denied-global'],
    ],
    ['objects that are none', "'|O'", '(1,)', Buffer.alloc(8), ['UNREADABLE', 'pickle.broken']],
  ])('of %s', async (_, description, shape, body, expected) => {
    expect(await answer(npy(description, shape, body))).toEqual(['OPAQUE', ...expected]);
  });
});
