import { versionStatuses } from '#src/platform/database.types.ts';
import type { GivenSignature } from '#src/signature/signature.ts';
import {
  createVersion,
  resolveVersion,
  type Artifact,
  type ListedVersion,
  type Version,
} from '#src/version/version.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { expected } from './errors.ts';
import { idOf, refOf } from './global-id.ts';
import { ModelType } from './model.ts';
import { OperationType } from './operation.ts';
import { SignatureInput, SignatureType } from './signature.ts';

const VersionStatusEnum = builder.enumType('VersionStatus', {
  description: 'How far a version is.',
  values: Object.fromEntries(
    versionStatuses.map((status) => [
      status,
      {
        description: {
          PENDING: 'Stored; its ingest waits.',
          INGESTING: 'Being read.',
          READY: 'Can be deployed.',
          QUARANTINED: 'Suspicious; an OPERATOR has to release it.',
          REJECTED: 'Cannot be served; `statusReason` tells why. Its bytes are gone.',
        }[status],
      },
    ]),
  ) as Record<(typeof versionStatuses)[number], { description: string }>,
});

const ArtifactType = builder.objectRef<Artifact>('Artifact').implement({
  description: 'A file of a version, as it was uploaded.',
  fields: (t) => ({
    path: t.exposeString('path', { description: 'Its name; "/" separates folders.' }),
    bytes: t.expose('bytes', { type: 'BigInt', description: 'Its size in bytes.' }),
    digest: t.expose('digest', { type: 'Sha256', description: 'SHA-256 of its bytes.' }),
    mediaType: t.exposeString('mediaType', { description: 'Its media type.' }),
  }),
});

/** A version; read in a list, its signature did not come along. */
type ShownVersion = ListedVersion & Partial<Pick<Version, 'signature'>>;

export const VersionType = builder.objectRef<ShownVersion>('Version');
builder.node(VersionType, {
  description: 'Immutable bytes of a model, and what they mean.',
  belongsTo: (version) => ({ project: version.projectId, role: 'READER' }),
  id: { resolve: (version) => version.id, description: 'Global id.' },
  // Awaited values: the plugin marks what this returns with its type, which a promise does not pass on.
  loadManyWithoutCache: (ids, { loaders }) => Promise.all(ids.map((id) => loaders.version.load(id))),
  fields: (t) => ({
    number: t.exposeInt('number', { description: '1, 2, 3 … within its model, without gap.' }),
    model: t.field({
      type: ModelType,
      description: 'The model it is a version of.',
      resolve: async (version, _args, { loaders }) => (await loaders.model.load(version.modelId))!,
    }),
    status: t.expose('status', { type: VersionStatusEnum, description: 'How far it is.' }),
    statusReason: t.exposeString('statusReason', {
      nullable: true,
      description: 'Why it was rejected or quarantined.',
    }),
    operation: t.field({
      type: OperationType,
      nullable: true,
      description: 'The work that makes it READY.',
      resolve: async (version, _args, { loaders }) =>
        (await loaders.operation.load(version.operationId)) ?? null,
    }),
    message: t.exposeString('message', { nullable: true, description: 'What its author says of it.' }),
    author: t.field({
      type: ActorType,
      description: 'Who created it.',
      resolve: (version) => ({ name: version.authorName, kind: version.authorKind }),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    artifacts: t.field({
      type: [ArtifactType],
      description: 'Its files, by path, as they were uploaded.',
      resolve: (version, _args, { loaders }) => loaders.artifacts.load(version.id),
    }),
    bytes: t.expose('bytes', { type: 'BigInt', description: 'Size of all its files in bytes.' }),
    digest: t.expose('digest', {
      type: 'Sha256',
      description: 'One file: its digest. Several: SHA-256 of the lines `<digest>  <path>`, sorted by path.',
    }),
    signature: t.field({
      type: SignatureType,
      nullable: true,
      description: 'What it takes and answers; null until it is READY.',
      resolve: async (version, _args, { loaders }) =>
        version.signature === undefined
          ? ((await loaders.version.load(version.id))?.signature ?? null)
          : version.signature,
    }),
  }),
});
export const VersionConnection = builder.connectionObject(
  { type: VersionType, name: 'VersionConnection', description: 'A page of versions.' },
  { name: 'VersionEdge', description: 'A version in a page.' },
);

const CreateVersionInput = builder.inputType('CreateVersionInput', {
  description: 'A new version.',
  fields: (t) => ({
    model: t.id({ required: true, description: "The model's global id." }),
    files: t.field({
      type: ['Upload'],
      required: true,
      description: 'An ONNX file, and its external data beside it.',
    }),
    message: t.string({ description: 'What is new; 10,000 characters at most.' }),
    signature: t.field({ type: SignatureInput, description: 'What the graph does not say itself.' }),
  }),
});

builder.queryField('version', (t) =>
  t.field({
    type: VersionType,
    description: 'A version by reference. An error when there is none that you can see.',
    args: { ref: t.arg({ type: 'VersionRef', required: true, description: 'Which one.' }) },
    resolve: (_root, { ref }, { platform, viewer }) =>
      resolveVersion(platform, viewer, ['ref'], refOf(['ref'], 'Version', ref)),
  }),
);

builder.mutationField('createVersion', (t) =>
  t.field({
    type: VersionType,
    description:
      'Stores files as the next version of a model and begins to read them: watch `operation` until it has ended. ' +
      'Needs AUTHOR.',
    errors: { types: expected.create },
    args: { input: t.arg({ type: CreateVersionInput, required: true, description: 'The new version.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      createVersion(platform, viewer, {
        modelId: idOf(['model'], 'Model', input.model),
        files: input.files,
        message: input.message ?? null,
        signature: input.signature ? given(input.signature) : null,
      }),
  }),
);

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
