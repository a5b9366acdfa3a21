/** What can be searched for: fields, what they take and what they mean. */
import type { AmountField, Comparison, FlagField, TextField } from './search.tree.ts';

/** `:` is "is" where `=` is taken too, else "holds". */
export type Operator = ':' | Comparison;

interface About {
  readonly description: string;
  readonly operators: readonly Operator[];
  /** A search that uses it. */
  readonly example: string;
}

export type SearchField = About &
  (
    | { readonly name: TextField; readonly kind: 'text' }
    | { readonly name: FlagField; readonly kind: 'flag' }
    | { readonly name: AmountField; readonly kind: 'amount' }
    | { readonly name: 'tag'; readonly kind: 'tag' }
    | { readonly name: 'status'; readonly kind: 'status' }
    | { readonly name: 'created'; readonly kind: 'created' }
    | { readonly name: 'metric'; readonly kind: 'metric' }
  );

const has = [':'] as const;
/** A version may have several of them, so "another one" and "not this one" differ: NOT says which. */
const isOneOf = [':', '='] as const;
const is = [':', '=', '!='] as const;
const compares = [':', '=', '!=', '>', '>=', '<', '<='] as const;

export const searchFields: readonly SearchField[] = [
  { name: 'name', kind: 'text', operators: is, description: "The model's name.", example: 'name:fraud*' },
  {
    name: 'tag',
    kind: 'tag',
    operators: has,
    description: 'A tag of the version: its key, or key=value.',
    example: 'tag:stage=dev',
  },
  {
    name: 'alias',
    kind: 'text',
    operators: isOneOf,
    description: 'An alias that stands for the version.',
    example: 'alias:champion',
  },
  {
    name: 'status',
    kind: 'status',
    operators: is,
    description: 'The status, in any case.',
    example: 'status:ready',
  },
  { name: 'author', kind: 'text', operators: is, description: 'Who created it.', example: 'author:ada' },
  {
    name: 'created',
    kind: 'created',
    operators: compares,
    description:
      'When it was created: an RFC 3339 time, a whole day in UTC such as 2026-11-01, or how long ago: 7d, 24h, 30m.',
    example: 'created > 7d',
  },
  {
    name: 'format',
    kind: 'text',
    operators: is,
    description: 'The format of its files, in any case.',
    example: 'format:onnx',
  },
  {
    name: 'bytes',
    kind: 'amount',
    operators: compares,
    description: 'Its size; kB, MB, GB and TB are powers of 1000, KiB, MiB, GiB and TiB of 1024.',
    example: 'bytes:10MB..1GB',
  },
  {
    name: 'metric',
    kind: 'metric',
    operators: compares,
    description: 'A reported metric, as metric.<name>. Versions without it match no comparison, not even !=.',
    example: 'metric.accuracy > 0.93',
  },
  {
    name: 'deployed',
    kind: 'flag',
    operators: isOneOf,
    description: 'Whether a deployment that is not STOPPED has it.',
    example: 'deployed:true',
  },
  {
    name: 'deployment',
    kind: 'text',
    operators: isOneOf,
    description: 'The name of a deployment that has it and is not STOPPED.',
    example: 'deployment:checkout',
  },
  {
    name: 'message',
    kind: 'text',
    operators: has,
    description: 'The message holds it, in any case.',
    example: 'message:"more data"',
  },
  {
    name: 'number',
    kind: 'amount',
    operators: compares,
    description: 'Its number within the model.',
    example: 'number:1..3',
  },
  {
    name: 'archived',
    kind: 'flag',
    operators: isOneOf,
    description: 'Whether it is archived.',
    example: 'archived:false',
  },
  {
    name: 'digest',
    kind: 'text',
    operators: isOneOf,
    description: 'SHA-256 of its bytes in hex: all 64 digits, or the first ones and *.',
    example: 'digest:9f86d0*',
  },
];
