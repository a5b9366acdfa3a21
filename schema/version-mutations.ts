import { createVersion } from '#src/version/create.ts';
import { restoreVersion } from '#src/version/restore.ts';
import { deleteVersion, setArchived } from '#src/version/retire.ts';
import { releaseFromQuarantine } from '#src/version/release.ts';
import { updateVersion } from '#src/version/version.ts';
import type { GivenSignature } from '#src/signature/signature.ts';
import { NotReadyError } from '#src/platform/errors.ts';
import { builder } from './builder.ts';
import { expected } from './errors.ts';
import { idOf, refOf } from './global-id.ts';
import { SignatureInput } from './signature.ts';
import { TagInput } from './tag.ts';
import { VersionType } from './version.ts';

const MetricInput = builder.inputType('MetricInput', {
  description: 'A number that tells how good a version is.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'Letters, digits, ".", "_", "-"; such as accuracy.' }),
    value: t.float({ required: true, description: 'Its value.' }),
  }),
});
const ArtifactInput = builder.inputType('ArtifactInput', {
  description: 'A file whose bytes the project holds already.',
  fields: (t) => ({
    path: t.string({ required: true, description: 'Its name in the new version; "/" separates folders.' }),
    digest: t.field({
      type: 'Sha256',
      required: true,
      description: 'SHA-256 of a file of some version of the same project.',
    }),
  }),
});

const CreateVersionInput = builder.inputType('CreateVersionInput', {
  description: 'A new version.',
  fields: (t) => ({
    model: t.id({ required: true, description: "The model's global id." }),
    files: t.field({
      type: ['Upload'],
      description:
        'The files, of any format; an ONNX model with its external data beside it. Either these, `uploads` or `artifacts`.',
    }),
    uploads: t.idList({
      description: 'The same, as uploads of your own that are whole: each is used up by the version.',
    }),
    artifacts: t.field({
      type: [ArtifactInput],
      description: 'The same, of bytes that the project holds already: nothing is sent.',
    }),
    message: t.string({ description: 'What is new; 10,000 characters at most.' }),
    signature: t.field({ type: SignatureInput, description: 'What the graph does not say itself.' }),
    parents: t.field({
      type: ['VersionRef'],
      description:
        'What it was made from, 8 at most, the first one first; a merge has two. Without it, the newest version that was ' +
        'not rejected; an empty list: nothing.',
    }),
    metadata: t.field({ type: 'JSON', description: 'An object of at most 64 KiB, 16 levels deep.' }),
    tags: t.field({ type: [TagInput], description: 'Keys and values, 50 at most.' }),
    metrics: t.field({ type: [MetricInput], description: 'How good it is, 200 at most.' }),
    expectedLatest: t.int({
      description:
        'The highest number of the model as far as you know, 0 for none: if it is another by then, nothing is created.',
    }),
  }),
});

const RestoreVersionInput = builder.inputType('RestoreVersionInput', {
  description: 'An older version to go back to.',
  fields: (t) => ({
    version: t.field({
      type: 'VersionRef',
      required: true,
      description: 'Which: its id, or a reference with its project.',
    }),
    message: t.string({ description: 'Why; without it "Restores version n.".' }),
    expectedLatest: t.int({
      description: 'The highest number as far as you know: if it is another by then, nothing is created.',
    }),
  }),
});
const UpdateVersionInput = builder.inputType('UpdateVersionInput', {
  description: 'What is to be written beside a version.',
  fields: (t) => ({
    version: t.field({
      type: 'VersionRef',
      required: true,
      description: 'Which: its id, or a reference with its project.',
    }),
    tags: t.field({ type: [TagInput], description: 'Tags to add, or to give a new value.' }),
    removeTags: t.stringList({ description: 'Keys of tags to take away.' }),
    metadata: t.field({
      type: 'JSON',
      description: 'Takes the place of what is there; null takes it away; without it, it stays.',
    }),
    metrics: t.field({ type: [MetricInput], description: 'Metrics to add, or to give a new value.' }),
    removeMetrics: t.stringList({ description: 'Names of metrics to take away.' }),
  }),
});
const ReleaseInput = builder.inputType('ReleaseFromQuarantineInput', {
  description: 'A suspicious version to take the risk of.',
  fields: (t) => ({
    version: t.field({
      type: 'VersionRef',
      required: true,
      description: 'Which: its id, or a reference with its project.',
    }),
    reason: t.string({
      required: true,
      description: 'Why; it stays in the ledger. 10,000 characters at most.',
    }),
  }),
});
const versionInput = (name: string, description: string) =>
  builder.inputType(name, {
    description,
    fields: (t) => ({
      version: t.field({
        type: 'VersionRef',
        required: true,
        description: 'Which: its id, or a reference with its project.',
      }),
    }),
  });
