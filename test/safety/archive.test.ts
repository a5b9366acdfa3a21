/** Archives: what their readers could disagree about, what leaves their folder, and what only pretends to be small. */
import { deflateRawSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { global, pickle, reduce, text, tuple } from './assemble.ts';
import { hostile, inspectBytes, rulesOf } from './inspect-bytes.ts';
import { npy } from './npy-writer.ts';
import { pax, tar } from './tar-writer.ts';
import type { TarSpec } from './tar-writer.ts';
import { zip } from './zip-writer.ts';
import type { MemberSpec, ZipSpec } from './zip-writer.ts';

const notes = Buffer.from('harmless notes '.repeat(20));
const evil = pickle(reduce(global('os', 'system'), tuple(text('true'))));
const first: MemberSpec = { name: 'a.txt', data: notes };
const second: MemberSpec = { name: 'b.txt', data: notes, deflated: true };

async function answer(bytes: Buffer): Promise<string[]> {
  const inspection = await inspectBytes(bytes);
  return [inspection.verdict, ...rulesOf(inspection)];
}

describe('a zip archive is SAFE', () => {
  test.each<[string, MemberSpec[], ZipSpec]>([
    ['with members stored and deflated', [first, second], {}],
    [
      'with sizes behind the data',
      [
        { ...first, descriptor: true },
        { ...second, descriptor: true },
      ],
      {},
    ],
    ['with sizes of 64 bits', [{ ...first, wide: true }, second], { wide: true }],
    ['with a comment', [first], { comment: 'made by a test' }],
    ['with a folder', [{ name: 'folder/', data: Buffer.alloc(0), mode: 0o040755 }, first], {}],
    ['without members', [], {}],
    ['within another', [{ name: 'inner.zip', data: zip([first]) }], {}],
  ])('%s', async (_, members, spec) => {
    expect(await answer(zip(members, spec))).toEqual(['SAFE']);
  });
});

describe('a zip archive is not', () => {
  test.each<[string, MemberSpec[], ZipSpec, string[]]>([
    [
      'whose local header has another name',
      [{ ...first, localName: 'c.txt' }],
      {},
      ['UNREADABLE', 'zip.header-mismatch'],
    ],
    [
      'whose local header has another method',
      [{ ...second, localMethod: 0 }],
      {},
      ['UNREADABLE', 'zip.header-mismatch'],
    ],
    ['whose directory points elsewhere', [{ ...first, at: 7 }], {}, ['UNREADABLE', 'zip.header-mismatch']],
    ['whose end counts other members', [first], { entries: 2 }, ['UNREADABLE', 'zip.broken']],
    ['whose checksum is wrong', [{ ...first, says: { checksum: 5 } }], {}, ['UNREADABLE', 'zip.checksum']],
    ['that unpacks to less', [{ ...second, says: { size: 4000 } }], {}, ['UNREADABLE', 'zip.size']],
    ['that unpacks to more', [{ ...second, says: { size: 10 } }], {}, ['UNREADABLE', 'compression.broken']],
    ['that is encrypted', [{ ...first, flags: 1 }], {}, ['SUSPICIOUS', 'zip.encrypted']],
    ['of an unknown method', [{ ...first, method: 99 }], {}, ['SUSPICIOUS', 'zip.method']],
    [
      'with two members of a name',
      [first, { ...second, name: 'a.txt' }],
      {},
      ['SUSPICIOUS', 'archive.duplicate-name'],
    ],
    [
      'with a member that is not listed',
      [first, { ...second, unlisted: true }],
      {},
      ['DANGEROUS', 'zip.hidden-member'],
    ],
    [
      'with bytes between members',
      [{ ...first, gap: Buffer.alloc(9, 1) }, second],
      {},
      ['SUSPICIOUS', 'zip.unlisted-bytes'],
    ],
    [
      'with bytes before it',
      [first],
      { prefix: Buffer.from('#!/bin/sh\nexit\n') },
      ['SUSPICIOUS', 'zip.prefix'],
    ],
    ['with bytes behind it', [first], { suffix: Buffer.from('more') }, ['SUSPICIOUS', 'zip.suffix']],
    ['with a link', [{ ...first, mode: 0o120777 }], {}, ['DANGEROUS', 'archive.link']],
    ['with a device', [{ ...first, mode: 0o020666 }], {}, ['DANGEROUS', 'archive.device']],
    ['with a path up', [{ ...first, name: 'a/../../b' }], {}, ['DANGEROUS', 'archive.path-escapes']],
    ['with a path from the root', [{ ...first, name: '/etc/b' }], {}, ['DANGEROUS', 'archive.path-escapes']],
    ['with a drive', [{ ...first, name: 'c:b' }], {}, ['DANGEROUS', 'archive.path-escapes']],
    ['with a newline in a name', [{ ...first, name: 'a\nb' }], {}, ['DANGEROUS', 'archive.path-control']],
  ])('%s', async (_, members, spec, expected) => {
    expect(await answer(zip(members, spec))).toEqual(expected);
  });

  test.each<[string, ZipSpec]>([
    ['has a second place between it and what points to it', { afterEnd64: Buffer.alloc(8) }],
    ['is another than the old one’s', { narrowCount: 2 }],
  ])('whose 64-bit end %s', async (_, spec) => {
    expect(await answer(zip([first], { wide: true, ...spec }))).toEqual(['UNREADABLE', 'zip.broken']);
  });

  test('that holds a second archive behind its directory, for readers that look right before the end', async () => {
    const [shown, hidden] = [zip([first], { wide: true }), zip([{ name: 'x', data: evil }], { wide: true })];
    const both = Buffer.concat([shown, hidden]);
    const end64 = shown.indexOf(Buffer.from('PK\x06\x06', 'latin1'));
    both.writeUInt32LE(end64, both.lastIndexOf(Buffer.from('PK\x06\x07', 'latin1')) + 8);
    expect(await answer(both)).toEqual(['UNREADABLE', 'zip.broken']);
  });

  test('whose end says that the directory is further on, whatever the file begins with', async () => {
    const junk = Buffer.from('some text, then an archive that Python reads:');
    const bytes = zip([{ name: 'x', data: evil }], { prefix: junk, shift: 500 });
    expect(await answer(bytes)).toEqual(['UNREADABLE', 'zip.broken']);
  });

  test('with content in what is called a folder', async () => {
    expect(await answer(zip([{ name: 'f/', data: evil }]))).toEqual(['DANGEROUS', 'pickle.denied-global']);
  });

  test('with two members in the same bytes', async () => {
    const data = zip([first]).subarray(0, 30 + first.name.length + notes.length);
    const members = [
      { name: 'outer', data },
      { ...first, at: 30 + 'outer'.length, unlisted: false },
    ];
    // The second entry of the directory points into the first member; its own local copy is then a hidden one.
    expect(await answer(zip(members))).toContain('zip.overlap');
  });

  test('cut short', async () => {
    const whole = zip([first, second]);
    for (const length of [20, 100, whole.length - 30, whole.length - 1]) {
      expect((await answer(whole.subarray(0, length)))[0], `${length} bytes`).toBe('UNREADABLE');
    }
  });

  test('with more members than the limit', async () => {
    const members = Array.from({ length: 12 }, (_, index) => ({ name: `m${index}`, data: notes }));
    expect(rulesOf(await inspectBytes(zip(members), 'a', { members: 10 }))).toEqual(['archive.members']);
  });
});

describe('what is within is found', () => {
  test.each<[string, Buffer]>([
    ['deflated', zip([{ name: 'x', data: evil, deflated: true }])],
    ['before the archive', zip([first], { prefix: evil })],
    ['behind another archive', Buffer.concat([zip([first]), zip([{ name: 'x', data: evil }])])],
    ['in an array of objects', zip([{ name: 'x.npy', data: npy("'|O'", '(2,)', evil) }])],
    [
      'three archives deep',
      zip([{ name: 'a', data: gzipSync(tar([{ name: 'b', data: zip([{ name: 'c', data: evil }]) }])) }]),
    ],
    ['in an old tar archive', tar([{ name: 'x', data: evil, old: true }])],
  ])('%s', async (_, bytes) => {
    const { verdict, findings } = await inspectBytes(bytes);
    expect(verdict).toBe('DANGEROUS');
    expect(findings.map(({ rule }) => rule)).toContain('pickle.denied-global');
  });

  test('with the way to it', async () => {
    const { findings } = await inspectBytes(
      gzipSync(tar([{ name: 'b/c', data: zip([{ name: 'd', data: evil }]) }])),
      'm',
    );
    expect(findings[0]).toMatchObject({ path: 'm!gzip!b/c!d', offset: 2 });
  });

  test('to a bounded depth', async () => {
    let bytes = evil;
    for (let depth = 0; depth < 7; depth++) bytes = zip([{ name: 'x', data: bytes }]);
    expect(await answer(bytes)).toEqual(['SUSPICIOUS', 'archive.depth']);
  });
});

describe('a tar archive', () => {
  const file: TarSpec = { name: 'a.txt', data: notes };

  test('is SAFE; GNU’s long names and pax records describe the next member', async () => {
    const records = (lines: string): TarSpec => ({ name: 'pax', type: 'x', data: Buffer.from(lines) });
    const long: TarSpec = { name: '././@LongLink', type: 'L', data: Buffer.from(`${'d/'.repeat(80)}f\0`) };
    expect(await answer(tar([file, long, file, records('16 path=b/c.txt\n'), file]))).toEqual(['SAFE']);
    expect(await answer(tar([records('17 path=../c.txt\n'), file]))).toEqual([
      'DANGEROUS',
      'archive.path-escapes',
    ]);
    expect(await answer(tar([records('15 path=b/c.txt\n'), file]))).toEqual(['UNREADABLE', 'tar.broken']);
    const longUp: TarSpec = { ...long, data: Buffer.from('../f\0') };
    expect(await answer(tar([longUp, file]))).toEqual(['DANGEROUS', 'archive.path-escapes']);
  });

  test('of which readers would make different things is not SAFE', async () => {
    const damaged = ['UNREADABLE', 'tar.broken'];
    // A record of no length would be read for ever.
    const endless: TarSpec = { name: 'pax', type: 'x', data: Buffer.from('6 a=b\n0 c=d\n') };
    for (const described of [
      [endless],
      [pax({ size: '0x10' })],
      [pax({ size: '5' }, 'g')],
      [pax({ path: 'a' }), pax({ path: 'b' })],
    ]) {
      expect(await answer(tar([...described, file]))).toEqual(damaged);
    }
    expect(await answer(tar([pax({ 'GNU.sparse.major': '1' }), file]))).toEqual([
      'SUSPICIOUS',
      'tar.member-type',
    ]);
    expect(await answer(tar([pax({ comment: 'made by git' }, 'g'), file]))).toEqual(['SAFE']);
  });

  test('of an old kind: a folder by its name has no content, and bytes may be summed with a sign', async () => {
    expect(await answer(tar([{ name: 'f/', type: '\0', data: notes, old: true }]))).toEqual([
      'SUSPICIOUS',
      'tar.member-type',
    ]);
    const signed: TarSpec = { name: 'ü', data: evil, old: true, signed: true };
    expect(await answer(tar([signed]))).toEqual(['DANGEROUS', 'pickle.denied-global']);
  });

  test.each<[string, TarSpec, string[]]>([
    ['a symbolic link', { name: 'l', type: '2', linkName: '/etc/passwd' }, ['DANGEROUS', 'archive.link']],
    ['a hard link', { name: 'l', type: '1', linkName: 'a.txt' }, ['DANGEROUS', 'archive.link']],
    ['a block device', { name: 'd', type: '4' }, ['DANGEROUS', 'archive.device']],
    ['a sparse file', { name: 's', type: 'S' }, ['SUSPICIOUS', 'tar.member-type']],
    ['a folder with content', { name: 'f/', type: '5', data: notes }, ['SUSPICIOUS', 'tar.member-type']],
  ])('with %s is not', async (_, member, expected) => {
    expect(await answer(tar([file, member]))).toEqual(expected);
  });

  test('cut short, without its end, or with bytes behind it is not', async () => {
    expect(await answer(tar([file]).subarray(0, 600))).toEqual(['UNREADABLE', 'compression.broken']);
    expect(await answer(tar([file], Buffer.alloc(0)))).toEqual(['UNREADABLE', 'tar.broken']);
    const behind = Buffer.concat([Buffer.alloc(1024), Buffer.from('more')]);
    expect(await answer(tar([file], behind))).toEqual(['SUSPICIOUS', 'tar.suffix']);
  });
});

describe('bombs', () => {
  const limits = { expansionFloor: 2 ** 18, heldBytes: 2 ** 16 };
  const zeros = Buffer.alloc(2 ** 20);

  test.each<[string, Buffer]>([
    ['a member', zip([{ name: 'z', data: zeros, deflated: true }])],
    [
      'many members',
      zip(
        Array.from({ length: 20 }, (_, i) => ({ name: `${i}`, data: Buffer.alloc(2 ** 15), deflated: true })),
      ),
    ],
    [
      'archives within an archive',
      zip([{ name: 'i', data: zip([{ name: 'z', data: zeros, deflated: true }]), deflated: true }]),
    ],
    ['a compressed stream', gzipSync(zeros)],
    ['a compressed archive', gzipSync(tar([{ name: 'z', data: zeros }]))],
  ])('%s', async (_, bytes) => {
    const inspection = await inspectBytes(bytes, 'b', limits);
    expect(inspection.verdict).toBe('DANGEROUS');
    expect(rulesOf(inspection)).toContain('archive.bomb');
  });

  test('what says that it is small and is not', async () => {
    const lying: MemberSpec = { name: 'z', data: zeros, deflated: true, says: { size: 100 } };
    expect((await inspectBytes(zip([lying]), 'b', limits)).verdict).toBe('UNREADABLE');
  });

  test('what is large in proportion is none', async () => {
    const noise = Buffer.from(Array.from({ length: 2 ** 19 }, (_, i) => (i * i * 31 + (i >> 7)) & 0xff));
    expect(deflateRawSync(noise).length * 100).toBeGreaterThan(noise.length);
    expect((await inspectBytes(gzipSync(noise), 'b', limits)).verdict).toBe('SAFE');
  });
});

test('what has no reader is suspicious, and named', async () => {
  const { verdict, findings } = await inspectBytes(hostile('pickle/7z-magic.pkl'), 'model.pkl');
  expect(verdict).toBe('SUSPICIOUS');
  expect(findings).toMatchObject([
    { rule: 'container.no-reader', message: expect.stringContaining('7-Zip') },
  ]);
});

test('two things at once are both looked at, and said to be', async () => {
  const both = Buffer.concat([pickle(text('harmless')), zip([first])]);
  expect(await answer(both)).toEqual([
    'SUSPICIOUS',
    'pickle.trailing-bytes',
    'zip.prefix',
    'container.polyglot',
  ]);
});

test('all else is OPAQUE and SAFE', async () => {
  for (const content of [Buffer.alloc(0), notes, Buffer.alloc(5000), Buffer.from('{"a": 1}')]) {
    expect(await inspectBytes(content, 'data')).toMatchObject({
      format: 'OPAQUE',
      verdict: 'SAFE',
      findings: [],
    });
  }
});
