/** safetensors: a JSON header, then the tensors, which cover the rest exactly (github.com/huggingface/safetensors). */
import { EndOfBytes } from './byte-stream.ts';
import type { Content } from './content.ts';
import type { Rule } from './finding.ts';
import { BrokenJson, JsonStream } from './json-stream.ts';
import type { Scan } from './scan.ts';

const maxHeaderBytes = 100_000_000;
const maxDimensions = 64;

/** Bits of an element by its dtype. */
const elementBits: ReadonlyMap<string, number> = new Map([
  ['BOOL', 8],
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['U8', 8],
  ['I8', 8],
  ['F8_E5M2', 8],
  ['F8_E4M3', 8],
  ['F8_E5M2FNUZ', 8],
  ['F8_E4M3FNUZ', 8],
  ['F8_E8M0', 8],
  ['I16', 16],
  ['U16', 16],
  ['F16', 16],
  ['BF16', 16],
  ['I32', 32],
  ['U32', 32],
  ['F32', 32],
  ['I64', 64],
  ['U64', 64],
  ['F64', 64],
  ['C64', 64],
]);

interface Range {
  readonly start: number;
  readonly end: number;
}

/** The tensors do not fit their description or the file. The message is a sentence for people. */
class BadTensors extends Error {
  override readonly name = 'BadTensors';
}

function checkTensor(name: string, dtype: string, shape: readonly number[], { start, end }: Range): void {
  const shown = JSON.stringify(name.slice(0, 100));
  const bits = elementBits.get(dtype);
  if (bits === undefined)
    throw new BadTensors(`The tensor ${shown} has the unknown type ${dtype.slice(0, 40)}.`);
  const total = shape.reduce((product, dimension) => product * dimension, bits);
  // Beyond 2^53 the product is inexact; no file has as many bytes.
  if (end < start || total > Number.MAX_SAFE_INTEGER || total !== (end - start) * 8) {
    throw new BadTensors(`The tensor ${shown} does not have the bytes that its shape and type need.`);
  }
}

async function readTensor(json: JsonStream, name: string): Promise<Range> {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  await json.object(async (key) => {
    if (key === 'dtype') dtype = await json.text();
    else if (key === 'shape') shape = await json.counts(maxDimensions);
    else if (key === 'data_offsets') offsets = await json.counts(2);
    else throw new BrokenJson(`The header says ${JSON.stringify(key.slice(0, 100))} of a tensor.`);
  });
  const [start, end] = offsets ?? [];
  if (dtype === undefined || shape === undefined || start === undefined || end === undefined) {
    throw new BrokenJson('The header does not give type, shape and place of every tensor.');
  }
  checkTensor(name, dtype, shape, { start, end });
  return { start, end };
}

/** `__metadata__` holds texts only. */
async function passMetadata(json: JsonStream): Promise<void> {
  await json.object(async () => void (await json.text()));
}

/** The tensors one behind the other: nothing between, nothing twice. @returns their bytes together. */
function coveredBytes(ranges: Range[]): number {
  ranges.sort((a, b) => a.start - b.start || a.end - b.end);
  let covered = 0;
  for (const { start, end } of ranges) {
    if (start < covered) throw new BadTensors('Two tensors share the same bytes.');
    if (start > covered) throw new BadTensors(`${start - covered} bytes belong to no tensor.`);
    covered = end;
  }
  return covered;
}

async function check(scan: Scan, content: Content): Promise<void> {
  const stream = content.open();
  await stream.need(8);
  const length = stream.uint64();
  if (length > maxHeaderBytes) {
    throw new BrokenJson(
      `The header says that it has ${length} bytes; at most ${maxHeaderBytes} are allowed.`,
    );
  }
  const json = new JsonStream(stream, length);
  const ranges: Range[] = [];
  await json.object(async (name) => {
    if (name === '__metadata__') return passMetadata(json);
    if (ranges.length >= scan.limits.tensors) throw new BadTensors('The file has too many tensors.');
    ranges.push(await readTensor(json, name));
  });
  if ((await json.next()) !== undefined) throw new BrokenJson('The header goes on behind its end.');
  const bytes = coveredBytes(ranges);
  if ((await stream.pass(bytes)) < bytes) throw new BadTensors('The file ends before its last tensor does.');
  if (!(await stream.isAtEnd())) throw new BadTensors('Behind the last tensor lie other bytes.');
}

/** Judges a safetensors file. Its loader refuses what does not keep these rules. */
export async function inspectSafetensors(scan: Scan, content: Content): Promise<void> {
  const add = (rule: Rule, message: string) => scan.findings.add(content.path, null, rule, message);
  try {
    await check(scan, content);
  } catch (error) {
    if (error instanceof BrokenJson) add('safetensors.header', error.message);
    else if (error instanceof BadTensors) add('safetensors.tensors', error.message);
    else if (error instanceof EndOfBytes) add('safetensors.header', 'The file ends within its header.');
    else throw error;
  }
}
