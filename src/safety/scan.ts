/** What the parts of one inspection share. */
import type { Expansion } from './compression/expansion.ts';
import type { Content } from './content.ts';
import type { Findings } from './finding.ts';
import type { Limits } from './limits.ts';
import type { PickleContents } from './pickle/contents.ts';

export const formats = ['ONNX', 'PICKLE', 'JOBLIB', 'TORCH', 'SAFETENSORS', 'GGUF', 'OPAQUE'] as const;
export type Format = (typeof formats)[number];

/** What the place of a content says about it. */
export interface Place {
  /** How many archives and compressed streams are around it. */
  readonly depth: number;
  /** Whether torch reads it as a pickle whose storages are other members. */
  readonly torchPickle: boolean;
}

export interface Scan {
  readonly limits: Limits;
  readonly findings: Findings;
  readonly expansion: Expansion;
  /** Opcodes of all pickles so far. */
  steps: number;
  /** Of the first pickle that holds anything. */
  contents: PickleContents | null;
  /** Looks at a content within another. The archives' readers get it from here: they and it would import each other. */
  readonly inspect: (content: Content, place: Place) => Promise<Format>;
}
