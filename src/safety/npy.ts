/** NumPy's .npy files: a header that says how to read the array, which may be a pickle (numpy/lib/format.py). */
import type { ByteStream } from './byte-stream.ts';
import type { Content } from './content.ts';
import { elementType } from './pickle/dtype.ts';
import type { Literal } from './python-literal.ts';
import { pythonLiteral } from './python-literal.ts';
import type { Scan } from './scan.ts';

/** NumPy itself takes headers of up to 10,000 characters. */
const maxHeader = 64 * 1024;

export interface NpyArray {
  readonly shape: readonly number[];
  /** Bytes of one element. */
  readonly elementBytes: number;
  /** Whether the array is a pickle of Python objects. */
  readonly isPickle: boolean;
  /** Where the array starts. */
  readonly dataAt: number;
}

interface Element {
  readonly size: number;
  readonly hasObjects: boolean;
}

/** A field is (name, type) or (name, type, shape); a name may be a pair of a title and a name. */
function fieldType(field: Literal): Element | undefined {
  if (!Array.isArray(field) || field.length < 2 || field.length > 3) return undefined;
  const [, type = null, shape = []] = field;
  const element = elementOf(type);
  const dimensions = Array.isArray(shape) ? shape : [shape];
  if (element === undefined) return undefined;
  let { size } = element;
  for (const dimension of dimensions) {
    if (typeof dimension !== 'number' || dimension < 0) return undefined;
    size *= dimension;
  }
  return { size, hasObjects: element.hasObjects };
}

/** The header's `descr`: a type's code, or the fields of a structured one. */
function elementOf(description: Literal): Element | undefined {
  if (typeof description === 'string') return elementType(description);
  if (!Array.isArray(description)) return undefined;
  const fields = description.map(fieldType);
  if (!fields.every((field) => field !== undefined)) return undefined;
  return {
    size: fields.reduce((sum, field) => sum + field.size, 0),
    hasObjects: fields.some((field) => field.hasObjects),
  };
}

function arrayFrom(header: Literal | undefined, dataAt: number): NpyArray | undefined {
  if (!(header instanceof Map)) return undefined;
  const [description, shape] = [header.get('descr'), header.get('shape')];
  const element = description === undefined ? undefined : elementOf(description);
  if (element === undefined || !Array.isArray(shape)) return undefined;
  const dimensions = shape.filter(
    (dimension): dimension is number => Number.isSafeInteger(dimension) && Number(dimension) >= 0,
  );
  if (dimensions.length !== shape.length) return undefined;
  return { shape: dimensions, elementBytes: element.size, isPickle: element.hasObjects, dataAt };
}

/** Reads the header: magic, version, length (2 bytes in version 1, 4 later), a dict of Python. */
async function readHeader(stream: ByteStream): Promise<NpyArray | undefined> {
  const [major] = (await stream.take(8)).subarray(6);
  if (major === undefined || major < 1 || major > 3) return undefined;
  await stream.need(4);
  const length = major === 1 ? stream.uint16() : stream.uint32();
  if (length > maxHeader) return undefined;
  const text = (await stream.take(length)).toString(major === 3 ? 'utf8' : 'latin1');
  return arrayFrom(pythonLiteral(text), stream.position);
}

/**
 * Judges an array's header and size.
 * @returns where its pickle starts, if it is one; undefined otherwise. @throws EndOfBytes
 */
export async function inspectNpy(scan: Scan, content: Content): Promise<number | undefined> {
  const stream = content.open();
  const array = await readHeader(stream);
  if (array === undefined) {
    scan.findings.add(
      content.path,
      0,
      'numpy.header',
      'The header of the array is not one that NumPy writes.',
    );
    return undefined;
  }
  if (array.isPickle) return array.dataAt;
  const bytes = array.shape.reduce((product, dimension) => product * dimension, array.elementBytes);
  if ((await stream.pass(bytes)) < bytes) {
    scan.findings.add(content.path, array.dataAt, 'numpy.truncated', `The array should have ${bytes} bytes.`);
  } else if (!(await stream.isAtEnd())) {
    const message = 'Behind the array lie bytes that do not belong to it.';
    scan.findings.add(content.path, stream.position, 'numpy.trailing-bytes', message);
  }
  return undefined;
}
