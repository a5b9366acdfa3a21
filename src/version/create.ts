/** New versions: from files that come with the request, or from bytes that the project holds already. */
import { createHash } from 'node:crypto';
import { requireRole, type Viewer } from '../access/access.ts';
import { getModel, type Model } from '../model/model.ts';
import { takeNumber } from '../model/model.queries.ts';
import { checkStorable, checkText } from '../name/name.ts';
import { beginOperation } from '../operation/operation.ts';
import type { Db } from '../platform/database.ts';
import type { TagRecord } from '../platform/database.types.ts';
import { ConflictError, NotFoundError, ValidationError } from '../platform/errors.ts';
import { newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import type { GivenSignature } from '../signature/signature.ts';
import { checkTags } from '../tag/tag.ts';
import { useUploads, wholeUploads, type Upload } from '../upload/upload.ts';
import { checkMetadata, checkMetrics, type ReportedMetric } from './annotation.ts';
import { keepFiles } from './blob.ts';
import { shareBlobs } from './blob.queries.ts';
import * as queries from './creation.queries.ts';
import { checkPath, Paths, storeAll, type IncomingFile } from './incoming.ts';
import { checkExpected, insertVersion } from './insert.ts';
import { chargeFiles, checkQuota } from './quota.ts';
import { resolveParents } from './resolve.ts';
import type { Version } from './version.ts';
import { ingestJob } from './version.jobs.ts';
import { holdVersions } from './version.queries.ts';

export interface CreateVersion {
  readonly modelId: string;
  readonly files: readonly IncomingFile[];
  /** The viewer's own uploads, each whole; under their own names. */
  readonly uploads: readonly string[];
  /** Bytes that the project holds already. */
  readonly artifacts: readonly { readonly path: string; readonly digest: string }[];
  readonly message: string | null;
  readonly signature: GivenSignature | null;
  /** References; null: the newest version that was not rejected. */
  readonly parents: readonly string[] | null;
  readonly metadata: unknown;
  readonly tags: readonly TagRecord[];
  readonly metrics: readonly ReportedMetric[];
  /** The highest number that the caller knows of, 0 for none; null: any. */
  readonly expectedLatest: number | null;
}

/** What was checked before the first byte came. */
interface Checked extends Omit<CreateVersion, 'metadata' | 'parents' | 'uploads'> {
  readonly uploads: readonly Upload[];
  readonly model: Model;
  readonly metadata: string | null;
  readonly parents: readonly string[] | null;
}

interface StoredFile {
  readonly path: string;
  readonly digest: string;
  readonly bytes: number;
}

/**
 * Registers bytes as the next version of a model. Everything that can be refused is refused before the first byte is
 * stored. The version is PENDING and its ingest is queued when this returns; READY at once where the project has read the
 * same bytes before.
 * @throws NotFoundError, ForbiddenError (needs AUTHOR), ValidationError, ConflictError (`expectedLatest` is not the
 * latest, the model or a parent was deleted meanwhile).
 */
export async function createVersion(
  platform: Platform,
  viewer: Viewer,
  input: CreateVersion,
): Promise<Version> {
  const model = await getModel(platform, viewer, input.modelId);
  requireRole(viewer, model.projectId, 'AUTHOR', `Model ${model.name}`);
  const checked = await check(platform, viewer, model, input);
  const staged = await storeAll(platform, input.files);
  try {
    const version = await keepFiles(platform, staged, async (tx) => {
      const held = await heldFiles(tx, model.projectId, checked.artifacts);
      const files = [...staged, ...held, ...checked.uploads.map(uploadedFile)];
      checkSize(platform, files);
      return insert(platform, tx, viewer, checked, files);
    });
    platform.announce('ledger', model.projectId);
    await enqueue(platform, version);
    return version;
  } finally {
    for (const file of staged) await platform.store.discard(file);
  }
}

async function check(
  platform: Platform,
  viewer: Viewer,
  model: Model,
  input: CreateVersion,
): Promise<Checked> {
  const checked = {
    ...input,
    model,
    artifacts: checkArtifacts(input.artifacts),
    message: checkText(['message'], input.message),
    signature: checkSignature(input.signature),
    metadata: checkMetadata(['metadata'], input.metadata),
    tags: checkTags(['tags'], input.tags),
    metrics: checkMetrics(['metrics'], input.metrics),
    parents: input.parents && (await resolveParents(platform, viewer, model, input.parents)),
  };
  checkFiles(platform, input);
  await checkQuota(platform, platform.db, model.projectId, 0n);
  return { ...checked, uploads: await uploadsOf(platform, viewer, model, input.uploads) };
}

/** What it means is checked against the graph, later; here only that it can be kept. */
function checkSignature(signature: GivenSignature | null): GivenSignature | null {
  checkStorable(['signature'], signature);
  return signature;
}

/** Last: what is wrong beside them is told even where files are still to be chosen. */
function checkFiles(platform: Platform, input: CreateVersion): void {
  const { MAX_FILES } = platform.config;
  const kinds = (['files', 'uploads', 'artifacts'] as const).filter((kind) => input[kind].length > 0);
  const [kind = 'files', another] = kinds;
  const files = input[kind].length;
  if (another)
    throw ValidationError.of([another], `only one of files, uploads and artifacts`, `${kind}, too`);
  if (files === 0 || files > MAX_FILES) {
    const path = [kind];
    throw ValidationError.of(path, `1 to ${MAX_FILES} files`, String(files), {
      hint: 'The largest number is MAX_FILES.',
    });
  }
}

/** @throws ValidationError for an upload of another project, and for two that cannot lie side by side. */
async function uploadsOf(
  platform: Platform,
  viewer: Viewer,
  model: Model,
  ids: readonly string[],
): Promise<Upload[]> {
  const uploads = await wholeUploads(platform, viewer, ids);
  const paths = new Paths();
  for (const [index, { path, projectId }] of uploads.entries()) {
    const at = ['uploads', index];
    if (projectId !== model.projectId) {
      throw ValidationError.of(at, "an upload of the model's project", 'one of another project');
    }
    paths.add(at, path);
  }
  return uploads;
}

function uploadedFile({ path, blobDigest, bytes }: Upload): StoredFile {
  if (blobDigest === null) throw new Error(`Upload ${path} is not whole.`);
  return { path, digest: blobDigest, bytes: Number(bytes) };
}

/** @throws ValidationError */
function checkSize({ config }: Platform, files: readonly StoredFile[]): void {
  const { MAX_VERSION_BYTES: most } = config;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (bytes <= most) return;
  throw ValidationError.of(['files'], `at most ${most} bytes together`, String(bytes), {
    hint: 'The largest size of a version is MAX_VERSION_BYTES.',
  });
}

function checkArtifacts(artifacts: CreateVersion['artifacts']): CreateVersion['artifacts'] {
  const paths = new Paths();
  return artifacts.map(({ path, digest }, index) => {
    const at = ['artifacts', index, 'path'];
    const checked = checkPath(at, path);
    paths.add(at, checked);
    return { path: checked, digest };
  });
}

/** @throws ValidationError for a digest of which the project holds no bytes. */
async function heldFiles(
  tx: Db,
  projectId: string,
  artifacts: CreateVersion['artifacts'],
): Promise<StoredFile[]> {
  if (artifacts.length === 0) return [];
  const held = await shareBlobs(tx, projectId, [...new Set(artifacts.map(({ digest }) => digest))]);
  return artifacts.map(({ path, digest }, index) => {
    const bytes = held.get(digest);
    if (bytes === undefined) {
      throw ValidationError.of(
        ['artifacts', index, 'digest'],
        'the digest of a file that a version of this project holds',
        digest,
        {
          hint: 'Upload the file itself, as `files`.',
        },
      );
    }
    return { path, digest, bytes };
  });
}

async function insert(
  platform: Platform,
  tx: Db,
  viewer: Viewer,
  input: Checked,
  files: readonly StoredFile[],
): Promise<Version> {
  const { model } = input;
  const number = await takeNumber(tx, model.id);
  if (number === undefined) throw new NotFoundError(`Model ${model.name}`);
  if (input.expectedLatest !== null) {
    checkExpected(input.expectedLatest, (await queries.findNewest(tx, model.id)).number);
  }
  await useUploads(tx, input.uploads);
  const id = newId();
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const digest = digestOf(files);
  const paths = files.map(({ path }) => path);
  const alike = await queries.findTwin(tx, model.projectId, digest, paths, input.signature);
  const held = await holdVersions(tx, [...(input.parents ?? []), ...(alike ? [alike.id] : [])]);
  if (input.parents?.some((parent) => !held.has(parent))) {
    throw new ConflictError('A parent was deleted meanwhile.', null, 'Look at the versions again.');
  }
  // Its bytes stay while it does.
  const twin = alike && held.has(alike.id) ? alike : undefined;
  const operation = twin
    ? null
    : await beginOperation(tx, viewer, {
        projectId: model.projectId,
        kind: ingestJob.name,
        subjectId: id,
        unit: 'bytes',
        total: BigInt(bytes),
      });
  const whole: queries.NewVersion = {
    ...input,
    id,
    projectId: model.projectId,
    modelId: model.id,
    number,
    status: twin ? 'READY' : 'PENDING',
    author: viewer,
    format: twin?.format ?? 'OPAQUE',
    bytes,
    digest,
    givenSignature: input.signature,
    signature: twin?.signature ?? null,
    modelFile: twin?.modelFile ?? null,
    operationId: operation?.id ?? null,
    origin: 'UPLOADED',
    originVersionId: null,
    inspectedAs: twin?.id ?? null,
    artifacts: [...files.map(uploaded), ...(twin?.serving ? [twin.serving] : [])],
  };
  await chargeFiles(platform, tx, model.projectId, files);
  return insertVersion(tx, model, whole);
}

function uploaded({ path, digest, bytes }: StoredFile): queries.NewArtifact {
  const mediaType = path.endsWith('.onnx') ? 'application/onnx' : 'application/octet-stream';
  return { role: 'UPLOADED', path, digest, bytes, mediaType, transform: null };
}

/** Redis may be away: then the sweep enqueues what was committed. */
async function enqueue(platform: Platform, { id, operationId }: Version): Promise<void> {
  if (operationId === null) return;
  try {
    await platform.queue.add(ingestJob.queue, ingestJob.name, operationId, { operationId });
  } catch (error) {
    platform.logger.warn({ err: error, version: id }, 'not queued yet; the sweep will');
  }
}

/** One file: its SHA-256. Several: the SHA-256 of their sorted manifest, a line `<digest>  <path>` each (as sha256sum prints). */
function digestOf(files: readonly StoredFile[]): string {
  if (files.length === 1) return (files[0] as StoredFile).digest;
  const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const manifest = sorted.map(({ path, digest }) => `${digest}  ${path}\n`).join('');
  return createHash('sha256').update(manifest).digest('hex');
}
