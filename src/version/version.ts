/** Versions: immutable bytes with what they mean. */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { may, requireRole, type Viewer } from '../access/access.ts';
import { getModel, type Model } from '../model/model.ts';
import { takeNumber } from '../model/model.queries.ts';
import { checkText, shown } from '../name/name.ts';
import { isPlainRelativePath } from '../onnx/external-data.ts';
import { beginOperation } from '../operation/operation.ts';
import { toPage, toPageRequest, type Page } from '../paging/paging.ts';
import type { StagedFile } from '../platform/artifact-store.ts';
import { NotFoundError, ValidationError } from '../platform/errors.ts';
import { isId, newId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import { findProject } from '../project/project.ts';
import { findModelByName } from '../model/model.queries.ts';
import type { GivenSignature } from '../signature/signature.ts';
import { keepFiles } from './blob.ts';
import { ingestJob } from './version.jobs.ts';
import * as queries from './version.queries.ts';
import type { VersionRow } from './version.row.ts';

export type Version = VersionRow;
export type { ListedVersion } from './version.row.ts';
export type Artifact = queries.ArtifactRow;

/** A file on its way: nothing of it is read before `open` is called, and files come in the sender's order. */
export interface IncomingFile {
  /** The name that its sender gave it (`/` separates folders) and its bytes. */
  open(): Promise<{ readonly fileName: string; readonly stream: Readable }>;
}

/** A stored file under its checked path. */
interface NamedFile extends StagedFile {
  readonly path: string;
}

export interface CreateVersion {
  readonly modelId: string;
  readonly files: readonly IncomingFile[];
  readonly message: string | null;
  readonly signature: GivenSignature | null;
}

/**
 * Registers bytes as the next version of a model. Everything that can be refused is refused before the first byte
 * is stored; the version is PENDING and its ingest is queued when this returns.
 * @throws NotFoundError, ForbiddenError (needs AUTHOR), ValidationError.
 */
export async function createVersion(
  platform: Platform,
  viewer: Viewer,
  input: CreateVersion,
): Promise<Version> {
  const model = await getModel(platform, viewer, input.modelId);
  requireRole(viewer, model.projectId, 'AUTHOR', `Model ${model.name}`);
  const message = checkText(['message'], input.message);
  const { MAX_FILES } = platform.config;
  if (input.files.length === 0 || input.files.length > MAX_FILES) {
    throw ValidationError.of(['files'], `1 to ${MAX_FILES} files`, String(input.files.length), {
      hint: 'The largest number is MAX_FILES.',
    });
  }
  const staged = await storeAll(platform, input.files);
  try {
    const version = await keepFiles(platform, staged, async (tx) => {
      const id = newId();
      const bytes = staged.reduce((sum, file) => sum + file.bytes, 0);
      const operation = await beginOperation(tx, viewer, {
        projectId: model.projectId,
        kind: ingestJob.name,
        subjectId: id,
        unit: 'bytes',
        total: BigInt(bytes),
      });
      const inserted = await queries.insertVersion(tx, {
        id,
        projectId: model.projectId,
        modelId: model.id,
        number: await takeNumber(tx, model.id),
        message,
        authorName: viewer.name,
        authorKind: viewer.kind,
        format: 'ONNX',
        bytes,
        digest: digestOf(staged),
        givenSignature: input.signature ? JSON.stringify(input.signature) : null,
        operationId: operation.id,
      });
      await queries.insertArtifacts(
        tx,
        staged.map((file) => ({
          versionId: id,
          role: 'UPLOADED' as const,
          path: file.path,
          digest: file.digest,
          blobDigest: file.digest,
          bytes: file.bytes,
          mediaType: file.path.endsWith('.onnx') ? 'application/onnx' : 'application/octet-stream',
        })),
      );
      return inserted;
    });
    await enqueue(platform, version);
    return version;
  } finally {
    for (const file of staged) await platform.store.discard(file);
  }
}

/** Redis may be away: then the sweep enqueues what was committed. */
async function enqueue(platform: Platform, version: Version): Promise<void> {
  try {
    await platform.queue.add(ingestJob.queue, ingestJob.name, version.operationId, {
      operationId: version.operationId,
    });
  } catch (error) {
    platform.logger.warn({ err: error, version: version.id }, 'not queued yet; the sweep will');
  }
}

/** Stores all or nothing: when one fails, those already stored are discarded. */
async function storeAll(platform: Platform, files: readonly IncomingFile[]): Promise<NamedFile[]> {
  const seen = new Set<string>();
  const results = await Promise.allSettled(files.map((file, index) => storeOne(platform, file, index, seen)));
  const failed = results.find((result) => result.status === 'rejected');
  const stored = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  if (!failed) return stored;
  for (const file of stored) await platform.store.discard(file);
  throw failed.reason;
}

/** Its name is checked before the first of its bytes is stored. */
async function storeOne(
  platform: Platform,
  file: IncomingFile,
  index: number,
  seen: Set<string>,
): Promise<NamedFile> {
  const { fileName, stream } = await file.open();
  try {
    const path = checkPath(['files', index], fileName);
    if (seen.has(path)) throw ValidationError.of(['files', index], 'each file name once', shown(path));
    seen.add(path);
    return { path, ...(await platform.store.stage(stream, platform.config.MAX_FILE_BYTES)) };
  } catch (error) {
    stream.resume();
    throw error;
  }
}

function checkPath(at: readonly (string | number)[], fileName: string): string {
  const path = fileName.normalize('NFC');
  if (path.length > 255 || !isPlainRelativePath(path)) {
    throw ValidationError.of(
      at,
      'a file name of at most 255 characters without "..", "\\" or a leading "/"',
      shown(path),
    );
  }
  return path;
}

/** One file: its SHA-256. Several: the SHA-256 of their sorted manifest, a line `<digest>  <path>` each (as sha256sum prints). */
function digestOf(files: readonly NamedFile[]): string {
  if (files.length === 1) return (files[0] as NamedFile).digest;
  const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const manifest = sorted.map(({ path, digest }) => `${digest}  ${path}\n`).join('');
  return createHash('sha256').update(manifest).digest('hex');
}

/** @throws NotFoundError when it does not exist for the viewer. */
async function getVersion(platform: Platform, viewer: Viewer, id: string): Promise<Version> {
  const [version] = await queries.findVersions(platform.db, [id]);
  if (!version || !may(viewer, version.projectId, 'READER')) throw new NotFoundError('Version');
  return version;
}

/** `project/model:number`; the parts are names, so none holds a slash or colon. */
const reference = /^([^/:]+)\/([^/:]+):([1-9][0-9]{0,8})$/;

/**
 * The version that a reference means: its id, or `project/model:number`.
 * @throws ValidationError when it is neither, NotFoundError when there is none for the viewer.
 */
export async function resolveVersion(
  platform: Platform,
  viewer: Viewer,
  path: readonly string[],
  ref: string,
): Promise<Version> {
  if (isId(ref)) return getVersion(platform, viewer, ref);
  const [, projectName, modelName, number] = reference.exec(ref) ?? [];
  if (projectName === undefined || modelName === undefined) {
    throw ValidationError.of(
      path,
      "a version's id, or project/model:number such as demo/fraud:3",
      shown(ref),
    );
  }
  const project = await findProject(platform, viewer, projectName);
  const model = project && (await findModelByName(platform.db, project.id, modelName.normalize('NFC')));
  const version = model && (await queries.findVersionByNumber(platform.db, model.id, Number(number)));
  if (!version) throw new NotFoundError(`Version ${ref}`);
  return version;
}

/** A page of a model's versions, newest first. */
export async function listVersions(
  platform: Platform,
  model: Model,
  args: { first?: number | null | undefined; after?: string | null | undefined },
): Promise<Page<Version>> {
  const request = toPageRequest(args, 1);
  return toPage(await queries.listVersions(platform.db, model.id, request), request);
}
