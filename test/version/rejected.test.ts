/** Files that are taken but cannot be served: REJECTED, with a reason for people, and nothing left in the store. */
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { UploadFile } from '#test/helpers/client.ts';
import { filesIn, filesOnce } from '#test/helpers/folder.ts';
import { breastCancerColumns, breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { createVersion, versionNow, workDone } from '#test/helpers/work.ts';
import { buildModel, identityModel } from '#test/onnx/build-model.ts';

let stack: Stack;
/** Bytes in the store, and those on their way to it. */
let kept: string;
let staging: string;

beforeAll(async () => {
  stack = await startStack();
  kept = join(stack.artifactStore, 'sha256');
  staging = join(stack.artifactStore, 'staging');
  await stack.createModelVersion('good', [fixtureFile('breast-cancer/v1.onnx')]);
});

const good = fixtureFile('breast-cancer/v3.onnx');
const bytes = good.content as Buffer;
const named = (name: string, content: Buffer | string): UploadFile => ({ name, content });
const unknownOperator = buildModel({
  ...identityModel,
  nodes: [{ op: 'Frobnicate', inputs: ['x'], outputs: ['y'] }],
});

const external = fixtureFile('external-data/model.onnx');
const cases: [string, UploadFile[], object | undefined, RegExp][] = [
  ['text', [named('model.onnx', 'Not a model at all, just words.\n')], undefined, /model\.onnx: .*text/],
  [
    'another format',
    [named('model.onnx', Buffer.from('PK\x03\x04and more'))],
    undefined,
    /archive has no end/,
  ],
  [
    'a truncated file',
    [named('cut.onnx', bytes.subarray(0, bytes.length / 2))],
    undefined,
    /cut\.onnx: .*(truncated|ends|cut)/i,
  ],
  ['an empty file', [named('empty.onnx', '')], undefined, /empty/],
  ['an operator that nobody has', [named('odd.onnx', unknownOperator)], undefined, /Frobnicate/],
  [
    'external data that is not there',
    [external],
    undefined,
    /needs the file weights\.bin, which was not uploaded/,
  ],
  [
    'external data that is too short',
    [external, named('weights.bin', 'short')],
    undefined,
    /weights\.bin is too short/,
  ],
  ['two models', [good, fixtureFile('iris/v1.onnx')], undefined, /one model; found 2/],
  ['too many classes', [good], { classes: ['a', 'b', 'c'] }, /class/],
  [
    'too few columns',
    [good],
    { columns: breastCancerColumns.slice(1).map((name) => ({ name })) },
    /column|fed/,
  ],
  ['a column of an unknown input', [good], { columns: [{ name: 'a', input: 'nope' }] }, /no input "nope"/],
  ['a positive class of none', [good], { ...breastCancerSignature, positiveClass: 'both' }, /both/],
  ['the wrong task', [good], { task: 'REGRESSION' }, /REGRESSION|regression/],
];

test.each(cases)('%s', async (what, files, signature, reason) => {
  const before = filesIn(kept);
  const model = await stack.model(`rejected ${what}`.replaceAll(' ', '-'));
  const { id, operation } = await createVersion(
    stack,
    model,
    files,
    signature as Record<string, unknown> | undefined,
  );
  const work = await workDone(stack, operation.id);
  const version = await versionNow(stack, id);
  expect(version).toMatchObject({ status: 'REJECTED', statusReason: expect.stringMatching(reason) });
  expect(version.statusReason).not.toMatch(/\/onnxruntime_src|\.cc:|node_modules|\n {4}at |\/tmp\//);
  expect(work).toMatchObject({
    status: 'FAILED',
    error: { code: 'REJECTED', message: version.statusReason },
  });
  // Its bytes go right after the commit that tells of the rejection.
  expect(await filesOnce(stack.artifactStore, () => filesIn(kept).length <= before.length)).toBeDefined();
  expect(filesIn(kept)).toEqual(before);
  // What is being removed lies there for a moment.
  expect(await filesOnce(staging, (left) => left.length === 0)).toEqual([]);
});
