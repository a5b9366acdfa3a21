/** Writes pickles opcode by opcode: what no pickler would write, too. */

/** Codes by name (CPython: Lib/pickle.py). Written down anew, so that a slip in `src` is not repeated here. */
export const op = {
  MARK: 0x28,
  STOP: 0x2e,
  POP: 0x30,
  POP_MARK: 0x31,
  DUP: 0x32,
  FLOAT: 0x46,
  INT: 0x49,
  BININT: 0x4a,
  BININT1: 0x4b,
  LONG: 0x4c,
  BININT2: 0x4d,
  NONE: 0x4e,
  PERSID: 0x50,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  STRING: 0x53,
  BINSTRING: 0x54,
  SHORT_BINSTRING: 0x55,
  UNICODE: 0x56,
  BINUNICODE: 0x58,
  APPEND: 0x61,
  BUILD: 0x62,
  GLOBAL: 0x63,
  DICT: 0x64,
  EMPTY_DICT: 0x7d,
  APPENDS: 0x65,
  GET: 0x67,
  BINGET: 0x68,
  INST: 0x69,
  LONG_BINGET: 0x6a,
  LIST: 0x6c,
  EMPTY_LIST: 0x5d,
  OBJ: 0x6f,
  PUT: 0x70,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  SETITEM: 0x73,
  TUPLE: 0x74,
  EMPTY_TUPLE: 0x29,
  SETITEMS: 0x75,
  BINFLOAT: 0x47,
  PROTO: 0x80,
  NEWOBJ: 0x81,
  EXT1: 0x82,
  EXT2: 0x83,
  EXT4: 0x84,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  LONG1: 0x8a,
  LONG4: 0x8b,
  BINBYTES: 0x42,
  SHORT_BINBYTES: 0x43,
  SHORT_BINUNICODE: 0x8c,
  BINUNICODE8: 0x8d,
  BINBYTES8: 0x8e,
  EMPTY_SET: 0x8f,
  ADDITEMS: 0x90,
  FROZENSET: 0x91,
  NEWOBJ_EX: 0x92,
  STACK_GLOBAL: 0x93,
  MEMOIZE: 0x94,
  FRAME: 0x95,
  BYTEARRAY8: 0x96,
  NEXT_BUFFER: 0x97,
  READONLY_BUFFER: 0x98,
} as const;

/** A stretch of a pickle. */
export type Code = Buffer;

export type OpName = keyof typeof op;

export const assemble = (...parts: readonly (Code | OpName)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.of(op[part]) : part)));

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** Text by SHORT_BINUNICODE. */
export const text = (value: string): Code =>
  assemble('SHORT_BINUNICODE', Buffer.of(Buffer.byteLength(value)), Buffer.from(value));

export const integer = (value: number): Code => assemble('BININT', uint32(value >>> 0));

/** A name by GLOBAL. */
export const global = (module: string, name: string): Code =>
  assemble('GLOBAL', Buffer.from(`${module}\n${name}\n`));

/** A name by STACK_GLOBAL. */
export const stackGlobal = (module: Code, name: Code): Code => assemble(module, name, 'STACK_GLOBAL');

export const tuple = (...items: readonly Code[]): Code => assemble('MARK', ...items, 'TUPLE');
export const list = (...items: readonly Code[]): Code => assemble('EMPTY_LIST', 'MARK', ...items, 'APPENDS');

export const dict = (entries: Readonly<Record<string, Code>>): Code =>
  assemble(
    'EMPTY_DICT',
    'MARK',
    ...Object.entries(entries).flatMap(([key, value]) => [text(key), value]),
    'SETITEMS',
  );

export const reduce = (callee: Code, args: Code): Code => assemble(callee, args, 'REDUCE');
export const newObject = (type: Code, args: Code = assemble('EMPTY_TUPLE')): Code =>
  assemble(type, args, 'NEWOBJ');
export const build = (object: Code, state: Code): Code => assemble(object, state, 'BUILD');

/** PROTO, the code, STOP. */
export const pickle = (code: Code, protocol = 4): Buffer =>
  assemble('PROTO', Buffer.of(protocol), code, 'STOP');

/** The code as a frame. */
export const frame = (code: Code): Code => assemble('FRAME', uint64(code.length), code);

/** `numpy.dtype(code)`, with the state that NumPy gives it. */
export function dtype(code: string, flags = code.includes('O') ? 63 : 0): Code {
  const none = assemble('NONE');
  const made = reduce(global('numpy', 'dtype'), tuple(text(code), assemble('NEWFALSE'), assemble('NEWTRUE')));
  const state = tuple(integer(3), text('<'), none, none, none, integer(-1), integer(-1), integer(flags));
  return build(made, state);
}

export interface WrappedSpec {
  readonly shape: Code;
  readonly dtype: Code;
  /** `numpy_array_alignment_bytes`; null as for streams that cannot tell where they are. */
  readonly alignment?: number | null;
  /** The wrapper before its BUILD. */
  readonly wrapper?: Code;
}

export const wrapperClass = global('joblib.numpy_pickle', 'NumpyArrayWrapper');

/** joblib's wrapper with its BUILD, behind which the array's bytes go. */
export function wrapped({ shape, dtype: type, alignment = 16, wrapper }: WrappedSpec): Code {
  const state = dict({
    subclass: global('numpy', 'ndarray'),
    shape,
    order: text('C'),
    dtype: type,
    allow_mmap: assemble('NEWTRUE'),
    numpy_array_alignment_bytes: alignment === null ? assemble('NONE') : integer(alignment),
  });
  return build(wrapper ?? newObject(wrapperClass), state);
}
