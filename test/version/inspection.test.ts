import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readOnnxModel } from '#src/onnx/model.ts';
import { inspectOnnx } from '#src/version/inspection.ts';
import type { InspectionRequest, InspectionResult } from '#src/version/inspection.ts';
import { buildModel, elem, endlessLoop, identityModel } from '../onnx/build-model.ts';
import { fixtureVersions, modelsFolder } from '../onnx/fixtures.ts';

const folder = mkdtempSync(join(tmpdir(), 'inspection-'));
afterAll(() => rmSync(folder, { recursive: true }));

const workDir = join(folder, 'work');
const limits = { timeoutSeconds: 60, memoryBytes: 2 * 1024 ** 3 };
let count = 0;

/** A stored file, named unlike what the user called it. */
function stored(bytes: Buffer | string): string {
  const path = join(folder, `stored-${count++}`);
  writeFileSync(path, bytes);
  return path;
}

/** Inspects files given as name and stored path. */
async function inspect(
  files: Readonly<Record<string, string>>,
  given: InspectionRequest['given'] = null,
  changes: Partial<typeof limits> & { trialSeconds?: number; signal?: AbortSignal } = {},
): Promise<InspectionResult> {
  const entries = Object.entries(files).map(([path, storedAt]) => ({ path, storedAt }));
  const servingTo = join(folder, `served-${count++}.onnx`);
  const result = await inspectOnnx({ files: entries, given, servingTo, workDir }, { ...limits, ...changes });
  // Nothing temporary is left, whatever the end.
  expect(readdirSync(workDir)).toEqual([]);
  return result;
}

async function reasonOf(files: Readonly<Record<string, string>>, changes = {}): Promise<string> {
  const result = await inspect(files, null, changes);
  expect(result.verdict).toBe('rejected');
  return result.verdict === 'rejected' ? result.reason : '';
}

const model = (id: string) => `${modelsFolder}${id}.onnx`;
const external = {
  'model.onnx': model('external-data/model'),
  'weights.bin': `${modelsFolder}external-data/weights.bin`,
};

function filesOf(path: string, id: string): Record<string, string> {
  const weights = join(dirname(path), 'weights.bin');
  return id.startsWith('external-data/') ? { 'm.onnx': path, 'weights.bin': weights } : { 'm.onnx': path };
}

describe('good models', () => {
  test.each(fixtureVersions)('$id is ready', async ({ id, path, outputs }) => {
    const result = await inspect(filesOf(path, id));
    expect(result).toMatchObject({ verdict: 'ready', modelFile: 'm.onnx' });
    if (result.verdict !== 'ready' || outputs === undefined) return;
    expect(result.signature.outputs.map((output) => output.name)).toEqual(
      outputs.map((output) => output.name),
    );
    const hasZipMap = outputs.some((output) => output.datatype === undefined);
    expect(result.served?.transform).toBe(hasZipMap ? 'zipmap-removed/1' : undefined);
    if (result.served) expect(readOnnxModel(readFileSync(result.served.path)).outputs).toHaveLength(2);
  });

  test('what the file says of itself and the caller adds', async () => {
    const given = { columns: ['a', 'b', 'c', 'd'].map((name) => ({ name })), task: 'MULTICLASS' as const };
    const result = await inspect({ 'iris.onnx': model('iris/v1') }, given);
    expect(result).toMatchObject({
      verdict: 'ready',
      producer: 'skl2onnx 1.20.0',
      opsets: { 'ai.onnx': 17, 'ai.onnx.ml': 1 },
      signature: { task: 'MULTICLASS', columns: [{ name: 'a' }, {}, {}, {}] },
      warnings: [],
    });
  });

  test('external data in a subfolder, with a readme; the classes lie in it too', async () => {
    const files = { 'a/model.onnx': external['model.onnx'], 'a/weights.bin': external['weights.bin'] };
    const result = await inspect({ ...files, 'README.md': stored('# Digits') });
    expect(result).toMatchObject({
      verdict: 'ready',
      modelFile: 'a/model.onnx',
      signature: { task: 'MULTICLASS' },
    });
  });

  test('one without the ending .onnx', async () => {
    const files = { model: model('diamonds/v1'), 'notes.txt': stored('no model') };
    expect(await inspect(files)).toMatchObject({ verdict: 'ready', modelFile: 'model' });
  });

  test('a locale that this host may lack is a warning, not a fault', async () => {
    const result = await inspect({ 'm.onnx': model('spam-text/v2-locale') });
    expect(result.verdict).toBe('ready');
    const expected = 'needs the system locale en_US.UTF-8';
    if (result.verdict === 'ready' && result.warnings.length > 0)
      expect(result.warnings[0]).toContain(expected);
  });

  test('an undeclared shape is filled in by a trial run', async () => {
    const spec = { ...identityModel, outputs: [{ name: 'y', elem: elem.float, dims: null }] };
    const result = await inspect({ 'm.onnx': stored(buildModel(spec)) });
    expect(result).toMatchObject({
      verdict: 'ready',
      signature: { outputs: [{ shape: [-1, 2] }], task: 'OTHER' },
    });
  });
});

