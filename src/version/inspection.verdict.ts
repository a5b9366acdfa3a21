/** What the end of the inspecting child means: for the model, for the caller, or for whoever runs this. */
import { misfortune } from './child.ts';
import type { ChildLimits, Outcome } from './child.ts';
import { inspectionLine } from './inspection.schema.ts';
import type { InspectionLine, InspectionResult } from './inspection.schema.ts';

export interface InspectionLimits extends ChildLimits {
  /** For the trial run alone, which decides nothing. Default 10. */
  readonly trialSeconds?: number;
}

function lastLine(lines: readonly string[]): InspectionLine | undefined {
  const line = lines.at(-1);
  return line === undefined ? undefined : inspectionLine.parse(JSON.parse(line));
}

/**
 * The verdict. What befalls the trial run alone is a warning.
 * @throws DOMException named AbortError; Error when the child ended through no fault of the model.
 */
export function judge(outcome: Outcome, limits: InspectionLimits): InspectionResult {
  if (outcome.ended === 'abort') throw new DOMException('The inspection was cancelled.', 'AbortError');
  const last = outcome.ended === 'answer' ? undefined : lastLine(outcome.lines);
  if (last?.stage === 'done') return last.result;
  const why = misfortune(outcome, limits);
  if (why === undefined) {
    const how = outcome.signal ?? `exit code ${outcome.code}`;
    throw new Error(`The inspecting process ended with ${how}: ${outcome.errors.trim()}`);
  }
  if (last?.result.verdict === 'ready') {
    const warning = `A trial run on one row of zeros ${why}.`;
    return { ...last.result, warnings: [...last.result.warnings, warning] };
  }
  return { verdict: 'rejected', reason: `Reading the model ${why}.` };
}
