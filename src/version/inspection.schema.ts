/** What the inspecting child is asked and what it answers. Its answer is checked: it has handled bytes from strangers. */
import { z } from 'zod';
import type { ValidationIssue } from '../platform/errors.ts';
import { datatypes, tasks } from '../signature/signature.ts';
import type { GivenSignature, Signature } from '../signature/signature.ts';

const tensor = z.object({
  name: z.string(),
  datatype: z.enum(datatypes),
  shape: z.array(z.int()),
  nullable: z.boolean(),
});

const signature: z.ZodType<Signature> = z.object({
  inputs: z.array(tensor),
  outputs: z.array(tensor),
  columns: z
    .array(
      z.object({
        name: z.string(),
        input: z.string(),
        index: z.int().nullable(),
        datatype: z.enum(datatypes),
        nullable: z.boolean(),
      }),
    )
    .nullable(),
  classes: z.array(z.string()).nullable(),
  positiveClass: z.string().nullable(),
  task: z.enum(tasks),
  labelOutput: z.string().nullable(),
  probabilitiesOutput: z.string().nullable(),
  valueOutput: z.string().nullable(),
});

const issue: z.ZodType<ValidationIssue> = z.object({
  path: z.array(z.string()),
  expected: z.string().nullable(),
  found: z.string().nullable(),
  message: z.string(),
});

const ready = z.object({
  verdict: z.literal('ready'),
  signature,
  /** The derived graph to serve and how it was derived; null: the model file itself is served. */
  served: z.object({ transform: z.string(), path: z.string() }).nullable(),
  /** Operator set versions by domain. */
  opsets: z.record(z.string(), z.number()),
  producer: z.string().nullable(),
  /** Sentences for people: what another host or other rows may not find in order. */
  warnings: z.array(z.string()),
  /** Which of the files is the model, as the user named it. */
  modelFile: z.string(),
});

const rejected = z.object({
  verdict: z.literal('rejected'),
  /** One or more sentences for the person who uploaded the files. */
  reason: z.string(),
  /** What in the declared signature does not fit, by path from its root. */
  issues: z.array(issue).exactOptional(),
});

const inspectionResult = z.discriminatedUnion('verdict', [ready, rejected]);
export type InspectionResult = z.infer<typeof inspectionResult>;
export type ReadyResult = z.infer<typeof ready>;

/**
 * One line of the child's answer. `trial` is the verdict so far: only a trial run is still to come, and a model that
 * hangs or kills the process in it is no reason to refuse the version.
 */
export const inspectionLine = z.object({ stage: z.enum(['trial', 'done']), result: inspectionResult });
export type InspectionLine = z.infer<typeof inspectionLine>;

export interface InspectionFile {
  /** As the user named it, relative, with `/`. */
  readonly path: string;
  /** Absolute path of its bytes. */
  readonly storedAt: string;
}

export interface InspectionRequest {
  readonly files: readonly InspectionFile[];
  readonly given: GivenSignature | null;
  /** Absolute path where a derived graph is written, if one is needed. */
  readonly servingTo: string;
  /** Folder for temporary files, best on the file system of the stored files. Created where missing. */
  readonly workDir: string;
}

const given: z.ZodType<GivenSignature> = z.object({
  columns: z
    .array(
      z.object({
        name: z.string(),
        input: z.string().exactOptional(),
        index: z.int().exactOptional(),
        nullable: z.boolean().exactOptional(),
      }),
    )
    .optional(),
  classes: z.array(z.string()).optional(),
  positiveClass: z.string().optional(),
  task: z.enum(tasks).optional(),
});

/** A request on its way to the child: `folder` is an empty one that the parent clears away afterwards. */
export const childRequest = z.object({
  files: z.array(z.object({ path: z.string(), storedAt: z.string() })),
  given: given.nullable(),
  servingTo: z.string(),
  folder: z.string(),
});
export type ChildRequest = z.infer<typeof childRequest>;
