import { readFileSync } from 'node:fs';
import { deflateRawSync, gzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readOnnxModel } from '#src/onnx/model.ts';
import { OnnxFormatError, SignatureMismatch, UnsupportedGraphError } from '#src/onnx/onnx.errors.ts';
import { encodeBytes, encodeInteger } from '#src/onnx/protobuf.ts';
import { deriveServingGraph } from '#src/onnx/serving-graph.ts';
import { signatureOf } from '#src/onnx/signature.ts';
import { describeType } from '#src/onnx/value-type.ts';
import { buildModel, externalTensor, identityModel, node, subgraph } from './build-model.ts';
import { fixture, fixtureVersions } from './fixtures.ts';

/** Everything that happens to a file before the runtime sees it. */
function readAll(bytes: Buffer): void {
  const model = readOnnxModel(bytes);
  const derived = deriveServingGraph(model);
  signatureOf(model, derived === undefined ? model : readOnnxModel(derived.bytes), null);
}

/** Reads, or refuses with an error of ours. */
function expectJudged(bytes: Buffer): void {
  try {
    readAll(bytes);
  } catch (error) {
    const ours = [OnnxFormatError, UnsupportedGraphError, SignatureMismatch].some(
      (each) => error instanceof each,
    );
    if (!ours) throw error;
  }
}

describe('the fixtures', () => {
  test.each(fixtureVersions.filter((version) => version.inputs !== undefined))(
    '$id reads as declared',
    (version) => {
      const model = readOnnxModel(readFileSync(version.path));
      expect(model.irVersion).toBe(version.ir_version);
      expect(model.producer).toBe(version.producer);
      expect(Object.fromEntries(model.opsets)).toEqual(version.opset);
      const typesOf = (values: typeof model.inputs) =>
        values.map(({ name, type }) => [name, describeType(type)]);
      expect(typesOf(model.inputs)).toEqual(version.inputs?.map(({ name, onnx_type }) => [name, onnx_type]));
      expect(typesOf(model.outputs)).toEqual(
        version.outputs?.map(({ name, onnx_type }) => [name, onnx_type]),
      );
    },
  );

  test('external data are found with place and size', () => {
    const { external } = readOnnxModel(fixture('external-data/model'));
    expect(external[0]).toEqual({
      tensor: 'coefficient',
      location: 'weights.bin',
      offset: 0,
      length: 16384,
      needs: 16384,
    });
    expect(new Set(external.map((place) => place.location))).toEqual(new Set(['weights.bin']));
    expect(Math.max(...external.map((place) => place.needs))).toBeLessThanOrEqual(26320);
  });

  test('weights are not copied', () => {
    const bytes = fixture('digits/v1');
    const model = readOnnxModel(bytes);
    expect(model.bytes).toBe(bytes);
    expect(model.initializers.size).toBeGreaterThan(0);
  });
});

describe('a file that is something else', () => {
  test.each([
    ['empty', Buffer.alloc(0), /^The file is empty\.$/],
    ['ZIP', Buffer.concat([Buffer.from('PK\x03\x04'), deflateRawSync('x')]), /starts like a ZIP archive/],
    ['pickle', Buffer.from('\x80\x04\x95\x10\x00\x00', 'latin1'), /starts like a Python pickle/],
    ['gzip', gzipSync(fixture('diamonds/v1')), /starts like gzip/],
    ['text', Buffer.from('carat,cut\n0.3,Ideal\n'), /it is text/],
    ['a page', Buffer.from('<!DOCTYPE html><html></html>'), /it is text/],
    ['Git LFS', Buffer.from('version https://git-lfs.github.com/spec/v1\n'), /git lfs pull/],
    ['zeros', Buffer.alloc(64), /no valid field at byte 0/],
    ['only a version', encodeInteger(1, 8), /it has no graph/],
  ])('%s is named', (_, bytes, message) => {
    expect(() => readOnnxModel(bytes)).toThrow(OnnxFormatError);
    expect(() => readOnnxModel(bytes)).toThrow(message);
  });

  test('says where a truncated one ends', () => {
    const bytes = fixture('diamonds/v1');
    expect(() => readOnnxModel(bytes.subarray(0, 200))).toThrow(
      /truncated: it ends at byte 200, in the middle of the model; at least \d+ bytes are missing/,
    );
  });
});

