/** Single rules of pickles: what the property tests cannot tell apart. */
import { describe, expect, test } from 'vitest';
import {
  assemble,
  build,
  dict,
  frame,
  global,
  integer,
  list,
  newObject,
  pickle,
  reduce,
  stackGlobal,
  text,
  tuple,
  uint32,
  uint64,
} from './assemble.ts';
import type { Code } from './assemble.ts';
import { inspectBytes, rulesOf } from './inspect-bytes.ts';

const none = assemble('NONE');

async function rulesFor(bytes: Buffer, name = 'm.pkl'): Promise<string[]> {
  return rulesOf(await inspectBytes(bytes, name));
}

describe('names', () => {
  test.each<[string, Code]>([
    [
      'is made by a call',
      stackGlobal(reduce(global('_codecs', 'encode'), tuple(text('os'), text('latin1'))), text('x')),
    ],
    ['is bytes', stackGlobal(assemble('SHORT_BINBYTES', Buffer.of(2), Buffer.from('os')), text('system'))],
    [
      'is too long to be one',
      stackGlobal(assemble('BINUNICODE', uint32(600), Buffer.alloc(600, 'a')), text('f')),
    ],
  ])('a module that %s cannot be judged: dangerous', async (_, code) => {
    expect(await rulesFor(pickle(code))).toContain('pickle.unresolved-global');
  });

  test('one that is only looked up is reported, with its place', async () => {
    const { verdict, findings } = await inspectBytes(pickle(list(global('os', 'system'))));
    expect(verdict).toBe('DANGEROUS');
    expect(findings[0]).toMatchObject({ path: 'file', offset: 4, rule: 'pickle.denied-global' });
  });

  test('what Python 2 called by another name is what Python 3 makes of it, below protocol 3 only', async () => {
    const set = assemble(global('__builtin__', 'set'), 'EMPTY_TUPLE', 'REDUCE');
    expect(await rulesFor(pickle(set, 2))).toEqual([]);
    expect(await rulesFor(pickle(set, 4))).toEqual(['pickle.unknown-global']);
    // A name that is denied is so under either.
    expect(await rulesFor(pickle(global('__builtin__', 'eval'), 4))).toEqual(['pickle.denied-global']);
    expect(await rulesFor(pickle(global('itertools', 'imap'), 2))).toEqual(['pickle.denied-global']);
  });

  test('modules that have moved are known by both names', async () => {
    for (const module of ['numpy.core.multiarray', 'numpy._core.multiarray']) {
      expect(await rulesFor(pickle(global(module, '_reconstruct')))).toEqual([]);
    }
    expect(await rulesFor(pickle(global('sklearn.ensemble.forest', 'RandomForestClassifier')))).toEqual([]);
  });

  test('an allowed pair is no prefix, and a dot no way around it', async () => {
    const suspects = [
      ['sklearn.svm._classes', 'SVC.fit'],
      ['sklearn.svm._classes.SVC', 'fit'],
      ['sklearn.svm', '_classes.SVC'],
      ['numpy', 'ndarray.tofile'],
      ['sklearnx.svm._classes', 'SVC'],
      ['sklearn.svm._classes', 'SVC '],
    ] as const;
    for (const [module, name] of suspects) {
      expect(await rulesFor(pickle(stackGlobal(text(module), text(name))))).toEqual([
        'pickle.unknown-global',
      ]);
    }
  });

  test('the same unknown name is told once', async () => {
    const { findings } = await inspectBytes(
      pickle(list(...Array.from({ length: 50 }, () => global('my', 'Thing')))),
    );
    expect(findings).toHaveLength(1);
  });
});

