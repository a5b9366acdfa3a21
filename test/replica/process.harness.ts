/** Starts real replica processes on fixture models. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ReplicaClient } from '#src/inference/replica-client.ts';
import type { ReplicaExit, ReplicaReady, ReplicaStatus } from '#src/inference/replica-status.ts';
import { TOKEN_VARIABLE, type Launch } from '#src/replica/process/launch.ts';
import type { Signature, TensorSpec } from '#src/signature/signature.ts';
import type { TensorInput } from '#src/tensor/parse.ts';

const models = fileURLToPath(new URL('../fixtures/models', import.meta.url));
const entry = fileURLToPath(new URL('../../src/replica/replica.process.ts', import.meta.url));

export interface FixtureVersion {
  readonly version: string;
  readonly file: string;
  readonly inputs?: readonly TensorSpec[];
  readonly outputs?: readonly TensorSpec[];
}

export interface FixtureTensor extends TensorInput {
  readonly shape: readonly number[];
  readonly data: readonly unknown[];
}

interface FixtureRequest {
  readonly request: { readonly id?: string; readonly inputs: readonly FixtureTensor[] };
  readonly outputs: readonly FixtureTensor[];
}

export interface FixturePredictions {
  readonly tolerance: number;
  readonly requests: readonly FixtureRequest[];
  readonly invalid_requests?: readonly {
    readonly why: string;
    readonly request: { readonly inputs: unknown };
  }[];
}

const read = (...path: string[]): unknown => JSON.parse(readFileSync(join(models, ...path), 'utf8'));

export const fixtureVersions = (model: string): readonly FixtureVersion[] =>
  (read(model, 'versions.json') as { versions: FixtureVersion[] }).versions;

export const fixturePredictions = (model: string, version: string): FixturePredictions =>
  (read(model, 'predictions.json') as Record<string, FixturePredictions>)[version]!;

export function fixturePath(model: string, version: string): string {
  return join(models, model, fixtureVersions(model).find((one) => one.version === version)!.file);
}

/** The version's tensors, without meaning. `nullable`: numeric inputs take NaN. */
export function fixtureSignature(model: string, version: string, nullable = false): Signature {
  const { inputs = [], outputs = [] } = fixtureVersions(model).find((one) => one.version === version)!;
  return {
    inputs: inputs.map((spec) => ({ ...spec, nullable: nullable && spec.datatype !== 'BYTES' })),
    outputs: outputs.map((spec) => ({ ...spec, nullable: false })),
    columns: null,
    classes: null,
    positiveClass: null,
    task: 'OTHER',
    labelOutput: null,
    probabilitiesOutput: null,
    valueOutput: null,
  };
}

/** The content of a JSON file, as soon as it is there. */
async function fileOf<T>(path: string, orGone: Promise<unknown>): Promise<T> {
  const watcher = watch(dirname(path));
  try {
    while (!existsSync(path)) {
      const gone = Symbol('gone');
      const seen = await Promise.race([once(watcher, 'change'), orGone.then(() => gone)]);
      if (seen === gone && !existsSync(path)) throw new Error(`The process ended without writing ${path}.`);
    }
  } finally {
    watcher.close();
  }
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}

export class RunningReplica {
  readonly child: ChildProcess;
  readonly launch: Launch;
  readonly ready: ReplicaReady;
  readonly client: ReplicaClient;
  /** Resolves with the exit code, or null when it was killed. */
  readonly exited: Promise<number | null>;

  readonly #folder: string;

  constructor(
    child: ChildProcess,
    launch: Launch,
    ready: ReplicaReady,
    token: string | null,
    exited: Promise<number | null>,
    folder: string,
  ) {
    this.#folder = folder;
    this.child = child;
    this.launch = launch;
    this.ready = ready;
    this.exited = exited;
    const { modelName, versionNumber } = launch;
    this.client = new ReplicaClient({ endpoint: ready.endpoint, modelName, versionNumber, token });
  }

  /** Asks until it has loaded and warmed up, or failed. */
  async settled(): Promise<ReplicaStatus> {
    for (;;) {
      const status = await this.client.renewLease(30_000);
      if (status.state !== 'LOADING' && status.state !== 'WARMING') return status;
    }
  }

  exit(): Promise<ReplicaExit> {
    return fileOf<ReplicaExit>(this.launch.exitFile, this.exited);
  }

  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
    await this.client.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A replica that listens; `settled` tells when it serves. */
export async function startReplica(
  model: string,
  version: string,
  options: { readonly launch?: Partial<Launch>; readonly token?: string } = {},
): Promise<RunningReplica> {
  const folder = mkdtempSync(join(tmpdir(), 'replica-'));
  const launch: Launch = {
    modelPath: fixturePath(model, version),
    modelName: model,
    versionNumber: 7,
    signature: fixtureSignature(model, version),
    threads: 1,
    batching: { maxRows: 256, maxDelayMs: 0 },
    listen: { socketPath: join(folder, 'socket') },
    leaseSeconds: 120,
    readyFile: join(folder, 'ready.json'),
    exitFile: join(folder, 'exit.json'),
    ...options.launch,
  };
  const launchFile = join(folder, 'launch.json');
  writeFileSync(launchFile, JSON.stringify(launch));
  const env = { ...process.env, [TOKEN_VARIABLE]: options.token ?? '' };
  const child = spawn(process.execPath, [entry, launchFile], { stdio: 'ignore', detached: true, env });
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const ready = await fileOf<ReplicaReady>(launch.readyFile, exited).catch((error: unknown) => {
    rmSync(folder, { recursive: true });
    throw error;
  });
  return new RunningReplica(child, launch, ready, options.token ?? null, exited, folder);
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: Buffer;
}

/** A request of any HTTP client. */
export function http(
  endpoint: string,
  method: string,
  path: string,
  options: { readonly headers?: Record<string, string>; readonly body?: Buffer | string } = {},
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const target = endpoint.startsWith('unix:')
      ? { socketPath: endpoint.slice('unix:'.length) }
      : { host: new URL(endpoint).hostname, port: new URL(endpoint).port };
    const { headers = {}, body } = options;
    const request = httpRequest({ ...target, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** Largest difference between a tensor and a fixture's, relative to max(1, |expected|); Infinity where text differs. */
export function difference(actual: readonly unknown[], expected: readonly unknown[]): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  actual.forEach((value, at) => {
    const wanted = expected[at];
    if (value === wanted) return;
    const apart =
      typeof value === 'number' && typeof wanted === 'number'
        ? Math.abs(value - wanted) / Math.max(1, Math.abs(wanted))
        : Number.POSITIVE_INFINITY;
    largest = Math.max(largest, apart);
  });
  return largest;
}
