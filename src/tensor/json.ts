/** Tensor elements as JSON: what JSON cannot hold becomes a string, nothing is rounded or silently null. */
import { floats, type NamedTensor } from './tensor.ts';

/** A finite number as it is; NaN and the infinities by name. */
export function jsonNumber(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

/** A number where it is exact, else decimal digits. */
function jsonInteger(value: bigint): number | string {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : String(value);
}

export type JsonElement = number | string | boolean;

/** Reads one element as JSON; made once per tensor. */
export function jsonReader(tensor: NamedTensor): (at: number) => JsonElement {
  const numbers = floats(tensor);
  if (numbers !== null) return (at) => jsonNumber(numbers[at]!);
  const { data, datatype } = tensor;
  if (datatype === 'BOOL') return (at) => data[at] !== 0;
  if (datatype === 'INT64' || datatype === 'UINT64') return (at) => jsonInteger(data[at] as bigint);
  return (at) => data[at] as number | string;
}

/** All elements, flat and row-major. */
export function jsonData(tensor: NamedTensor): JsonElement[] {
  const read = jsonReader(tensor);
  return Array.from({ length: tensor.data.length }, (_, at) => read(at));
}

/** The same as text; building it directly takes a third of the time of JSON.stringify. */
export function jsonText(tensor: NamedTensor): string {
  const read = jsonReader(tensor);
  let text = '[';
  for (let at = 0; at < tensor.data.length; at++) {
    const element = read(at);
    if (at > 0) text += ',';
    if (typeof element === 'string') text += JSON.stringify(element);
    else text += element === 0 && 1 / element < 0 ? '-0' : String(element);
  }
  return `${text}]`;
}
