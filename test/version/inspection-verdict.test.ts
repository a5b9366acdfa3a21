import { describe, expect, test } from 'vitest';
import type { InspectionLine } from '#src/version/inspection.schema.ts';
import { judge } from '#src/version/inspection.verdict.ts';
import type { Outcome } from '#src/version/child.ts';

const limits = { timeoutSeconds: 300, memoryBytes: 1024 };
const silent: Outcome = { ended: undefined, code: null, signal: null, lines: [], errors: '' };
const ready: InspectionLine['result'] = {
  verdict: 'ready',
  signature: {
    inputs: [],
    outputs: [],
    columns: null,
    classes: null,
    positiveClass: null,
    task: 'OTHER',
    labelOutput: null,
    probabilitiesOutput: null,
    valueOutput: null,
  },
  served: null,
  opsets: {},
  producer: null,
  warnings: [],
  modelFile: 'm.onnx',
};
const line = (stage: InspectionLine['stage']) => JSON.stringify({ stage, result: ready });

describe('a child that ends', () => {
  test('with an answer, whatever becomes of it then', () => {
    expect(judge({ ...silent, lines: [line('trial'), line('done')], ended: 'time' }, limits)).toEqual(ready);
  });

  test.each([
    [{ signal: 'SIGSEGV' }, 'Reading the model crashed the runtime (SIGSEGV).'],
    [{ signal: 'SIGABRT' }, 'Reading the model crashed the runtime (SIGABRT).'],
    [{ ended: 'time' }, 'Reading the model took longer than 300 seconds (INGEST_TIMEOUT_SECONDS).'],
    [{ ended: 'memory' }, 'Reading the model took more than 1024 bytes of memory (INGEST_MEMORY_BYTES).'],
    [{ ended: 'answer', lines: [line('done')] }, 'Reading the model gave an endless answer.'],
  ] as const)('early, by %j, rejects the model', (end, reason) => {
    expect(judge({ ...silent, ...end }, limits)).toEqual({ verdict: 'rejected', reason });
  });

  test.each([
    [{ signal: 'SIGSEGV' }, 'crashed the runtime (SIGSEGV)'],
    [{ ended: 'trial' }, 'did not end within 10 seconds'],
    [{ ended: 'memory' }, 'took more than 1024 bytes of memory (INGEST_MEMORY_BYTES)'],
  ] as const)('within the trial run, by %j, leaves a warning', (end, why) => {
    expect(judge({ ...silent, ...end, lines: [line('trial')] }, limits)).toEqual({
      ...ready,
      warnings: [`A trial run on one row of zeros ${why}.`],
    });
  });

  test.each([
    [{ code: 1, errors: 'TypeError: x' }, 'The inspecting process ended with exit code 1: TypeError: x'],
    [{ signal: 'SIGKILL' }, 'The inspecting process ended with SIGKILL: '],
  ] as const)('by %j is no fault of the model', (end, message) => {
    expect(() => judge({ ...silent, ...end }, limits)).toThrow(message);
  });

  test('with an answer that is none', () => {
    expect(() =>
      judge({ ...silent, lines: ['{"stage":"done","result":{"verdict":"ready"}}'] }, limits),
    ).toThrow();
  });
});