describe('broken bytes never get past', () => {
  test.each(['diamonds/v1', 'breast-cancer/v2', 'penguins/v1', 'external-data/model'])(
    '%s cut at every byte',
    (id) => {
      const bytes = fixture(id);
      for (let end = 0; end < bytes.length; end++) expectJudged(bytes.subarray(0, end));
    },
  );

  test.each(['iris/v1', 'penguins/v1', 'external-data/model'])('%s with changed bytes', (id) => {
    const bytes = fixture(id);
    const change = fc.record({ at: fc.nat(bytes.length - 1), byte: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const changed = Buffer.from(bytes);
        for (const { at, byte } of changes) changed[at] = byte;
        expectJudged(changed);
      }),
      { numRuns: 300 },
    );
  });

  test('a piece cut out or put in', () => {
    const bytes = fixture('penguins/v1');
    fc.assert(
      fc.property(fc.nat(bytes.length), fc.nat(40), fc.uint8Array({ maxLength: 12 }), (at, gap, piece) => {
        expectJudged(Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + gap)]));
      }),
      { numRuns: 300 },
    );
  });
});

describe('a graph that is against the rules', () => {
  test.each([
    ['../secret'],
    ['a/../../secret'],
    ['/etc/passwd'],
    ['..\\secret'],
    ['C:\\x'],
    ['C:/x'],
    ['file:///etc/passwd'],
    ['weights\0.bin'],
    [''],
    ['.'],
    ['a//b'],
    // The runtime takes the offset for an address in its memory.
    ['*/_ORT_MEM_ADDR_/*'],
  ])('external data at %j', (location) => {
    const tensor = Buffer.concat(externalTensor('w', { location }));
    expect(() => readOnnxModel(buildModel({ ...identityModel, initializers: [tensor] }))).toThrow(
      /external data of tensor "w" points to/,
    );
  });

  test.each([
    [{ offset: '-8' }],
    [{ offset: '0x10' }],
    [{ length: '1e99' }],
    [{ length: '99999999999999999' }],
  ])('external data with %j', (entries) => {
    const tensor = Buffer.concat(externalTensor('w', { location: 'w.bin', ...entries }));
    expect(() => readOnnxModel(buildModel({ ...identityModel, initializers: [tensor] }))).toThrow(
      /which is no count of bytes/,
    );
  });

  test('external data within a nested graph and a function are seen too', () => {
    const tensor = encodeBytes(5, externalTensor('w', { location: '../secret' }));
    const branch = {
      op: 'If',
      inputs: ['c'],
      outputs: ['z'],
      attributes: [subgraph('then_branch', [tensor])],
    };
    const nested = buildModel({ ...identityModel, nodes: [...identityModel.nodes, branch] });
    expect(() => readOnnxModel(nested)).toThrow(/points to "..\/secret"/);
    const inner = node(branch);
    const body = inner.subarray(inner.length < 130 ? 2 : 3);
    const local = encodeBytes(25, [encodeBytes(1, 'f'), encodeBytes(7, [body])]);
    expect(() => readOnnxModel(buildModel({ ...identityModel, more: [local] }))).toThrow(
      /points to "..\/secret"/,
    );
  });

  test('graphs nested 500 levels', () => {
    let graph: Buffer[] = [];
    for (let level = 0; level < 500; level++) {
      graph = [
        node({ op: 'If', inputs: ['c'], outputs: ['z'], attributes: [subgraph('then_branch', graph)] }),
      ];
    }
    const nested = { op: 'If', inputs: ['c'], outputs: ['z'], attributes: [subgraph('then_branch', graph)] };
    expect(() => readOnnxModel(buildModel({ ...identityModel, nodes: [nested] }))).toThrow(
      /nested deeper than 32/,
    );
  });

  test('a type nested 100 levels', () => {
    let type = encodeBytes(1, [encodeInteger(1, 1)]);
    for (let level = 0; level < 100; level++) type = encodeBytes(4, [encodeBytes(1, [type])]);
    const output = encodeBytes(12, [encodeBytes(1, 'y'), encodeBytes(2, [type])]);
    expect(() => readOnnxModel(buildModel({ ...identityModel, outputs: [output] }))).toThrow(
      /nested deeper than 8/,
    );
  });

  test('two graphs, which Protocol Buffers would merge', () => {
    expect(() => readOnnxModel(buildModel({ ...identityModel, more: [encodeBytes(7, [])] }))).toThrow(
      /holds field 7 twice/,
    );
  });

  test('no output, no operator set, an impossible format version', () => {
    expect(() => readOnnxModel(buildModel({ ...identityModel, outputs: [] }))).toThrow(/no output/);
    expect(() => readOnnxModel(buildModel({ ...identityModel, opsets: {} }))).toThrow(
      /no operator set import/,
    );
    const future = buildModel({ ...identityModel, more: [encodeInteger(1, 9999)] });
    expect(() => readOnnxModel(future)).toThrow(/format version 9999 does not exist/);
  });
});
