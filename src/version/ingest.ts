/** Ingest: PENDING → INGESTING → READY or REJECTED. Safe to run twice and to be killed at any line. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Running } from '../operation/operation.ts';
import { ownName } from '../platform/abandoned.ts';
import { DomainError } from '../platform/errors.ts';
import type { Db } from '../platform/database.ts';
import type { Platform } from '../platform/platform.ts';
import { appendTo, system } from '../ledger/ledger.ts';
import { findModels } from '../model/model.queries.ts';
import { freeBlob, keepFiles } from './blob.ts';
import { releaseBlobs } from './blob.queries.ts';
import { inspectOnnx, type InspectionResult } from './inspection.ts';
import type { Artifact, Version } from './version.ts';
import { versionEvent } from './version.events.ts';
import * as queries from './version.queries.ts';

/** The upload cannot be served; its words are for the person who uploaded it. */
class RejectedError extends DomainError {
  readonly code = 'REJECTED';
}

type Ready = Extract<InspectionResult, { verdict: 'ready' }>;

/** Does the ingest of the operation's version. */
export async function ingestVersion(platform: Platform, running: Running): Promise<void> {
  const { operation } = running;
  const [version] = await queries.findVersions(platform.db, [operation.subjectId]);
  if (!version || (version.status !== 'PENDING' && version.status !== 'INGESTING')) return;
  // Not told again by whoever takes it over.
  if (version.status === 'PENDING') {
    await platform.database.db.transaction().execute(async (tx) => {
      await tell(tx, await queries.setVersion(tx, version.id, { status: 'INGESTING' }));
    });
    announce(platform, version);
  }
  const files = await queries.listArtifacts(platform.db, [version.id], 'UPLOADED');
  running.progress(0n, version.bytes, 'reading the model');
  await running.log(`Reading ${files.map((file) => file.path).join(', ')}.`);
  const workDir = join(workFolder(platform), ownName());
  await mkdir(workDir, { recursive: true, mode: 0o700 });
  try {
    const result = await inspect(platform, running, files, workDir, version.givenSignature);
    if (result.verdict === 'rejected') throw new RejectedError(result.reason);
    for (const warning of result.warnings) await running.log(`Warning: ${warning}`);
    await accept(platform, running, version, result);
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
  announce(platform, version);
}

function announce(platform: Platform, { id, projectId }: { id: string; projectId: string }): void {
  platform.announce('version', id);
  platform.announce('ledger', projectId);
}

/** Writes into the ledger what a version has become. */
async function tell(tx: Db, version: Version | undefined): Promise<void> {
  const [model] = version ? await findModels(tx, [version.modelId]) : [];
  if (!version || !model || version.status === 'PENDING' || version.status === 'QUARANTINED') return;
  const reason = version.statusReason;
  await appendTo(
    tx,
    version.projectId,
    system,
  )(versionEvent(`VERSION_${version.status}`, model, version, { reason }));
}

/** Where this host's ingests work, each in a folder of its own. */
export function workFolder(platform: Platform): string {
  return join(platform.config.DATA_DIR, 'work');
}

function inspect(
  platform: Platform,
  running: Running,
  files: readonly Artifact[],
  workDir: string,
  given: Parameters<typeof inspectOnnx>[0]['given'],
): Promise<InspectionResult> {
  return inspectOnnx(
    {
      files: files.map((file) => ({ path: file.path, storedAt: platform.store.pathOf(file.digest) })),
      given,
      servingTo: join(workDir, 'serving.onnx'),
      workDir,
    },
    {
      timeoutSeconds: platform.config.INGEST_TIMEOUT_SECONDS,
      memoryBytes: platform.config.INGEST_MEMORY_BYTES,
      signal: running.signal,
    },
  );
}

/** The derived graph gets its name, then the version becomes READY in the transaction that ends the operation. */
async function accept(
  platform: Platform,
  running: Running,
  { id: versionId, projectId }: Version,
  result: Ready,
): Promise<void> {
  const { served } = result;
  running.signal.throwIfAborted();
  const staged = served ? [await platform.store.stageFile(served.path)] : [];
  if (served && staged[0]) {
    const [file] = staged;
    await running.log(`Serving a derived graph (${served.transform}); the uploaded bytes stay as they are.`);
    await keepFiles(platform, staged, async (tx) => {
      await queries.deleteServing(tx, versionId);
      await queries.insertArtifacts(tx, [
        {
          versionId,
          projectId,
          role: 'SERVING',
          path: result.modelFile,
          digest: file.digest,
          blobDigest: file.digest,
          bytes: file.bytes,
          mediaType: 'application/onnx',
          transform: served.transform,
        },
      ]);
    });
  }
  await running.log('The model loads and its signature is known.');
  await running.finish(async (tx) => {
    const ready = await queries.setVersion(tx, versionId, {
      status: 'READY',
      statusReason: null,
      signature: result.signature,
      modelFile: result.modelFile,
    });
    await tell(tx, ready);
  });
}

/** What a failed or cancelled ingest leaves: a REJECTED version that tells why, and no bytes. */
export async function rejectVersion(
  platform: Platform,
  tx: Db,
  versionId: string,
  reason: string,
): Promise<() => Promise<void>> {
  const version = await queries.setVersion(tx, versionId, { status: 'REJECTED', statusReason: reason });
  const digests = version ? await releaseBlobs(tx, [versionId]) : [];
  await tell(tx, version);
  return async () => {
    for (const digest of digests) await freeBlob(platform, digest);
    if (version) announce(platform, version);
  };
}
