/** What the end of the inspecting child means: for the model, for the caller, or for whoever runs this. */
import { inspectionLine } from './inspection.schema.ts';
import type { InspectionLine, InspectionResult } from './inspection.schema.ts';

export interface InspectionLimits {
  /** INGEST_TIMEOUT_SECONDS: for the whole inspection. */
  readonly timeoutSeconds: number;
  /** INGEST_MEMORY_BYTES: resident memory of the child. */
  readonly memoryBytes: number;
  /** For the trial run alone, which decides nothing. Default 10. */
  readonly trialSeconds?: number;
  readonly signal?: AbortSignal;
}

/** Why this process ended the child. */
export type Ended = 'time' | 'memory' | 'trial' | 'abort' | 'answer';

/** How the child ended, and what it said until then. */
export interface Outcome {
  readonly ended: Ended | undefined;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly lines: readonly string[];
  readonly errors: string;
}

/** Signals that a fault within native code raises; any other came from outside. */
const crashes: readonly (NodeJS.Signals | null)[] = [
  'SIGSEGV',
  'SIGABRT',
  'SIGBUS',
  'SIGILL',
  'SIGFPE',
  'SIGTRAP',
];

/** What happened, for people; undefined when the model is not to blame. */
function misfortune({ ended, signal }: Outcome, limits: InspectionLimits): string | undefined {
  if (ended === 'time') return `took longer than ${limits.timeoutSeconds} seconds (INGEST_TIMEOUT_SECONDS)`;
  if (ended === 'memory') return `took more than ${limits.memoryBytes} bytes of memory (INGEST_MEMORY_BYTES)`;
  if (ended === 'trial') return `did not end within ${limits.trialSeconds ?? 10} seconds`;
  if (ended === 'answer') return 'gave an endless answer';
  return crashes.includes(signal) ? `crashed the runtime (${signal})` : undefined;
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
