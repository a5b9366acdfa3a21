/** Ingest: PENDING → INGESTING → READY, QUARANTINED or REJECTED. Safe to run twice and to be killed at any line. */
import { link, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Running } from '../operation/operation.ts';
import { ownName } from '../platform/abandoned.ts';
import { DomainError } from '../platform/errors.ts';
import type { Db } from '../platform/database.ts';
import type { Platform } from '../platform/platform.ts';
import { appendTo, system } from '../ledger/ledger.ts';
import { findModels } from '../model/model.queries.ts';
import { freeBlob, keepFiles, release } from './blob.ts';
import { inspectOnnx, type InspectionResult } from './inspection.ts';
import type { InspectionFile } from './inspection.schema.ts';
import { keepInspection } from './safety.queries.ts';
import { inspectFiles, reasonsOf, type SafetyReport } from './safety.ts';
import type { Artifact, Version } from './version.ts';
import { versionEvent } from './version.events.ts';
import * as queries from './version.queries.ts';

/** The upload cannot be served; its words are for the person who uploaded it. */
class RejectedError extends DomainError {
  readonly code = 'REJECTED';
}

/** Somebody else has ended the ingest, while this process could not see it: nothing of it may take effect. */
class IngestOver extends Error {}

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
  const workDir = join(workFolder(platform), ownName());
  await mkdir(workDir, { recursive: true, mode: 0o700 });
  try {
    await ingestFiles(platform, running, version, workDir);
  } catch (error) {
    if (!(error instanceof IngestOver)) throw error;
    running.logger.warn('the ingest has been ended by somebody else');
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
  announce(platform, version);
}

async function ingestFiles(
  platform: Platform,
  running: Running,
  version: Version,
  workDir: string,
): Promise<void> {
  const files = await queries.listArtifacts(platform.db, [version.id], 'UPLOADED');
  const held = await localised(platform, running, files, workDir);
  const report = await lookInto(platform, running, version, files, held);
  const isOnnx = report.format === 'ONNX';
  const model = isOnnx ? await read(platform, running, version, report, held, workDir) : null;
  if (!isOnnx && version.givenSignature) {
    throw new RejectedError(`A signature can be given for an ONNX model only; this is ${report.format}.`);
  }
  await accept(platform, running, version, report, model);
}

/** The files on this host. */
async function localised(
  platform: Platform,
  running: Running,
  files: readonly Artifact[],
  workDir: string,
): Promise<InspectionFile[]> {
  const held: InspectionFile[] = [];
  for (const { path, digest } of files) {
    const storedAt = await platform.store.localise(digest, running.signal);
    held.push({ path, storedAt: await hold(storedAt, join(workDir, `file-${held.length}`)) });
  }
  return held;
}

/**
 * A copy of what is kept elsewhere may make room for others while it is read: a link to it stays. Where none can be made,
 * the store is a folder on another disk, whose files stay anyway.
 */
async function hold(storedAt: string, linkAt: string): Promise<string> {
  return link(storedAt, linkAt).then(
    () => linkAt,
    () => storedAt,
  );
}

/** The safety inspection. What it saw is kept, whatever becomes of the version. @throws RejectedError */
async function lookInto(
  platform: Platform,
  running: Running,
  version: Version,
  files: readonly Artifact[],
  located: readonly InspectionFile[],
): Promise<SafetyReport> {
  await running.log(`Looking into ${files.map((file) => file.path).join(', ')}.`);
  const progress = (looked: number, readBytes: number): void => {
    const before = files.slice(0, looked).reduce((sum, file) => sum + file.bytes, 0n);
    running.progress(before + BigInt(readBytes), version.bytes, 'looking into the files');
  };
  progress(0, 0);
  const report = await inspectFiles([...located], limits(platform, running), progress);
  running.signal.throwIfAborted();
  await keepInspection(platform.db, version.id, report);
  await running.log(`Found ${report.verdict}, ${report.format}.`);
  if (report.verdict === 'DANGEROUS' || report.verdict === 'UNREADABLE') {
    throw new RejectedError(reasonsOf(report));
  }
  return report;
}

