/** Every hostile fixture has an answer that passes, and every benign control is let through. */
import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bufferSource } from '#src/safety/byte-source.ts';
import { rules } from '#src/safety/finding.ts';
import { inspectFile } from '#src/safety/inspect.ts';
import type { Inspection } from '#src/safety/inspect.ts';
import { readOnnxModel } from '#src/onnx/model.ts';
import { fixtureVersions } from '../onnx/fixtures.ts';
import { hostileFixtures, inspectPath } from './inspect-bytes.ts';

const words = {
  SAFE: 'READY',
  SUSPICIOUS: 'QUARANTINED',
  DANGEROUS: 'REJECTED',
  UNREADABLE: 'INVALID',
} as const;

type Hostile = (typeof hostileFixtures)[number];

function inspect({ id, unpack, bytes }: Hostile): Promise<Inspection> {
  const name = unpack === undefined ? basename(id) : basename(id, '.gz');
  return inspectFile(bufferSource(bytes()), name);
}

/**
 * The word for the version: an ONNX file that is SAFE by itself must also have all its data beside it, and load, which
 * the runtime finds out (`src/version/inspection.ts`).
 */
function wordOf(fixture: Hostile, { verdict, format }: Inspection) {
  if (verdict !== 'SAFE' || format !== 'ONNX') return words[verdict];
  const needsFiles = readOnnxModel(fixture.bytes()).external.length > 0;
  return needsFiles || fixture.onnxruntime === 'refuses' ? 'INVALID' : 'READY';
}

test('all 218 fixtures are there', () => {
  expect(hostileFixtures).toHaveLength(218);
});

describe('an acceptable answer', () => {
  test.each(hostileFixtures)('$id: $why', async (fixture) => {
    const inspection = await inspect(fixture);
    expect(fixture.acceptable).toContain(wordOf(fixture, inspection));
    // The verdict is that of its worst finding, and nothing else decides it.
    const verdicts = inspection.findings.map(({ rule }) => rules[rule]);
    if (inspection.verdict === 'SAFE') expect(verdicts).toEqual([]);
    else expect(verdicts).toContain(inspection.verdict);
  });
});

const isRuntimeOnly = ({ onnxruntime, id }: Hostile) => onnxruntime !== undefined && id.startsWith('onnx/');
const refused = hostileFixtures.filter(
  (fixture) => !fixture.acceptable.includes('READY') && !isRuntimeOnly(fixture),
);

test('of what only this inspection can refuse, nothing is SAFE', async () => {
  const safe: string[] = [];
  for (const fixture of refused) if ((await inspect(fixture)).verdict === 'SAFE') safe.push(fixture.id);
  expect(refused.length).toBeGreaterThan(120);
  expect(safe).toEqual([]);
});

test('benign controls are SAFE without findings', async () => {
  const controls = hostileFixtures.filter(({ why }) => why.startsWith('benign control'));
  const found = await Promise.all(
    controls.map(async (fixture) => [fixture.id, (await inspect(fixture)).findings]),
  );
  expect(controls.length).toBeGreaterThan(10);
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(controls.map(({ id }) => [id, []])));
});

test('the ONNX fixtures are SAFE', async () => {
  const found = await Promise.all(
    fixtureVersions.map(async ({ id, path }) => [id, await inspectPath(path)] as const),
  );
  expect(found.length).toBeGreaterThan(15);
  for (const [id, { format, verdict, findings }] of found) {
    expect({ id, format, verdict, findings }).toEqual({ id, format: 'ONNX', verdict: 'SAFE', findings: [] });
  }
});
