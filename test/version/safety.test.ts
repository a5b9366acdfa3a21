/** Files from strangers through the public door: each is stored, looked into, and gets the status that it deserves. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { UploadFile, Variables } from '#test/helpers/client.ts';
import { fixtureFile } from '#test/helpers/models.ts';
import { done, refused } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createToken, createVersion, ingested, workDone } from '#test/helpers/work.ts';
import { hostile, hostileFixtures, picklesFolder } from '#test/safety/inspect-bytes.ts';

const AT_ONCE = 8;

interface Inspected {
  readonly status: string;
  readonly statusReason: string | null;
  readonly format: string;
  readonly signature: object | null;
  readonly inspection: {
    readonly verdict: string;
    readonly findings: readonly { path: string; offset: string | null; rule: string; message: string }[];
    readonly contents: readonly {
      path: string;
      classes: readonly { path: string; name: string }[];
      steps: readonly { name: string; class: string }[];
      parameters: readonly { path: string; name: string; value: unknown }[];
      libraries: readonly { name: string; version: string }[];
    }[];
    readonly release: { readonly by: { readonly name: string }; readonly reason: string } | null;
  };
}

const fields = `status statusReason format signature { task } inspection {
  verdict findings { path offset rule message } release { by { name } at reason }
  contents { path classes { path name } steps { name class } parameters { path name value } libraries { name version } } }`;

let stack: Stack;
let author: string;
let operator: string;

beforeAll(async () => {
  stack = await startStack();
  await stack.project();
  const tokenOf = async (role: string) =>
    (await createToken(stack, { project: PROJECT, name: role.toLowerCase(), role })).secret;
  author = await tokenOf('AUTHOR');
  operator = await tokenOf('OPERATOR');
});

async function look(id: string): Promise<Inspected> {
  const query = `query ($id: VersionRef!) { version(ref: $id) { ${fields} } }`;
  return (await stack.data<{ version: Inspected }>(query, { id })).version;
}

async function inspected(model: string, files: readonly UploadFile[]): Promise<Inspected & { id: string }> {
  const { id } = await ingested(stack, await stack.model(model), files);
  return { id, ...(await look(id)) };
}

/** The word of the fixtures for what became of a version. */
function wordOf({ status, inspection }: Inspected): string {
  if (status !== 'REJECTED') return status;
  return inspection.verdict === 'DANGEROUS' ? 'REJECTED' : 'INVALID';
}

async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let item = left.pop(); item !== undefined; item = left.pop()) await work(item);
    }),
  );
}

test('every hostile fixture becomes what it may become, and says why; the benign ones are let through', async () => {
  const wrong: string[] = [];
  await stack.model('hostile');
  await eachOf(hostileFixtures, async ({ id, unpack, bytes, acceptable }) => {
    const name = unpack === undefined ? basename(id) : basename(id, '.gz');
    const version = await inspected('hostile', [{ name, content: bytes() }]);
    const word = wordOf(version);
    if (!acceptable.includes(word as never)) wrong.push(`${id}: ${word}, not ${acceptable.join(' or ')}`);
    if ((version.status === 'READY') !== (version.statusReason === null)) wrong.push(`${id}: no reason`);
  });
  expect(wrong).toEqual([]);
}, 300_000);

test('every pickle of a real estimator is READY, and shows what it holds', async () => {
  const names = readdirSync(picklesFolder).filter((name) => /\.(pkl|joblib)$/.test(name));
  expect(names.length).toBeGreaterThan(50);
  await stack.model('pickles');
  const wrong: string[] = [];
  await eachOf(names, async (name) => {
    const content = readFileSync(join(picklesFolder, name));
    const version = await inspected('pickles', [{ name, content }]);
    const [held] = version.inspection.contents;
    const isRight =
      version.status === 'READY' &&
      version.format === (name.endsWith('.pkl') ? 'PICKLE' : 'JOBLIB') &&
      held?.path === name &&
      held.libraries.some((library) => library.name === 'scikit-learn' && library.version === '1.9.1') &&
      held.classes.some((one) => one.name.startsWith('sklearn.'));
    if (!isRight) wrong.push(`${name}: ${version.status} ${version.format} ${version.statusReason}`);
  });
  expect(wrong).toEqual([]);
});

const pickle = (name: string): UploadFile => ({ name, content: readFileSync(join(picklesFolder, name)) });