const ArchiveVersionInput = versionInput('ArchiveVersionInput', 'A version to archive.');
const UnarchiveVersionInput = versionInput('UnarchiveVersionInput', 'A version to take back.');
const DeleteVersionInput = versionInput('DeleteVersionInput', 'A version to delete.');

const refIn = (input: { version: string }): string => refOf(['version'], 'Version', input.version);

builder.mutationFields((t) => ({
  createVersion: t.field({
    type: VersionType,
    description:
      'Stores files as the next version of a model and begins to read them: watch `operation` until it has ended. ' +
      'Where the project has read the same bytes before, it is READY at once. Needs AUTHOR.',
    errors: { types: expected.store },
    args: { input: t.arg({ type: CreateVersionInput, required: true, description: 'The new version.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      createVersion(platform, viewer, {
        modelId: idOf(['model'], 'Model', input.model),
        files: input.files ?? [],
        uploads: (input.uploads ?? []).map((id, index) =>
          idOf(['uploads', String(index)], 'ResumableUpload', id),
        ),
        artifacts: input.artifacts ?? [],
        message: input.message ?? null,
        signature: input.signature ? given(input.signature) : null,
        parents:
          input.parents?.map((ref, index) => refOf(['parents', String(index)], 'Version', ref)) ?? null,
        metadata: input.metadata,
        tags: input.tags ?? [],
        metrics: input.metrics ?? [],
        expectedLatest: input.expectedLatest ?? null,
      }),
  }),
  restoreVersion: t.field({
    type: VersionType,
    description:
      'Makes an older version the newest one: a new version with the same bytes, signature, metadata, tags and metrics, ' +
      'READY at once. Its parents are the newest version until now and the restored one. Needs AUTHOR.',
    errors: { types: [...expected.create, NotReadyError] },
    args: { input: t.arg({ type: RestoreVersionInput, required: true, description: 'Which.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      restoreVersion(platform, viewer, {
        version: refIn(input),
        message: input.message ?? null,
        expectedLatest: input.expectedLatest ?? null,
      }),
  }),
  updateVersion: t.field({
    type: VersionType,
    description:
      'Changes tags, metadata and reported metrics. Bytes, signature, parents and message never change. Needs AUTHOR.',
    errors: { types: expected.change },
    args: { input: t.arg({ type: UpdateVersionInput, required: true, description: 'What to write.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      updateVersion(platform, viewer, {
        version: refIn(input),
        tags: input.tags ?? [],
        removeTags: input.removeTags ?? [],
        metadata: input.metadata,
        metrics: input.metrics ?? [],
        removeMetrics: input.removeMetrics ?? [],
      }),
  }),
  releaseFromQuarantine: t.field({
    type: VersionType,
    description:
      'Takes the risk of a QUARANTINED version: it becomes READY. The reason stays in the ledger. Needs OPERATOR.',
    errors: { types: expected.create },
    args: { input: t.arg({ type: ReleaseInput, required: true, description: 'Which, and why.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      releaseFromQuarantine(platform, viewer, { version: refIn(input), reason: input.reason }),
  }),
  archiveVersion: t.field({
    type: VersionType,
    description:
      'Marks a version as no longer wanted: it cannot be deployed or get an alias. What it serves, it goes on serving. ' +
      'Needs AUTHOR.',
    errors: { types: expected.change },
    args: { input: t.arg({ type: ArchiveVersionInput, required: true, description: 'Which.' }) },
    resolve: (_root, { input }, { platform, viewer }) => setArchived(platform, viewer, refIn(input), true),
  }),
  unarchiveVersion: t.field({
    type: VersionType,
    description: 'Takes the mark of archiveVersion away. Needs AUTHOR.',
    errors: { types: expected.change },
    args: { input: t.arg({ type: UnarchiveVersionInput, required: true, description: 'Which.' }) },
    resolve: (_root, { input }, { platform, viewer }) => setArchived(platform, viewer, refIn(input), false),
  }),
  deleteVersion: t.field({
    type: VersionType,
    description:
      'Deletes a version for good and frees its bytes. Refused, naming them, while aliases, deployments, children or ' +
      'versions restored from it refer to it. Its number is not given again. Needs AUTHOR.',
    errors: { types: expected.create },
    args: { input: t.arg({ type: DeleteVersionInput, required: true, description: 'Which.' }) },
    resolve: (_root, { input }, { platform, viewer }) => deleteVersion(platform, viewer, refIn(input)),
  }),
}));

function given(input: typeof SignatureInput.$inferInput): GivenSignature {
  const defined = <T>(value: T | null | undefined) => value ?? undefined;
  return {
    columns: input.columns?.map((column) =>
      JSON.parse(
        JSON.stringify({
          ...column,
          input: defined(column.input),
          index: defined(column.index),
          nullable: defined(column.nullable),
        }),
      ),
    ),
    classes: input.classes ?? undefined,
    positiveClass: input.positiveClass ?? undefined,
    task: input.task ?? undefined,
  };
}
