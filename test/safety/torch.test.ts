/** Torch files: the zip archive, and what torch wrote before 1.6. */
import { describe, expect, test } from 'vitest';
import { assemble, dict, global, integer, list, pickle, reduce, text, tuple, uint64 } from './assemble.ts';
import type { Code } from './assemble.ts';
import { inspectBytes, rulesOf } from './inspect-bytes.ts';
import { zip } from './zip-writer.ts';
import type { MemberSpec } from './zip-writer.ts';

const emptyDict = reduce(global('collections', 'OrderedDict'), tuple());

/** A tensor of floats in a storage of its own. */
function tensor(key: string, rows: number, columns: number): Code {
  const id = tuple(
    text('storage'),
    global('torch', 'FloatStorage'),
    text(key),
    text('cpu'),
    integer(rows * columns),
  );
  const layout = [integer(0), tuple(integer(rows), integer(columns)), tuple(integer(columns), integer(1))];
  return reduce(
    global('torch._utils', '_rebuild_tensor_v2'),
    tuple(assemble(id, 'BINPERSID'), ...layout, assemble('NEWFALSE'), emptyDict),
  );
}

const state = pickle(dict({ 'layer.weight': tensor('0', 2, 3) }), 2);
const weights = Buffer.alloc(24, 0x40);

const members: MemberSpec[] = [
  { name: 'm/data.pkl', data: state, descriptor: true },
  { name: 'm/version', data: Buffer.from('3\n'), descriptor: true },
  { name: 'm/data/0', data: weights, descriptor: true },
];

describe('an archive', () => {
  test('is TORCH, and its tensors are told', async () => {
    const inspection = await inspectBytes(zip(members), 'model.bin');
    expect(inspection).toMatchObject({ format: 'TORCH', verdict: 'SAFE', findings: [] });
    expect(inspection.contents?.arrays).toEqual([{ path: 'layer.weight', shape: [2, 3], dtype: 'float32' }]);
  });

  test('storages are referred to by its own pickle only', async () => {
    const extra = { name: 'm/extra.pkl', data: state };
    const inspection = await inspectBytes(zip([...members, extra]));
    expect([inspection.verdict, ...rulesOf(inspection)]).toEqual(['SUSPICIOUS', 'pickle.persistent-id']);
    expect(inspection.findings[0]?.path).toBe('file!m/extra.pkl');
  });

  test('a storage that is a pickle is looked into, whatever it is called', async () => {
    const evil = pickle(reduce(global('os', 'system'), tuple(text('true'))), 2);
    const inspection = await inspectBytes(zip([...members.slice(0, 2), { name: 'm/data/0', data: evil }]));
    expect([inspection.verdict, inspection.findings[0]?.path]).toEqual(['DANGEROUS', 'file!m/data/0']);
  });

  test('with code in it is suspicious', async () => {
    const code = { name: 'm/code/__torch__.py', data: Buffer.from('def forward(self): pass') };
    expect(rulesOf(await inspectBytes(zip([...members, code])))).toEqual(['torch.script']);
  });

  test('whose pickle is none is unreadable', async () => {
    const broken = [{ name: 'm/data.pkl', data: Buffer.from('nonsense') }, ...members.slice(1)];
    expect((await inspectBytes(zip(broken))).verdict).toBe('UNREADABLE');
  });
});

describe('a legacy file', () => {
  const magic = assemble('LONG1', Buffer.of(10), Buffer.from('6cfc9c46f9206aa85019', 'hex'));
  const head = [magic, integer(1001), dict({ little_endian: assemble('NEWTRUE') })].map((code) =>
    pickle(code, 2),
  );
  const legacy = (model: Buffer, rest: Buffer) =>
    Buffer.concat([...head, model, pickle(list(text('0')), 2), rest]);
  const storage = Buffer.concat([uint64(6), weights]);

  test('is TORCH, its storages filling the rest', async () => {
    const inspection = await inspectBytes(legacy(state, storage));
    expect(inspection).toMatchObject({ format: 'TORCH', verdict: 'SAFE', findings: [] });
  });

  test.each([
    ['more', Buffer.concat([storage, Buffer.of(1)])],
    ['less', storage.subarray(1)],
    ['no', Buffer.of(0)],
  ])('with %s bytes than its tensors need is suspicious', async (_, rest) => {
    expect(rulesOf(await inspectBytes(legacy(state, rest)))).toEqual(['torch.storages']);
  });

  test('any of its pickles may be the bad one', async () => {
    const evil = pickle(reduce(global('posix', 'system'), tuple(text('true'))), 2);
    expect((await inspectBytes(legacy(evil, storage))).verdict).toBe('DANGEROUS');
    expect((await inspectBytes(Buffer.concat([...head, state, evil]))).verdict).toBe('DANGEROUS');
  });
});