describe('files that are no model', () => {
  test.each([
    ['empty', Buffer.alloc(0), /m\.onnx: The file is empty/],
    ['ZIP', Buffer.from('PK\x03\x04rest'), /starts like a ZIP archive/],
    ['pickle', Buffer.from('\x80\x04\x95rest', 'latin1'), /starts like a Python pickle/],
    ['text', Buffer.from('hello, world'), /it is text/],
    ['truncated', readFileSync(model('iris/v1')).subarray(0, 5000), /truncated: it ends at byte 5000/],
  ])('%s', async (_, bytes, reason) => {
    expect(await reasonOf({ 'm.onnx': stored(bytes) })).toMatch(reason);
  });

  test('a file too large for the format is refused before it is read', async () => {
    const path = stored('');
    truncateSync(path, 3 * 1024 ** 3);
    expect(await reasonOf({ 'm.onnx': path })).toMatch(/has 3221225472 bytes; an ONNX file cannot exceed/);
  });

  test('no model among several, or more than one', async () => {
    const text = stored('no model');
    expect(await reasonOf({ a: text, b: text })).toBe('None of the files is an ONNX model: a, b.');
    const two = { 'a.onnx': model('iris/v1'), 'b.onnx': model('iris/v2') };
    expect(await reasonOf(two)).toMatch(/found 2 ONNX files: a\.onnx, b\.onnx/);
    expect(await reasonOf({ a: model('iris/v1'), b: model('iris/v2') })).toMatch(
      /Which file is the model is unclear/,
    );
    expect(await reasonOf({})).toBe('No file was uploaded.');
  });
});

describe('external data', () => {
  test('that is missing, or short is named', async () => {
    expect(await reasonOf({ 'model.onnx': external['model.onnx'] })).toBe(
      'model.onnx needs the file weights.bin, which was not uploaded.',
    );
    const short = stored(readFileSync(external['weights.bin']).subarray(0, 1000));
    expect(await reasonOf({ ...external, 'weights.bin': short })).toMatch(
      /weights\.bin is too short: .* it has 1000/,
    );
  });

  test('files that the model does not use are told of', async () => {
    expect(await inspect({ ...external, 'more.bin': stored('x'), 'README.md': stored('x') })).toMatchObject({
      verdict: 'ready',
      warnings: ['model.onnx does not use the file more.bin; it is only kept beside it.'],
    });
  });
});

describe('models that the runtime does not take', () => {
  test.each([
    ['an unknown operator', { op: 'Frobnicate' }, /No Op registered for Frobnicate/],
    [
      'an unknown domain',
      { op: 'Shell', domain: 'evil.ops' },
      /Shell, "evil\.ops".* No opset import for domain/,
    ],
  ])('%s is named', async (_, node, reason) => {
    const nodes = [{ ...node, inputs: ['x'], outputs: ['y'] }];
    const text = await reasonOf({ 'm.onnx': stored(buildModel({ ...identityModel, nodes })) });
    expect(text).toMatch(reason);
    expect(text).not.toContain(folder);
    expect(text).not.toContain('onnxruntime_src');
  });

  test('what is declared wrong comes with its path', async () => {
    const result = await inspect({ 'm.onnx': model('iris/v1') }, { columns: [{ name: 'a' }] });
    expect(result).toMatchObject({ verdict: 'rejected', issues: [{ path: ['columns'], found: '1' }] });
  });
});

describe('limits', () => {
  const files = { 'm.onnx': model('iris/v1') };

  test('time', async () => {
    expect(await reasonOf(files, { timeoutSeconds: 0.001 })).toBe(
      'Reading the model took longer than 0.001 seconds (INGEST_TIMEOUT_SECONDS).',
    );
  });

  test('memory', async () => {
    expect(await reasonOf(files, { memoryBytes: 24 * 1024 ** 2 })).toMatch(
      /took more than 25165824 bytes of memory \(INGEST_MEMORY_BYTES\)/,
    );
  });

  test('cancelling', async () => {
    const cancel = new AbortController();
    const running = inspect(files, null, { signal: cancel.signal });
    cancel.abort();
    await expect(running).rejects.toMatchObject({ name: 'AbortError' });
    expect(readdirSync(workDir)).toEqual([]);
    await expect(inspect(files, null, { signal: cancel.signal })).rejects.toMatchObject({
      name: 'AbortError',
    });
  });

  test('a model that hangs only in a run is ready, with a warning', async () => {
    const result = await inspect({ 'm.onnx': stored(endlessLoop()) }, null, { trialSeconds: 0.5 });
    const warnings = ['A trial run on one row of zeros did not end within 0.5 seconds.'];
    expect(result).toMatchObject({ verdict: 'ready', warnings, signature: { inputs: [{ name: 'x' }] } });
  });

  test('a stored file that is gone is not held against the model', async () => {
    const missing = { 'm.onnx': join(folder, 'never-stored') };
    await expect(inspect(missing)).rejects.toThrow(
      /The inspecting process ended with exit code 1: .*ENOENT/s,
    );
    expect(existsSync(join(folder, 'never-stored'))).toBe(false);
  });
});