const limits = ({ config }: Platform, { signal }: Running) => ({
  timeoutSeconds: config.INGEST_TIMEOUT_SECONDS,
  memoryBytes: config.INGEST_MEMORY_BYTES,
  signal,
});

/**
 * Reads the ONNX model; null where it cannot be served and is suspicious anyway.
 * @throws RejectedError
 */
async function read(
  platform: Platform,
  running: Running,
  { givenSignature: given }: Version,
  { verdict }: SafetyReport,
  files: readonly InspectionFile[],
  workDir: string,
): Promise<Ready | null> {
  await running.log('Reading the model.');
  const servingTo = join(workDir, 'serving.onnx');
  const result = await inspectOnnx({ files, given, servingTo, workDir }, limits(platform, running));
  if (result.verdict === 'ready') {
    for (const warning of result.warnings) await running.log(`Warning: ${warning}`);
    return result;
  }
  if (verdict === 'SAFE') throw new RejectedError(result.reason);
  await running.log(`It cannot be served: ${result.reason}`);
  return null;
}

function announce(platform: Platform, { id, projectId }: { id: string; projectId: string }): void {
  platform.announce('version', id);
  platform.announce('ledger', projectId);
}

/** Writes into the ledger what a version has become. */
async function tell(tx: Db, version: Version | undefined): Promise<void> {
  const [model] = version ? await findModels(tx, [version.modelId]) : [];
  if (!version || !model || version.status === 'PENDING') return;
  const { statusReason: reason, format } = version;
  await appendTo(
    tx,
    version.projectId,
    system,
  )(versionEvent(`VERSION_${version.status}`, model, version, { reason, format }));
}

/** Where this host's ingests work, each in a folder of its own. */
export function workFolder(platform: Platform): string {
  return join(platform.config.DATA_DIR, 'work');
}

/**
 * The derived graph gets its name, then the version becomes READY or QUARANTINED in the transaction that ends the
 * operation.
 */
async function accept(
  platform: Platform,
  running: Running,
  { id: versionId, projectId }: Version,
  report: SafetyReport,
  model: Ready | null,
): Promise<void> {
  running.signal.throwIfAborted();
  if (model?.served) {
    await running.log(
      `Serving a derived graph (${model.served.transform}); the uploaded bytes stay as they are.`,
    );
    await keepServing(platform, { versionId, projectId }, model.modelFile, model.served);
  }
  if (model) await running.log('The model loads and its signature is known.');
  const isSafe = report.verdict === 'SAFE';
  await running.finish(async (tx) => {
    const row = await queries.setVersion(tx, versionId, {
      status: isSafe ? 'READY' : 'QUARANTINED',
      statusReason: isSafe ? null : reasonsOf(report),
      ...(model ? { signature: model.signature, modelFile: model.modelFile } : {}),
    });
    await tell(tx, row);
  });
}

async function keepServing(
  platform: Platform,
  version: { readonly versionId: string; readonly projectId: string },
  path: string,
  served: NonNullable<Ready['served']>,
): Promise<void> {
  const file = await platform.store.stageFile(served.path);
  await keepFiles(platform, [file], async (tx) => {
    // What a version that is over would hold, nobody would ever let go of.
    if (!(await queries.holdIngesting(tx, version.versionId))) throw new IngestOver();
    await queries.deleteServing(tx, version.versionId);
    await queries.insertArtifacts(tx, [
      {
        ...version,
        role: 'SERVING',
        path,
        digest: file.digest,
        blobDigest: file.digest,
        bytes: file.bytes,
        mediaType: 'application/onnx',
        transform: served.transform,
      },
    ]);
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
  const digests = version ? await release(tx, version.projectId, { versionId }) : [];
  await tell(tx, version);
  return async () => {
    for (const digest of digests) await freeBlob(platform, digest);
    if (version) announce(platform, version);
  };
}
