/** What the process that looks into uploaded files is asked and what it answers. */
import { z } from 'zod';
import { rules, verdicts } from '../safety/finding.ts';
import type { Rule } from '../safety/finding.ts';
import type { PlainValue } from '../safety/pickle/contents.value.ts';
import { formats } from '../safety/scan.ts';

export const safetyRequest = z.object({
  files: z.array(z.object({ path: z.string(), storedAt: z.string() })),
});
export type SafetyRequest = z.infer<typeof safetyRequest>;

const plainValue: z.ZodType<PlainValue> = z.json() as z.ZodType<PlainValue>;
const named = { path: z.string(), name: z.string() };

/** A line of the answer while a file is being looked into: how far that is. */
export const safetyProgress = z.object({ readBytes: z.number() });
export type SafetyProgress = z.infer<typeof safetyProgress>;

/** A line of the answer: one of the files, in their order. Checked, since its writer has handled bytes from strangers. */
export const fileInspection = z.object({
  path: z.string(),
  format: z.enum(formats),
  verdict: z.enum(verdicts),
  findings: z.array(
    z.object({
      path: z.string(),
      offset: z.number().nullable(),
      rule: z.enum(Object.keys(rules) as Rule[]),
      message: z.string(),
    }),
  ),
  /** Whether there were more findings than are listed. */
  truncatedFindings: z.boolean(),
  /** What a pickle holds; null where there is none. */
  contents: z
    .object({
      classes: z.array(z.object(named)),
      steps: z.array(z.object({ ...named, class: z.string().nullable() })),
      parameters: z.array(z.object({ ...named, value: plainValue })),
      versions: z.record(z.string(), z.string()),
      arrays: z.array(
        z.object({ path: z.string(), shape: z.array(z.number()), dtype: z.string().nullable() }),
      ),
      truncated: z.boolean(),
    })
    .nullable(),
});
export type FileInspection = z.infer<typeof fileInspection>;
