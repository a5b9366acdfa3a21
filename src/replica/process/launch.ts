import { readFileSync } from 'node:fs';
import type { Signature } from '../../signature/signature.ts';

/** How requests that wait share a run. */
export interface Batching {
  /** Rows of a shared run, at most; 1: every request runs alone. */
  readonly maxRows: number;
  /** Milliseconds that a run may wait for company while others are being answered; a lone request never waits. */
  readonly maxDelayMs: number;
}

/** How a replica process is told what to serve: a JSON file, its path the only argument. */
export interface Launch {
  readonly modelPath: string;
  readonly modelName: string;
  readonly versionNumber: number;
  readonly signature: Signature;
  /** Threads within one operator. */
  readonly threads: number;
  readonly batching: Batching;
  /** A Unix socket for callers on this host, else TCP (port 0 picks a free one), which needs a token. */
  readonly listen: { readonly socketPath: string } | { readonly host: string; readonly port: number };
  /** Without `POST /lease` for this long the replica ends itself. */
  readonly leaseSeconds: number;
  /** Files that it writes: `ReplicaReady` once it listens, `ReplicaExit` when it ends by its own decision. */
  readonly readyFile: string;
  readonly exitFile: string;
  /** Largest request body; default 256 MiB. */
  readonly maxBodyBytes?: number;
}

/** The variable with the token that callers over TCP must send; a command line can be read by every user. */
export const TOKEN_VARIABLE = 'REPLICA_TOKEN';

/**
 * The launch file and the token (null where there is none).
 * The one reader of the environment beside config.ts: a replica has no other configuration, and must start fast.
 */
export function readLaunch(path: string): { readonly launch: Launch; readonly token: string | null } {
  const launch = JSON.parse(readFileSync(path, 'utf8')) as Launch;
  const token = process.env[TOKEN_VARIABLE] ?? null;
  delete process.env[TOKEN_VARIABLE];
  return { launch, token: token === '' ? null : token };
}
