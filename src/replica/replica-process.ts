/** Starts replica processes and tells how they ended. */
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ReplicaExit, ReplicaReady } from '../inference/replica-status.ts';
import type { Config } from '../platform/config.ts';
import { identify, signal, type ProcessIdentity } from '../platform/process-identity.ts';
import type { Signature } from '../signature/signature.ts';
import { TOKEN_VARIABLE, type Batching, type Launch } from './process/launch.ts';
import { socketFolder } from './socket-folder.ts';

const entry = fileURLToPath(new URL('./replica.process.ts', import.meta.url));

export interface Served {
  readonly modelPath: string;
  readonly modelName: string;
  readonly versionNumber: number;
  readonly signature: Signature;
  readonly threads: number;
  readonly batching: Batching;
}

export interface Launched {
  readonly identity: ProcessIdentity;
  /** Where it will listen; for TCP the port is known only from its ready file. */
  readonly endpoint: string | null;
  readonly token: string | null;
}

/** The files of one replica, by its id: what it is told, and what it tells. */
export class ReplicaFiles {
  readonly #runFolder: string;
  readonly #folder: string;

  constructor(config: Config, replicaId: string) {
    this.#runFolder = join(config.DATA_DIR, 'run/replicas');
    this.#folder = join(this.#runFolder, replicaId);
  }

  /** Makes way for a start. */
  prepare(): { launchFile: string; readyFile: string; exitFile: string; logFile: string } {
    this.#endStray();
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const at = (name: string): string => join(this.#folder, name);
    for (const name of ['ready', 'exit']) rmSync(at(name), { force: true });
    return { launchFile: at('launch'), readyFile: at('ready'), exitFile: at('exit'), logFile: at('stderr') };
  }

  /** Written before anything else is done with the process: whoever cleans up after us ends it. */
  recordIdentity(identity: ProcessIdentity): void {
    writeFileSync(`${this.#folder}.json`, JSON.stringify(identity), { mode: 0o600 });
  }

  /**
   * Ends the process of an earlier start, if it still runs: its worker was killed, or lost the database, between
   * starting it and saying so in the row. It would write to the same files.
   */
  #endStray(): void {
    const identity = readJson(`${this.#folder}.json`) as ProcessIdentity | undefined;
    if (identity) signal(identity, 'SIGKILL');
  }

  ready(): ReplicaReady | undefined {
    return readJson(join(this.#folder, 'ready')) as ReplicaReady | undefined;
  }

  exit(): ReplicaExit | undefined {
    return readJson(join(this.#folder, 'exit')) as ReplicaExit | undefined;
  }

  remove(): void {
    this.#endStray();
    rmSync(`${this.#folder}.json`, { force: true });
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * Starts a replica, detached and without pipes, so that it outlives the worker. Its token goes through its
 * environment, its errors into a file.
 * @param onExit called when it ends while this process still runs.
 */
export function startReplica(
  config: Config,
  replicaId: string,
  served: Served,
  onExit: () => void,
): Launched {
  const files = new ReplicaFiles(config, replicaId);
  const { launchFile, readyFile, exitFile, logFile } = files.prepare();
  const advertised = config.REPLICA_ADVERTISE_HOST;
  const socketPath = join(socketFolder(config.DATA_DIR), `${randomUUID().slice(0, 13)}.sock`);
  const token = advertised ? randomBytes(32).toString('base64url') : null;
  const launch: Launch = {
    ...served,
    listen: advertised ? { host: '0.0.0.0', port: 0 } : { socketPath },
    leaseSeconds: config.REPLICA_LEASE_SECONDS,
    // The header in front of the tensors is the api's own, and may be longer than the caller's.
    maxBodyBytes: config.MAX_INFER_BYTES + config.MAX_BODY_BYTES,
    readyFile,
    exitFile,
  };
  writeFileSync(launchFile, JSON.stringify(launch), { mode: 0o600 });
  const log = openSync(logFile, 'w', 0o600);
  try {
    const child = spawn(process.execPath, [entry, launchFile], {
      detached: true,
      stdio: ['ignore', 'ignore', log],
      env: token ? { [TOKEN_VARIABLE]: token } : {},
    });
    child.once('exit', onExit);
    // Where it could not be started at all, the missing pid says so.
    child.once('error', () => undefined);
    child.unref();
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (!identity) throw new Error('The replica process could not be started.');
    files.recordIdentity(identity);
    return { identity, endpoint: advertised ? null : `unix:${socketPath}`, token };
  } finally {
    closeSync(log);
  }
}

/** Where a replica that listens on TCP is reached from other hosts. */
export function advertisedEndpoint(ready: ReplicaReady, host: string | undefined): string {
  if (!host) return ready.endpoint;
  const url = new URL(ready.endpoint);
  url.hostname = host;
  return url.origin;
}
