/** Weights beside the model file. A location is written by whoever made the file, and the runtime opens it. */
import { OnnxFormatError } from './onnx.errors.ts';

/** TensorProto.external_data: where a tensor's raw bytes lie. */
export interface ExternalData {
  /** Relative to the model file's folder, with `/`; no `..`. */
  readonly location: string;
  /** In bytes. */
  readonly offset: number;
  /** In bytes; null when the file does not say: then it follows from the dimensions. */
  readonly length: number | null;
}

// `*` is refused because the runtime takes the location "*/_ORT_MEM_ADDR_/*" for "the offset is an address in
// this process's memory".
/** Whether a path stays within its folder on every platform: relative, no `.` or `..`, no backslash, no drive. */
export function isPlainRelativePath(path: string): boolean {
  // eslint-disable-next-line no-control-regex -- NUL ends the path for the operating system
  if (path.length === 0 || path.length > 1024 || /[\u0000-\u001f\u007f\\*]|^[A-Za-z]:/.test(path))
    return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

function byteCount(
  entries: ReadonlyMap<string, string>,
  key: string,
  tensor: string,
  at: number,
): number | null {
  const given = entries.get(key);
  if (given === undefined) return null;
  const value = /^\d{1,16}$/.test(given) ? Number(given) : NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new OnnxFormatError(
    `The external data of tensor "${tensor}" has the ${key} ${JSON.stringify(given.slice(0, 40))}, which is no count of bytes.`,
    at,
  );
}

/**
 * Reads the entries of TensorProto.external_data (keys `location`, `offset`, `length`).
 * @throws OnnxFormatError when the location could leave the model's folder, or a number is none.
 */
export function externalData(entries: ReadonlyMap<string, string>, tensor: string, at: number): ExternalData {
  const location = (entries.get('location') ?? '').replace(/^\.\//, '');
  if (!isPlainRelativePath(location)) {
    throw new OnnxFormatError(
      `The external data of tensor "${tensor}" points to ${JSON.stringify(location.slice(0, 200))}. ` +
        'Expected the plain relative path of a file uploaded with the model.',
      at,
    );
  }
  return {
    location,
    offset: byteCount(entries, 'offset', tensor, at) ?? 0,
    length: byteCount(entries, 'length', tensor, at),
  };
}
