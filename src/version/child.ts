/** Runs a program of ours that handles bytes from strangers: in a process of its own, ended at its limits. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { getCompileCacheDir } from 'node:module';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { residentBytes } from '../platform/process-vitals.ts';

export interface ChildLimits {
  /** INGEST_TIMEOUT_SECONDS: for all of it. */
  readonly timeoutSeconds: number;
  /** INGEST_MEMORY_BYTES: resident memory of the child. */
  readonly memoryBytes: number;
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

/** Ends the child for a reason, after a time. */
export type EndAfter = (why: Ended, milliseconds: number) => void;

const memoryPollMs = 50;
/** A signature of 20,000 inputs takes about 4 MB; a child that writes more than this is not ours any more. */
const maxAnswerBytes = 256 * 1024 * 1024;
const maxErrorBytes = 8192;

/** Signals that a fault within native code raises; any other came from outside. */
const crashes: readonly (NodeJS.Signals | null)[] = [
  'SIGSEGV',
  'SIGABRT',
  'SIGBUS',
  'SIGILL',
  'SIGFPE',
  'SIGTRAP',
];

/** What happened, for people; undefined when the bytes are not to blame. */
export function misfortune(
  { ended, signal }: Outcome,
  limits: ChildLimits & { readonly trialSeconds?: number },
): string | undefined {
  if (ended === 'time') return `took longer than ${limits.timeoutSeconds} seconds (INGEST_TIMEOUT_SECONDS)`;
  if (ended === 'memory') return `took more than ${limits.memoryBytes} bytes of memory (INGEST_MEMORY_BYTES)`;
  if (ended === 'trial') return `did not end within ${limits.trialSeconds ?? 10} seconds`;
  if (ended === 'answer') return 'gave an endless answer';
  return crashes.includes(signal) ? `crashed the runtime (${signal})` : undefined;
}

function start(entry: URL, limits: ChildLimits): ChildProcess {
  // V8's own limit is set to ours, so that it is never the one that ends the child.
  const heap = `--max-old-space-size=${Math.ceil(limits.memoryBytes / 1024 ** 2)}`;
  // Nothing of our environment, which holds secrets. Without compiled code at hand, starting takes three times as long.
  const cache = getCompileCacheDir();
  return spawn(process.execPath, ['--expose-gc', heap, fileURLToPath(entry)], {
    stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
    env: cache === undefined ? {} : { NODE_COMPILE_CACHE: cache },
  });
}

/**
 * Starts a program without environment, gives it a request as JSON on stdin, and collects the lines that it writes to
 * file descriptor 3.
 * @param onLine is told of each line as it comes, and may set a time after which the child is ended.
 */
export function runChild(
  entry: URL,
  request: unknown,
  limits: ChildLimits,
  onLine: (line: string, endAfter: EndAfter) => void,
): Promise<Outcome> {
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
  const child = start(entry, limits);
  let ended: Ended | undefined;
  const end = (why: Ended) => {
    ended ??= why;
    child.kill('SIGKILL');
  };
  const timers: NodeJS.Timeout[] = [];
  const endAfter: EndAfter = (why, milliseconds) => timers.push(setTimeout(end, milliseconds, why));
  endAfter('time', limits.timeoutSeconds * 1000);
  const memory = setInterval(() => {
    if ((residentBytes(child.pid ?? -1) ?? 0) > limits.memoryBytes) end('memory');
  }, memoryPollMs);
  const abort = () => end('abort');
  limits.signal?.addEventListener('abort', abort, { once: true });
  const said = collect(
    child,
    (line) => onLine(line, endAfter),
    () => end('answer'),
  );
  child.on('error', reject);
  child.on('close', (code, signal) => resolve({ ended, code, signal, ...said }));
  // A child that dies before it has read its request shows in 'close'.
  child.stdin?.on('error', () => undefined).end(JSON.stringify(request));
  return promise.finally(() => {
    for (const timer of timers) clearTimeout(timer);
    clearInterval(memory);
    limits.signal?.removeEventListener('abort', abort);
  });
}

/** Whole lines only: the child may be ended in the middle of one. */
function collect(child: ChildProcess, onLine: (line: string) => void, onFlood: () => void) {
  const answers = child.stdio[3];
  if (!(answers instanceof Readable))
    throw new Error('The inspecting process has no channel for its answer.');
  const said = { lines: [] as string[], errors: '' };
  let [rest, bytes] = ['', 0];
  answers.setEncoding('utf8').on('data', (chunk: string) => {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes) return onFlood();
    const parts = chunk.split('\n');
    parts[0] = rest + (parts[0] ?? '');
    rest = parts.pop() ?? '';
    for (const line of parts) {
      said.lines.push(line);
      onLine(line);
    }
  });
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    said.errors = (said.errors + chunk).slice(-maxErrorBytes);
  });
  return said;
}
