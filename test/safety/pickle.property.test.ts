/**
 * Wherever a name stands in a pickle, however it got there and whatever is wrapped around: a denied one is never
 * missed, and a harmless one is never reported.
 */
import { deflateSync, gzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  assemble,
  dict,
  dtype,
  frame,
  integer,
  list,
  pickle,
  text,
  tuple,
  uint32,
  uint64,
  wrapped,
} from './assemble.ts';
import type { Code } from './assemble.ts';
import { hostile, inspectBytes } from './inspect-bytes.ts';
import { npy } from './npy-writer.ts';
import { tar } from './tar-writer.ts';
import { zip } from './zip-writer.ts';

/** Text by any opcode that makes some. */
const textRoutes: readonly ((value: string) => Code)[] = [
  text,
  (value) => assemble('BINUNICODE', uint32(value.length), Buffer.from(value)),
  (value) => assemble('BINUNICODE8', uint64(value.length), Buffer.from(value)),
  (value) => assemble('SHORT_BINSTRING', Buffer.of(value.length), Buffer.from(value)),
  (value) => assemble('BINSTRING', uint32(value.length), Buffer.from(value)),
  (value) => assemble('UNICODE', Buffer.from(`${value}\n`)),
  (value) => assemble('UNICODE', Buffer.from(`${escaped(value, 'u', 4)}\n`)),
  (value) => assemble('UNICODE', Buffer.from(`${escaped(value, 'U', 8)}\n`)),
  (value) => assemble('STRING', Buffer.from(`'\\${value.charCodeAt(0).toString(8)}${value.slice(1)}'\n`)),
  (value) => assemble('STRING', Buffer.from(`'${value}'\n`)),
  (value) => assemble('STRING', Buffer.from(`"${escaped(value, 'x', 2)}"\n`)),
];

/** The first character as an escape of Python's. */
function escaped(value: string, kind: 'u' | 'U' | 'x', digits: number): string {
  const code = value.charCodeAt(0).toString(16).padStart(digits, '0');
  return `\\${kind}${code}${value.slice(1)}`;
}

/** What leaves the value on the stack as it was, after a detour. */
const detours: readonly ((code: Code, place: number) => Code)[] = [
  (code) => code,
  (code) => assemble(code, 'DUP', 'POP'),
  (code) => assemble(code, text('other'), 'POP'),
  (code) => assemble(code, 'MARK', text('a'), text('b'), 'POP_MARK'),
  // A mark that is taken off again by POP.
  (code) => assemble(code, 'MARK', 'POP'),
  (code) => assemble(text('other'), 'POP', code),
  (code, place) => assemble(code, 'BINPUT', Buffer.of(place), 'POP', 'BINGET', Buffer.of(place)),
  (code, place) => assemble(code, 'PUT', Buffer.from(`${place}\n`), 'POP', 'GET', Buffer.from(`${place}\n`)),
  (code, place) =>
    assemble(code, 'LONG_BINPUT', uint32(place + 70_000), 'POP', 'LONG_BINGET', uint32(place + 70_000)),
  // The place holds something harmless first.
  (code, place) =>
    assemble(
      text('numpy'),
      'BINPUT',
      Buffer.of(place),
      'POP',
      code,
      'BINPUT',
      Buffer.of(place),
      'POP',
      'BINGET',
      Buffer.of(place),
    ),
  // Places by text, which can be written in several ways.
  ...['00', '+0', '0_0', ' 0 ', '-0'].map((written) => (code: Code) => {
    const [put, get] = [written, '0'].map((each) => Buffer.from(`${each}\n`));
    if (put === undefined || get === undefined) throw new Error('both are there');
    return assemble(text('numpy'), 'BINPUT', Buffer.of(0), 'POP', code, 'PUT', put, 'POP', 'GET', get);
  }),
  (code) => assemble(code, 'MEMOIZE'),
  (code) => assemble(code, 'READONLY_BUFFER'),
];

const someText = fc.record({ route: fc.nat(textRoutes.length - 1), detour: fc.nat(detours.length - 1) });

function textBy(value: string, { route, detour }: { route: number; detour: number }, place: number): Code {
  return detours[detour]?.(textRoutes[route]?.(value) ?? text(value), place) ?? text(value);
}

const emptyTuple = assemble('EMPTY_TUPLE');

const lines = (module: string, name: string): Buffer => Buffer.from(`${module}\n${name}\n`);

/** A use of a name, by every opcode that looks one up. */
const uses = fc
  .record({
    module: someText,
    name: someText,
    how: fc.constantFrom('GLOBAL', 'STACK_GLOBAL', 'INST', 'OBJ', 'OBJ by stack'),
    call: fc.constantFrom('REDUCE', 'NEWOBJ', 'NEWOBJ_EX', 'BUILD', 'none'),
  })
  .map(({ module, name, how, call }) => (full: readonly [string, string]): Code => {
    const [moduleName, ownName] = full;
    const byStack = assemble(textBy(moduleName, module, 200), textBy(ownName, name, 201), 'STACK_GLOBAL');
    if (how === 'INST') return assemble('MARK', text('argument'), 'INST', lines(moduleName, ownName));
    if (how === 'OBJ') return assemble('MARK', 'GLOBAL', lines(moduleName, ownName), text('argument'), 'OBJ');
    if (how === 'OBJ by stack') return assemble('MARK', byStack, text('argument'), 'OBJ');
    const looked = how === 'GLOBAL' ? assemble('GLOBAL', lines(moduleName, ownName)) : byStack;
    if (call === 'none') return looked;
    if (call === 'NEWOBJ_EX') return assemble(looked, emptyTuple, 'EMPTY_DICT', 'NEWOBJ_EX');
    if (call === 'BUILD') return assemble(looked, emptyTuple, 'REDUCE', 'EMPTY_DICT', 'BUILD');
    return assemble(looked, tuple(text('argument')), call);
  });

