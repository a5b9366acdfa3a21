/** The safety inspection of a version: what each of its files is, and whether it harms whoever opens it. */
import { rules, verdicts } from '../safety/finding.ts';
import type { Finding, Verdict } from '../safety/finding.ts';
import type { PickleContents } from '../safety/pickle/contents.ts';
import type { Format } from '../safety/scan.ts';
import { misfortune, runChild } from './child.ts';
import type { ChildLimits, Outcome } from './child.ts';
import { fileInspection, safetyProgress } from './safety.schema.ts';
import type { FileInspection, SafetyRequest } from './safety.schema.ts';

/** What a file holds, told without loading it. */
export interface FileContents extends PickleContents {
  readonly path: string;
}

export interface SafetyReport {
  /** The worst of its files'. */
  readonly verdict: Verdict;
  readonly format: Format;
  /** Of all files, the worst first. */
  readonly findings: readonly Finding[];
  readonly truncated: boolean;
  readonly contents: readonly FileContents[];
}

const entry = new URL('./safety.process.ts', import.meta.url);
/** Kept of a version; each file lists up to 100 of its own. */
const MAX_FINDINGS = 500;
const REASONS = 3;

/**
 * Looks into every file, in a process without environment that is ended at the limits. A file on which that process
 * takes too long, too much memory, or crashes is UNREADABLE, and those after it are not looked at any more.
 * @param onProgress told how many files have been looked at, and how far the next one has been read, in bytes.
 * @throws DOMException named AbortError when `signal` fires; Error when this program or host is at fault.
 */
export async function inspectFiles(
  files: SafetyRequest['files'],
  limits: ChildLimits,
  onProgress: (looked: number, readBytes: number) => void,
): Promise<SafetyReport> {
  if (limits.signal?.aborted) throw new DOMException('The inspection was cancelled.', 'AbortError');
  const seen: FileInspection[] = [];
  const outcome = await runChild(entry, { files }, limits, (line) => {
    const said: unknown = JSON.parse(line);
    const progress = safetyProgress.safeParse(said);
    if (!progress.success) seen.push(fileInspection.parse(said));
    onProgress(seen.length, progress.data?.readBytes ?? 0);
  });
  if (outcome.ended === 'abort') throw new DOMException('The inspection was cancelled.', 'AbortError');
  const stuck = files[seen.length];
  return reportOf(stuck === undefined ? seen : [...seen, endedOn(stuck.path, outcome, limits)]);
}

/** @throws Error when the child ended through no fault of the file. */
function endedOn(path: string, outcome: Outcome, limits: ChildLimits): FileInspection {
  const why = misfortune(outcome, limits);
  if (why === undefined) {
    const how = outcome.signal ?? `exit code ${outcome.code}`;
    throw new Error(`The inspecting process ended with ${how}: ${outcome.errors.trim()}`);
  }
  const finding = {
    path,
    offset: null,
    rule: 'inspection.limit' as const,
    message: `Looking into it ${why}.`,
  };
  return {
    path,
    format: 'OPAQUE',
    verdict: 'UNREADABLE',
    findings: [finding],
    truncatedFindings: false,
    contents: null,
  };
}

const severity = (verdict: Verdict): number => verdicts.indexOf(verdict);

/** What the files are together: an ONNX model makes it ONNX, whatever lies beside it. */
function formatOf(files: readonly FileInspection[]): Format {
  const formats = files.map(({ format }) => format);
  if (formats.includes('ONNX')) return 'ONNX';
  return formats.find((format) => format !== 'OPAQUE') ?? 'OPAQUE';
}

function reportOf(files: readonly FileInspection[]): SafetyReport {
  const findings = files
    .flatMap((file) => file.findings)
    .toSorted((a, b) => severity(rules[b.rule]) - severity(rules[a.rule]));
  return {
    verdict: verdicts[Math.max(0, ...files.map(({ verdict }) => severity(verdict)))] as Verdict,
    format: formatOf(files),
    findings: findings.slice(0, MAX_FINDINGS),
    truncated: findings.length > MAX_FINDINGS || files.some((file) => file.truncatedFindings),
    contents: files.flatMap(({ path, contents }) => (contents ? [{ ...contents, path }] : [])),
  };
}

/** The first of the findings that lead to the verdict as sentences, for the person who uploaded the files. */
export function reasonsOf({ verdict, findings }: SafetyReport): string {
  const decisive = findings.filter(({ rule }) => rules[rule] === verdict);
  const told = decisive
    .slice(0, REASONS)
    .map(({ path, offset, message }) => `${path}${offset === null ? '' : ` (byte ${offset})`}: ${message}`);
  const more = decisive.length - told.length;
  return [...told, ...(more > 0 ? [`And ${more} more, see the inspection.`] : [])].join(' ');
}