describe('suspicious', () => {
  const made = newObject(global('sklearn.svm._classes', 'SVC'));
  test.each<[string, Buffer, string]>([
    ['a code of the extension registry', pickle(assemble('EXT1', Buffer.of(7))), 'pickle.extension-code'],
    ['an object kept outside', pickle(assemble(text('id'), 'BINPERSID')), 'pickle.persistent-id'],
    ['bytes that are not in the file', pickle(assemble('NEXT_BUFFER')), 'pickle.out-of-band'],
    ['a call of what a call returned', pickle(reduce(made, tuple())), 'pickle.computed-callee'],
    [
      'attributes of a class',
      pickle(build(global('numpy', 'ndarray'), dict({ a: none }))),
      'pickle.changes-class',
    ],
    [
      'another codec',
      pickle(reduce(global('_codecs', 'encode'), tuple(text('a'), text('rot13')))),
      'pickle.computed-text',
    ],
    ['bytes behind STOP', Buffer.concat([pickle(none), Buffer.from('rubbish')]), 'pickle.trailing-bytes'],
  ])('%s', async (_, bytes, rule) => {
    const inspection = await inspectBytes(bytes, 'm.pkl');
    expect([inspection.verdict, ...rulesOf(inspection)]).toEqual(['SUSPICIOUS', rule]);
  });
});

describe('a pickle that breaks', () => {
  const evil = reduce(global('os', 'system'), tuple(text('true')));

  test.each<[string, Buffer]>([
    ['by an opcode that does not exist', assemble(Buffer.of(0x80, 4), text('a'), Buffer.of(0xff))],
    ['by taking what is not there', assemble(Buffer.of(0x80, 4), 'POP')],
    ['by an empty place of the memo', assemble(Buffer.of(0x80, 4), 'BINGET', Buffer.of(3), 'STOP')],
    ['by its end', assemble(Buffer.of(0x80, 4), text('a'), text('b'), text('c'))],
    ['by a length beyond its end', assemble(Buffer.of(0x80, 4), 'BINUNICODE8', uint64(2 ** 50), 'STOP')],
    ['by a frame beyond its end', assemble(Buffer.of(0x80, 4), 'FRAME', uint64(1000), none, 'STOP')],
  ])('%s is unreadable, and dangerous with a denied name before', async (_, broken) => {
    expect((await inspectBytes(broken, 'm.pkl')).verdict).toBe('UNREADABLE');
    const [proto, rest] = [broken.subarray(0, 2), broken.subarray(2)];
    const { verdict, findings } = await inspectBytes(
      Buffer.concat([proto, evil, assemble('POP'), rest]),
      'm.pkl',
    );
    expect(verdict).toBe('DANGEROUS');
    expect(findings.map(({ rule }) => rule)).toContain('pickle.denied-global');
    expect(findings.length).toBeGreaterThan(1);
  });

  test('goes on being read where only some unpicklers stop', async () => {
    // CPython's C code takes "5\0rubbish" for 5, and so runs what follows.
    const number = assemble('INT', Buffer.from('5\0rubbish\n'), 'POP');
    expect(await rulesFor(assemble(Buffer.of(0x80, 2), number, evil, 'STOP'))).toEqual([
      'pickle.broken',
      'pickle.denied-global',
    ]);
    // Python's own code takes a line without an end for one, less its last byte, and calls what it names.
    expect(await rulesFor(assemble('MARK', 'INST', Buffer.from('os\nsystemX')))).toContain(
      'pickle.denied-global',
    );
  });

  test('a frame that ends within an opcode is read by CPython as something else', async () => {
    const split = assemble('GLOBAL', Buffer.from('numpy'));
    const bytes = assemble(Buffer.of(0x80, 4), frame(split), Buffer.from('os\nsystem\n'), 'STOP');
    const { verdict } = await inspectBytes(bytes);
    expect(verdict).toBe('DANGEROUS');
    expect(await rulesFor(bytes)).toContain('pickle.frame');
  });
});