/** Things around the use, within the pickle. */
const surroundings = fc.array(
  fc.constantFrom<(code: Code) => Code>(
    (code) => list(integer(1), code, assemble('NONE')),
    (code) => dict({ key: text('value'), other: code }),
    (code) => assemble(code, 'TUPLE1'),
    (code) => assemble(text('first'), code, 'TUPLE2'),
    (code) => assemble('MARK', code, 'FROZENSET'),
    (code) => assemble('EMPTY_SET', 'MARK', code, 'ADDITEMS'),
    (code) => assemble('MARK', code, integer(2), 'LIST'),
    (code) => assemble('EMPTY_LIST', code, 'APPEND'),
    // Thrown away: it has run all the same.
    (code) => assemble(code, 'POP', 'NONE'),
    (code) => assemble('PROTO', Buffer.of(4), code),
  ),
  { maxLength: 4 },
);

const benign = hostile('pickle/benign-sklearn.p4.pkl');

/** An array of joblib's, with bytes between the opcodes. */
const joblibArray = Buffer.concat([
  wrapped({ shape: tuple(integer(3)), dtype: dtype('f8') }),
  Buffer.of(5, 255, 255, 255, 255, 255),
  Buffer.alloc(24, 0x93),
]);

/** Things around the pickle; those that hold several can be told apart by their formats. */
const wrappings = fc.constantFrom<(code: Code, protocol: number) => Buffer>(
  pickle,
  (code) => assemble(code, 'STOP'),
  (code) => pickle(frame(code)),
  (code, protocol) => Buffer.concat([benign, pickle(code, protocol)]),
  (code, protocol) => Buffer.concat([pickle(code, protocol), benign]),
  (code, protocol) => gzipSync(pickle(code, protocol)),
  (code, protocol) => deflateSync(pickle(code, protocol)),
  (code, protocol) => gzipSync(deflateSync(pickle(code, protocol))),
  (code, protocol) => zip([{ name: 'notes.txt', data: pickle(code, protocol) }]),
  (code, protocol) => zip([{ name: 'a/b', data: pickle(code, protocol), deflated: true }]),
  (code, protocol) => tar([{ name: 'weights', data: pickle(code, protocol) }]),
  (code, protocol) =>
    gzipSync(tar([{ name: 'w', data: zip([{ name: 'x', data: pickle(code, protocol) }]) }])),
  (code, protocol) => npy("'|O'", '(1,)', pickle(code, protocol)),
  (code, protocol) =>
    zip([{ name: 'a.npy', data: npy("[('a', '<f8'), ('b', '|O')]", '(1,)', pickle(code, protocol)) }]),
  (code) => pickle(list(joblibArray, code)),
  (code, protocol) =>
    pickle(
      list(Buffer.concat([wrapped({ shape: tuple(integer(1)), dtype: dtype('O') }), pickle(code, protocol)])),
    ),
);

const denied = fc.constantFrom<readonly [string, string]>(
  ['os', 'system'],
  ['posix', 'system'],
  ['nt', 'system'],
  ['subprocess', 'Popen'],
  ['builtins', 'eval'],
  ['builtins', 'exec'],
  ['builtins', 'getattr'],
  ['__builtin__', 'eval'],
  ['commands', 'getoutput'],
  ['importlib', 'import_module'],
  ['operator', 'attrgetter'],
  ['functools', 'partial'],
  ['pickle', 'loads'],
  ['cPickle', 'loads'],
  ['_pickle', 'loads'],
  ['numpy', 'load'],
  ['numpy.testing._private.utils', 'runstring'],
  ['numpy._core', '_ufunc_reconstruct'],
  ['torch', 'load'],
  ['torch.storage', '_load_from_bytes'],
  ['joblib', 'load'],
  ['types', 'CodeType'],
  ['sklearn.utils', 'os.system'],
  ['collections', '_sys.exit'],
  ['builtins', 'object.__subclasses__'],
);

const harmless = fc.constantFrom<readonly [string, string]>(
  ['collections', 'OrderedDict'],
  ['sklearn.svm._classes', 'SVC'],
  ['numpy', 'ndarray'],
);

const program = fc.record({
  use: uses,
  around: surroundings,
  wrap: wrappings,
  protocol: fc.integer({ min: 0, max: 5 }),
});

interface Program {
  readonly use: (full: readonly [string, string]) => Code;
  readonly around: readonly ((code: Code) => Code)[];
  readonly wrap: (code: Code, protocol: number) => Buffer;
  readonly protocol: number;
}

function write({ use, around, wrap, protocol }: Program, full: readonly [string, string]): Buffer {
  return wrap(
    around.reduce((code, wrapIn) => wrapIn(code), use(full)),
    protocol,
  );
}

test('a denied name is never missed', async () => {
  await fc.assert(
    fc.asyncProperty(program, denied, async (spec, full) => {
      const { verdict, findings } = await inspectBytes(write(spec, full));
      expect({ verdict, findings }).toMatchObject({ verdict: 'DANGEROUS' });
      expect(findings.map(({ rule }) => rule)).toContain('pickle.denied-global');
    }),
    { numRuns: 3000 },
  );
});

test('a harmless one is SAFE by the same routes', async () => {
  await fc.assert(
    fc.asyncProperty(program, harmless, async (spec, full) => {
      const { verdict, findings } = await inspectBytes(write(spec, full));
      expect({ verdict, findings }).toEqual({ verdict: 'SAFE', findings: [] });
    }),
    { numRuns: 1500 },
  );
});
