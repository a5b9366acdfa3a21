/** Reads an uploaded ONNX model in a child process with a time and a memory limit. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { ChildRequest, InspectionRequest, InspectionResult } from './inspection.schema.ts';
import { judge } from './inspection.verdict.ts';
import type { Ended, InspectionLimits, Outcome } from './inspection.verdict.ts';

export type { InspectionRequest, InspectionResult } from './inspection.schema.ts';
export type { InspectionLimits } from './inspection.verdict.ts';

const entry = fileURLToPath(new URL('./inspection.process.ts', import.meta.url));
const memoryPollMs = 50;
/** A signature of 20,000 inputs takes about 4 MB; a child that writes more than this is not ours any more. */
const maxAnswerBytes = 256 * 1024 * 1024;
const maxErrorBytes = 8192;

/** In bytes; undefined where the system does not tell (no /proc): there the memory limit does not hold. */
function residentBytes(pid: number): number | undefined {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}

function start(limits: InspectionLimits): ChildProcess {
  // V8's own limit is set to ours, so that it is never the one that ends the child.
  const heap = `--max-old-space-size=${Math.ceil(limits.memoryBytes / 1024 ** 2)}`;
  return spawn(process.execPath, ['--expose-gc', heap, entry], {
    stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
    env: {},
  });
}

/** Collects the child's lines; tells when the first one is there, which is where the trial run begins. */
function collect(child: ChildProcess, onTrial: () => void, onFlood: () => void) {
  const answers = child.stdio[3];
  if (!(answers instanceof Readable))
    throw new Error('The inspecting process has no channel for its answer.');
  const said = { text: '', errors: '' };
  answers.setEncoding('utf8').on('data', (chunk: string) => {
    if (!said.text.includes('\n') && chunk.includes('\n')) onTrial();
    said.text += chunk;
    if (said.text.length > maxAnswerBytes) onFlood();
  });
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    said.errors = (said.errors + chunk).slice(-maxErrorBytes);
  });
  return said;
}

function run(request: ChildRequest, limits: InspectionLimits): Promise<Outcome> {
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
  const child = start(limits);
  let ended: Ended | undefined;
  const end = (why: Ended) => {
    ended ??= why;
    child.kill('SIGKILL');
  };
  const timers = [setTimeout(end, limits.timeoutSeconds * 1000, 'time')];
  const memory = setInterval(() => {
    if ((residentBytes(child.pid ?? -1) ?? 0) > limits.memoryBytes) end('memory');
  }, memoryPollMs);
  const abort = () => end('abort');
  limits.signal?.addEventListener('abort', abort, { once: true });
  const startTrial = () => timers.push(setTimeout(end, (limits.trialSeconds ?? 10) * 1000, 'trial'));
  const said = collect(child, startTrial, () => end('answer'));
  child.on('error', reject);
  child.on('close', (code, signal) => {
    const lines = said.text.split('\n').slice(0, -1);
    resolve({ ended, code, signal, lines, errors: said.errors });
  });
  // A child that dies before it has read its request shows in 'close'.
  child.stdin?.on('error', () => undefined).end(JSON.stringify(request));
  return promise.finally(() => {
    for (const timer of timers) clearTimeout(timer);
    clearInterval(memory);
    limits.signal?.removeEventListener('abort', abort);
  });
}

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
    return judge(await run({ ...rest, files, folder }, limits), limits);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