describe('a place of the memo that is written as no pickler would', () => {
  const line = (name: 'PUT' | 'GET', place: string): Code => assemble(name, Buffer.from(`${place}\n`));
  const named = (module: string, name: string, ...places: [string, string]): Code =>
    assemble(text(module), line('PUT', places[0]), 'POP', text(name), line('PUT', places[1]), 'POP');
  const long = (place: string): string => `${'0'.repeat(600)}${place}`;

  test.each<[string, (place: string) => string]>([
    ['by many zeros', long],
    ['by many spaces', (place) => ' '.repeat(600) + place],
    ['by what C takes to end at a NUL', (place) => `${place}\0`],
    ['by what C takes to end at a NUL, however long', (place) => `${place}\0${'x'.repeat(600)}`],
    ['by underscores and signs', (place) => ` +0_${place} `],
  ])('%s hides no name', async (_what, written) => {
    const call = assemble(line('GET', '1'), line('GET', '2'), 'STACK_GLOBAL', 'EMPTY_TUPLE', 'REDUCE');
    const put = assemble(
      named('builtins', 'list', '1', '2'),
      named('os', 'getpid', written('1'), written('2')),
      call,
    );
    const got = assemble(
      named('os', 'getpid', '1', '2'),
      ...([
        line('GET', written('1')),
        line('GET', written('2')),
        'STACK_GLOBAL',
        'EMPTY_TUPLE',
        'REDUCE',
      ] as const),
    );
    for (const code of [put, got])
      for (const bytes of [pickle(code), assemble(code, 'STOP')])
        for (const name of ['m.pkl', 'm.bin'])
          expect((await inspectBytes(bytes, name)).verdict).toBe('DANGEROUS');
  });
});

describe('without a magic', () => {
  test('a frame that loaders read otherwise is none of numbers', async () => {
    const evil = reduce(global('os', 'system'), tuple(text('true')));
    const behind = assemble('FRAME', uint64(2), 'NONE', 'STOP', evil, 'STOP');
    const within = assemble('FRAME', uint64(3), text('ab'), evil, 'STOP');
    const cut = assemble('FRAME', uint64(3), text('ab'), 'POP_MARK');
    for (const bytes of [behind, within, cut])
      expect((await inspectBytes(bytes, 'm.bin')).verdict).toBe('DANGEROUS');
  });

  test('a call by a number of Python’s registry is suspicious', async () => {
    for (const code of [
      assemble('EXT1', Buffer.of(1)),
      assemble('EXT2', Buffer.of(1, 0)),
      assemble('EXT4', uint32(1)),
    ])
      expect((await inspectBytes(assemble(reduce(code, tuple()), 'STOP'), 'm.bin')).verdict).toBe(
        'SUSPICIOUS',
      );
  });

  test('what goes on where it cannot be followed any more is suspicious', async () => {
    const evil = assemble(
      ...Array.from({ length: 20 }, () => 'NONE' as const),
      global('os', 'system'),
      'STOP',
    );
    const limits = { stackDepth: 10 };
    expect(rulesOf(await inspectBytes(evil, 'm.bin', limits))).toEqual(['pickle.limit']);
  });

  test('protocol 0 is a pickle by what it calls', async () => {
    const { format, verdict } = await inspectBytes(
      Buffer.from("cposix\nsystem\n(S'true'\ntR."),
      'readme.txt',
    );
    expect({ format, verdict }).toEqual({ format: 'PICKLE', verdict: 'DANGEROUS' });
  });

  test.each([
    'config\nvalue\n',
    'I am a text.\n',
    'N.',
    'class_a,class_b\n1,2\n',
    '(((((((((((',
    'Some text. With a few\nlines. And more of them.\n',
  ])('text is no pickle: %j', async (content) => {
    const { format, verdict } = await inspectBytes(Buffer.from(content), 'notes.txt');
    expect({ format, verdict }).toEqual({ format: 'OPAQUE', verdict: 'SAFE' });
  });

  test('numbers that begin like a pickle are none', async () => {
    const numbers = Buffer.alloc(4096, 0x11);
    numbers.set([0x80, 2, 0x4e, 0x11]);
    expect(await inspectBytes(numbers, 'weights.bin')).toMatchObject({ format: 'OPAQUE', verdict: 'SAFE' });
  });

  test('a name that says pickle makes it one, and broken', async () => {
    expect(await rulesFor(Buffer.from('I am a text.\n'), 'model.pkl')).toContain('pickle.broken');
  });
});

