/**
 * Every opcode of pickle protocols 0 to 5 and the shape of its argument (CPython: Lib/pickletools.py). An opcode that
 * is not here does not exist, and no unpickler goes on after it.
 */

/**
 * `uint1`, `uint2`, `uint4`, `int4`: little-endian integers; `float8`: big-endian. `line`: up to a newline;
 * `lines`: two of them. `text…`, `string…`, `bytes…`, `long…`: counted by a length of so many bytes (`string4` and
 * `long4` count with a sign). `frame8`: a length of 8 bytes of what follows, which is opcodes and no argument.
 */
export type ArgumentKind =
  | 'none'
  | 'uint1'
  | 'uint2'
  | 'uint4'
  | 'int4'
  | 'float8'
  | 'frame8'
  | 'line'
  | 'lines'
  | 'text1'
  | 'text4'
  | 'text8'
  | 'string1'
  | 'string4'
  | 'bytes1'
  | 'bytes4'
  | 'bytes8'
  | 'long1'
  | 'long4';

const table = [
  [0x28, 'MARK', 'none'],
  [0x29, 'EMPTY_TUPLE', 'none'],
  [0x2e, 'STOP', 'none'],
  [0x30, 'POP', 'none'],
  [0x31, 'POP_MARK', 'none'],
  [0x32, 'DUP', 'none'],
  [0x42, 'BINBYTES', 'bytes4'],
  [0x43, 'SHORT_BINBYTES', 'bytes1'],
  [0x46, 'FLOAT', 'line'],
  [0x47, 'BINFLOAT', 'float8'],
  [0x49, 'INT', 'line'],
  [0x4a, 'BININT', 'int4'],
  [0x4b, 'BININT1', 'uint1'],
  [0x4c, 'LONG', 'line'],
  [0x4d, 'BININT2', 'uint2'],
  [0x4e, 'NONE', 'none'],
  [0x50, 'PERSID', 'line'],
  [0x51, 'BINPERSID', 'none'],
  [0x52, 'REDUCE', 'none'],
  [0x53, 'STRING', 'line'],
  [0x54, 'BINSTRING', 'string4'],
  [0x55, 'SHORT_BINSTRING', 'string1'],
  [0x56, 'UNICODE', 'line'],
  [0x58, 'BINUNICODE', 'text4'],
  [0x5d, 'EMPTY_LIST', 'none'],
  [0x61, 'APPEND', 'none'],
  [0x62, 'BUILD', 'none'],
  [0x63, 'GLOBAL', 'lines'],
  [0x64, 'DICT', 'none'],
  [0x65, 'APPENDS', 'none'],
  [0x67, 'GET', 'line'],
  [0x68, 'BINGET', 'uint1'],
  [0x69, 'INST', 'lines'],
  [0x6a, 'LONG_BINGET', 'uint4'],
  [0x6c, 'LIST', 'none'],
  [0x6f, 'OBJ', 'none'],
  [0x70, 'PUT', 'line'],
  [0x71, 'BINPUT', 'uint1'],
  [0x72, 'LONG_BINPUT', 'uint4'],
  [0x73, 'SETITEM', 'none'],
  [0x74, 'TUPLE', 'none'],
  [0x75, 'SETITEMS', 'none'],
  [0x7d, 'EMPTY_DICT', 'none'],
  [0x80, 'PROTO', 'uint1'],
  [0x81, 'NEWOBJ', 'none'],
  [0x82, 'EXT1', 'uint1'],
  [0x83, 'EXT2', 'uint2'],
  [0x84, 'EXT4', 'int4'],
  [0x85, 'TUPLE1', 'none'],
  [0x86, 'TUPLE2', 'none'],
  [0x87, 'TUPLE3', 'none'],
  [0x88, 'NEWTRUE', 'none'],
  [0x89, 'NEWFALSE', 'none'],
  [0x8a, 'LONG1', 'long1'],
  [0x8b, 'LONG4', 'long4'],
  [0x8c, 'SHORT_BINUNICODE', 'text1'],
  [0x8d, 'BINUNICODE8', 'text8'],
  [0x8e, 'BINBYTES8', 'bytes8'],
  [0x8f, 'EMPTY_SET', 'none'],
  [0x90, 'ADDITEMS', 'none'],
  [0x91, 'FROZENSET', 'none'],
  [0x92, 'NEWOBJ_EX', 'none'],
  [0x93, 'STACK_GLOBAL', 'none'],
  [0x94, 'MEMOIZE', 'none'],
  [0x95, 'FRAME', 'frame8'],
  [0x96, 'BYTEARRAY8', 'bytes8'],
  [0x97, 'NEXT_BUFFER', 'none'],
  [0x98, 'READONLY_BUFFER', 'none'],
] as const satisfies readonly (readonly [number, string, ArgumentKind])[];

export type OpcodeName = (typeof table)[number][1];

export interface Opcode {
  readonly name: OpcodeName;
  readonly argument: ArgumentKind;
}

/** By code; undefined where there is none. */
export const opcodes: readonly (Opcode | undefined)[] = Array.from({ length: 256 }, (_, code) => {
  const row = table.find(([each]) => each === code);
  return row && { name: row[1], argument: row[2] };
});