test('the steps and parameters of a pipeline', async () => {
  const { inspection } = await inspected('contents', [
    { ...pickle('scaled-logistic.p5.pkl'), name: 'pipeline.pkl' },
  ]);
  const [held] = inspection.contents;
  expect(held?.classes[0]).toEqual({ path: '', name: 'sklearn.pipeline.Pipeline' });
  expect(held?.steps.map((step) => step.class)).toEqual([
    'sklearn.preprocessing._data.StandardScaler',
    'sklearn.linear_model._logistic.LogisticRegression',
  ]);
  expect(held?.parameters).toContainEqual({ path: expect.any(String), name: 'C', value: 1 });
});

describe('a malicious pickle', () => {
  const evil = (): UploadFile => ({ name: 'model.pkl', content: hostile('pickle/nt-system.pkl') });

  test('is refused in plain words, with the place in the file, and its bytes go', async () => {
    const version = await inspected('malicious', [evil()]);
    expect(version.status).toBe('REJECTED');
    expect(version.inspection).toMatchObject({ verdict: 'DANGEROUS', release: null });
    const [finding] = version.inspection.findings;
    expect(finding).toMatchObject({ path: 'model.pkl', rule: 'pickle.denied-global' });
    expect(version.statusReason).toContain(finding?.message);
    expect(version.statusReason).toMatch(/model\.pkl \(byte \d+\): .*system/);
  });

  test('is found among harmless files, and beside an ONNX model', async () => {
    const version = await inspected('malicious', [
      fixtureFile('breast-cancer/v1.onnx'),
      { name: 'README.md', content: '# Good' },
      evil(),
    ]);
    expect(version).toMatchObject({ status: 'REJECTED', inspection: { verdict: 'DANGEROUS' } });
    expect(version.statusReason).toMatch(/^model\.pkl/);
  });

  test('cannot be released', async () => {
    const { id } = await inspected('malicious', [evil()]);
    const input = { version: id, reason: 'I know it.' };
    expect(await refused(stack, 'releaseFromQuarantine', input)).toMatchObject({
      __typename: 'ConflictError',
      current: 'REJECTED',
    });
  });
});

describe('text that is made to trouble whoever shows it', () => {
  const latin = (...parts: (Buffer | string)[]): Buffer =>
    Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value);
    const head = Buffer.from('X\0\0\0\0');
    head.writeUInt32LE(bytes.length, 1);
    return Buffer.concat([head, bytes]);
  };
  const evil = 'a\0b\u202ec\u0007\u2028<script>';
  /** Half of a surrogate pair, as Python's surrogatepass writes it. */
  const half = Buffer.from([0x58, 3, 0, 0, 0, 0xed, 0xa0, 0x80]);
  const setting = (key: Buffer, value: Buffer): Buffer =>
    latin(
      '\x80\x02csklearn.linear_model._logistic\nLogisticRegression\n)\x81}(',
      key,
      value,
      text('_sklearn_version'),
      text('1.0\0\u202e'),
      'ub.',
    );

  test.each<[string, Buffer]>([
    ['the name of a setting', setting(text(evil), text('x'))],
    ['its value', setting(text('C'), text(evil))],
    ['half a character as a name', setting(half, text('x'))],
    ['half a character as a value', setting(text('C'), half)],
    [
      'keys',
      setting(text('C'), latin('}(', text(evil), half, half, text('w'), text('__proto__'), text('p'), 'u')),
    ],
    ['items', setting(text('C'), latin('](', text(evil), half, 'e'))],
    ['what is no number', setting(text('C'), latin('](G\x7f\xf0\0\0\0\0\0\0G\x7f\xf8\0\0\0\0\0\0e'))],
    ['a thousand digits', setting(text('C'), latin(`L${'9'.repeat(1000)}L\n`))],
    ['a setting called __proto__', setting(text('__proto__'), text('x'))],
    ['the names of a class', latin('\x80\x04', text(`mod${evil}`), text(`cls${evil}`), '\x93.')],
    ['a class called constructor', latin('\x80\x02c__proto__\nconstructor\n)\x81}b.')],
    [
      'names of a megabyte',
      latin('\x80\x04', text('m'.repeat(1024 ** 2)), text('c'.repeat(1024 ** 2)), '\x93.'),
    ],
    ['a line of a megabyte', latin(`c${'m'.repeat(1024 ** 2)}\n${'\0'.repeat(1000)}\n.`)],
  ])('%s is told, shortly', async (_what, content) => {
    // prettier-ignore
    const files = [{ name: 'evil\u202e\u0085.pkl', content }];
    const { id, operation } = await createVersion(stack, await stack.model('text'), files);
    const work = await workDone(stack, operation.id);
    expect(work.attempts).toBe(1);
    expect(work.error?.code).not.toBe('INTERNAL');
    const shown = await look(id);
    expect(shown.inspection.verdict).toBeDefined();
    expect(JSON.stringify(shown).length).toBeLessThan(20_000);
    expect(JSON.stringify(shown)).not.toContain('\\u0000');
  });
});