describe('limits', () => {
  const limited = (bytes: Buffer, limits: object) => inspectBytes(bytes, 'm.pkl', limits);
  const many = (code: Code, count: number) => Buffer.concat(Array.from({ length: count }, () => code));

  test.each<[string, Buffer, object]>([
    ['opcodes', pickle(assemble(many(assemble('NONE', 'POP'), 100), 'NONE')), { opcodes: 150 }],
    ['values on the stack', pickle(many(none, 200)), { stackDepth: 150 }],
    ['places of the memo', pickle(assemble('NONE', many(assemble('MEMOIZE'), 200))), { memoEntries: 150 }],
    [
      'levels',
      pickle(assemble(many(assemble('EMPTY_LIST'), 200), many(assemble('APPEND'), 199))),
      { nesting: 150 },
    ],
    ['marks', pickle(assemble(many(assemble('MARK'), 200), many(assemble('TUPLE'), 200))), { nesting: 150 }],
  ])('on %s are kept', async (_, bytes, limits) => {
    expect((await limited(bytes, {})).verdict).toBe('SAFE');
    const { verdict, findings } = await limited(bytes, limits);
    expect([verdict, ...new Set(findings.map(({ rule }) => rule))]).toEqual(['SUSPICIOUS', 'pickle.limit']);
  });

  test('on nesting do not hide what follows', async () => {
    const deep = assemble(many(assemble('EMPTY_LIST'), 200), many(assemble('APPEND'), 199));
    const inspection = await limited(pickle(list(deep, global('os', 'system'))), { nesting: 150 });
    expect(rulesOf(inspection)).toEqual(['pickle.limit', 'pickle.denied-global']);
  });

  test('on findings do not hide the worst', async () => {
    const unknown = Array.from({ length: 3000 }, (_, index) => global('my.module', `Class${index}`));
    const { verdict, findings, truncatedFindings } = await limited(
      pickle(list(...unknown, global('os', 'system'))),
      {
        findings: 10,
      },
    );
    expect(verdict).toBe('DANGEROUS');
    expect(truncatedFindings).toBe(true);
    expect(findings).toHaveLength(10);
    expect(findings.at(-1)?.rule).toBe('pickle.denied-global');
  });
});

test('what findings quote of the file is text to show', async () => {
  const { findings } = await inspectBytes(pickle(stackGlobal(text('a\u202e\u0007b'), text('x'.repeat(250)))));
  // eslint-disable-next-line no-control-regex -- they are what must not be there
  expect(findings[0]?.message).not.toMatch(/[\u0000-\u001f\u202e]/);
  expect(findings[0]?.message.length).toBeLessThanOrEqual(300);
});

test('numbers of every kind, and places of the memo by each opcode, are read alike', async () => {
  const numbers = assemble(
    'MARK',
    integer(1),
    assemble('BININT1', Buffer.of(2)),
    assemble('BININT2', Buffer.of(3, 0)),
    assemble('INT', Buffer.from('01\n')),
    assemble('LONG', Buffer.from('-12345678901234567890L\n')),
    assemble('FLOAT', Buffer.from('1e3\n')),
    assemble('BINFLOAT', Buffer.alloc(8)),
    assemble('LONG1', Buffer.of(2, 255, 255)),
    assemble('LONG4', uint32(1), Buffer.of(7)),
    'LIST',
  );
  const svc = newObject(global('sklearn.svm._classes', 'SVC'));
  const { contents, findings } = await inspectBytes(pickle(build(svc, dict({ numbers }))));
  expect(findings).toEqual([]);
  expect(contents?.parameters).toEqual([
    { path: '', name: 'numbers', value: [1, 2, 3, true, '-12345678901234567890', 1000, 0, -1, 7] },
  ]);
});
