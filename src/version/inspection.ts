/** Reads an uploaded ONNX model in a child process with a time and a memory limit. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runChild } from './child.ts';
import type { InspectionRequest, InspectionResult } from './inspection.schema.ts';
import { judge } from './inspection.verdict.ts';
import type { InspectionLimits } from './inspection.verdict.ts';

export type { InspectionRequest, InspectionResult } from './inspection.schema.ts';
export type { InspectionLimits } from './inspection.verdict.ts';

const entry = new URL('./inspection.process.ts', import.meta.url);

/**
 * Finds the model among the files, reads its structure and signature without trust, derives the graph to serve, and
 * lets the runtime load that; all in a child process without environment, ended at the limits.
 * @returns `ready`, or `rejected` with a reason for people. A derived graph is at `servingTo` when `served` is set;
 * after a rejection a file may be left there.
 * @throws DOMException named AbortError when `signal` fires; Error when this program or host is at fault.
 */
export async function inspectOnnx(
  request: InspectionRequest,
  limits: InspectionLimits,
): Promise<InspectionResult> {
  const { workDir, ...rest } = request;
  await mkdir(workDir, { recursive: true });
  const folder = await mkdtemp(join(workDir, 'inspection-'));
  try {
    if (limits.signal?.aborted) throw new DOMException('The inspection was cancelled.', 'AbortError');
    const files = request.files.map(({ path, storedAt }) => ({ path, storedAt }));
    let lines = 0;
    const outcome = await runChild(entry, { ...rest, files, folder }, limits, (_line, endAfter) => {
      // The first line is what stands before the trial run, which has a limit of its own.
      if (lines++ === 0) endAfter('trial', (limits.trialSeconds ?? 10) * 1000);
    });
    return judge(outcome, limits);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