describe('a suspicious version', () => {
  const files = (): UploadFile[] => [{ name: 'odd.pkl', content: hostile('pickle/unknown-global.pkl') }];
  const notReleased = (input: Variables, token?: string) =>
    refused(stack, 'releaseFromQuarantine', input, { token });

  test('waits for an OPERATOR, whose reason stays in the ledger', async () => {
    const { id, ...before } = await inspected('odd', files());
    expect(before).toMatchObject({ status: 'QUARANTINED', inspection: { verdict: 'SUSPICIOUS' } });
    expect(before.statusReason).toMatch(/^odd\.pkl/);
    const input = { version: id, reason: 'Ours; reviewed by Ada.' };
    expect(await notReleased(input, author)).toMatchObject({
      __typename: 'ForbiddenError',
      needs: 'OPERATOR',
    });
    expect(await notReleased({ ...input, reason: '  ' }, operator)).toMatchObject({
      __typename: 'ValidationError',
      issues: [{ path: ['reason'] }],
    });
    const released = await done(stack, 'releaseFromQuarantine', input, fields, { token: operator });
    expect(released).toMatchObject({
      status: 'READY',
      statusReason: null,
      inspection: {
        verdict: 'SUSPICIOUS',
        release: { by: { name: 'operator' }, reason: 'Ours; reviewed by Ada.' },
      },
    });
    expect(await notReleased(input, operator)).toMatchObject({
      __typename: 'ConflictError',
      current: 'READY',
    });
    const query = `query ($project: String!, $id: ID!) { project(name: $project) { ledger(subject: $id, first: 2) {
      edges { node { type summary actor { name } data } } } } }`;
    const { project } = await stack.data<{ project: { ledger: { edges: { node: object }[] } } }>(query, {
      project: PROJECT,
      id,
    });
    expect(project.ledger.edges.map(({ node }) => node)).toMatchObject([
      {
        type: 'VERSION_RELEASED',
        actor: { name: 'operator' },
        summary: expect.stringMatching(/operator released odd:\d+ from quarantine: Ours; reviewed by Ada\./),
        data: { reason: 'Ours; reviewed by Ada.', found: before.statusReason },
      },
      { type: 'VERSION_QUARANTINED', data: { reason: before.statusReason, format: 'PICKLE' } },
    ]);
  });

  test('each one by itself: the same bytes again are QUARANTINED again, a restored version stays released', async () => {
    const { id } = await inspected('again', files());
    await done(stack, 'releaseFromQuarantine', { version: id, reason: 'Once.' }, 'id');
    const again = await inspected('again', files());
    expect(again.status).toBe('QUARANTINED');
    const restored = await done<{ id: string }>(stack, 'restoreVersion', { version: id }, 'id');
    expect(await look(restored.id)).toMatchObject({
      status: 'READY',
      format: 'PICKLE',
      inspection: { release: { reason: 'Once.' } },
    });
  });
});

describe('what is only kept', () => {
  test('is READY, and cannot be deployed', async () => {
    const version = await inspected('kept', [{ name: 'notes.bin', content: 'just words' }]);
    expect(version).toMatchObject({
      status: 'READY',
      format: 'OPAQUE',
      signature: null,
      inspection: { verdict: 'SAFE', findings: [], contents: [] },
    });
    const input = { project: PROJECT, name: 'kept', version: version.id };
    expect(await refused(stack, 'createDeployment', input)).toMatchObject({
      __typename: 'ValidationError',
      issues: [{ path: ['version'], found: 'OPAQUE' }],
    });
  });

  test('a pickle with a signature is refused: nothing can check it', async () => {
    const model = await stack.model('kept');
    const { id, operation } = await createVersion(stack, model, [pickle('ridge.p5.pkl')], {
      task: 'REGRESSION',
    });
    await workDone(stack, operation.id);
    expect(await look(id)).toMatchObject({
      status: 'REJECTED',
      statusReason: expect.stringMatching(/^A signature can be given for an ONNX model only/),
      inspection: { verdict: 'SAFE' },
    });
  });

  test('the same safe bytes again need no second look, and show what the first one saw', async () => {
    const file = { ...pickle('svc.p5.pkl'), name: 'twin.pkl' };
    const first = await inspected('twins', [file]);
    const { operation, id } = await createVersion(stack, await stack.model('twins'), [file]);
    expect(operation).toBeNull();
    expect((await look(id)).inspection).toEqual(first.inspection);
  });
});
