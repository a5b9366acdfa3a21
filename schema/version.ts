import { metricSources, versionStatuses } from '#src/platform/database.types.ts';
import type { Format } from '#src/safety/scan.ts';
import { checkOutFile, requireBytes } from '#src/version/checkout.ts';
import { resolveVersion } from '#src/version/resolve.ts';
import type { Artifact, ListedVersion, PagedVersion, Version } from '#src/version/version.ts';
import { isLive } from '#src/alias/alias.ts';
import type { MetricRow } from '#src/version/version.row.ts';
import { ActorType } from './actor.ts';
import { AliasType } from './alias.ts';
import { builder } from './builder.ts';
import { DeploymentType } from './deployment.ts';
import { refOf } from './global-id.ts';
import { linkTo } from './http/link.ts';
import { InspectionType } from './inspection.ts';
import { ModelType } from './model.ts';
import { OperationType } from './operation.ts';
import { SignatureType } from './signature.ts';
import { Tag } from './tag.ts';

export const VersionStatusEnum = builder.enumType('VersionStatus', {
  description: 'How far a version is.',
  values: Object.fromEntries(
    versionStatuses.map((status) => [
      status,
      {
        description: {
          PENDING: 'Stored; its ingest waits.',
          INGESTING: 'Being read.',
          READY: 'Found good, or released. An ONNX model can be deployed.',
          QUARANTINED: 'Suspicious: cannot be deployed before an OPERATOR has released it.',
          REJECTED: 'Dangerous, broken, or cannot be served; `statusReason` tells why. Its bytes are gone.',
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

const MetricSourceEnum = builder.enumType('MetricSource', {
  description: 'Who says a metric.',
  values: {
    REPORTED: { description: 'Whoever registered the version, or changed it.' },
  } satisfies Record<(typeof metricSources)[number], { description: string }>,
});
const VersionMetricType = builder.objectRef<MetricRow>('VersionMetric').implement({
  description: 'A number that tells how good a version is.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Such as accuracy.' }),
    value: t.exposeFloat('value', { description: 'Its value, in whatever unit the name implies.' }),
    source: t.expose('source', { type: MetricSourceEnum, description: 'Who says so.' }),
  }),
});

const ArtifactFormatEnum = builder.enumType('ArtifactFormat', {
  description: 'What kind of files a version has, told by their bytes. Only ONNX models can be served.',
  values: {
    ONNX: { description: 'An ONNX graph, perhaps with external data and other files beside it.' },
    PICKLE: { description: 'A Python pickle: loading it runs what it names.' },
    JOBLIB: { description: 'A pickle with arrays, as joblib writes it.' },
    TORCH: { description: 'A PyTorch checkpoint: a pickle and its tensors.' },
    SAFETENSORS: { description: 'Tensors and nothing else.' },
    GGUF: { description: 'Weights and metadata for llama.cpp.' },
    OPAQUE: { description: 'Anything else; and every version until it has been looked into.' },
  } satisfies Record<Format, { description: string }>,
});

/** A version; what did not come along with it is loaded when it is asked for. */
export type ShownVersion = ListedVersion &
  Partial<Pick<Version, 'signature' | 'metadata'>> &
  Partial<Pick<PagedVersion, 'tags' | 'metrics' | 'aliases'>>;

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
      description: 'The work that makes it READY; null where its bytes were read before.',
      resolve: async (version, _args, { loaders }) =>
        version.operationId === null ? null : ((await loaders.operation.load(version.operationId)) ?? null),
    }),
    // Never null: where it stands beside an error's message in one selection, both must be of one type.
    message: t.string({
      description: 'What its author says of it; empty where that is nothing.',
      resolve: (version) => version.message ?? '',
    }),
    author: t.field({
      type: ActorType,
      description: 'Who created it.',
      resolve: (version) => ({ name: version.authorName, kind: version.authorKind }),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    archivedAt: t.expose('archivedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was archived: it cannot be deployed or get an alias; null: it is not.',
    }),
    deletedAt: t.expose('deletedAt', {
      type: 'DateTime',
      nullable: true,
      description:
        'When it was deleted: its bytes are gone, and only the past still shows it; null: it is not.',
    }),
    tags: t.field({
      type: [Tag],
      description: 'Keys and values, by key.',
      resolve: async (version, _args, { loaders }) => [
        ...(version.tags ?? (await loaders.version.load(version.id))?.tags ?? []),
      ],
    }),
    metadata: t.field({
      type: 'JSON',
      nullable: true,
      description: 'What people keep beside it: an object of at most 64 KiB.',
      resolve: async (version, _args, { loaders }) =>
        version.metadata === undefined
          ? ((await loaders.version.load(version.id))?.metadata ?? null)
          : version.metadata,
    }),
    metrics: t.field({
      type: [VersionMetricType],
      description: 'How good it is, by name.',
      resolve: async (version, _args, { loaders }) => [
        ...(version.metrics ?? (await loaders.metrics.load(version.id))),
      ],
    }),
    aliases: t.field({
      type: [AliasType],
      description: 'Aliases that stand for it now, by name.',
      resolve: async (version, _args, { loaders }) =>
        (version.aliases ?? (await loaders.aliases.load(version.id))).filter(isLive),
    }),
    deployments: t.field({
      type: [DeploymentType],
      description: 'Where it is deployed, by name; those that are STOPPED left out.',
      resolve: (version, _args, { loaders }) => loaders.deploymentsOfVersion.load(version.id),
    }),
    format: t.field({
      type: ArtifactFormatEnum,
      description: 'What kind of files these are.',
      resolve: ({ format }) => format,
    }),
    inspection: t.field({
      type: InspectionType,
      nullable: true,
      description: 'What the safety inspection saw; null until then.',
      resolve: async (version, _args, { loaders }) => (await loaders.inspections.load(version.id))[0] ?? null,
    }),
    artifacts: t.field({
      type: [ArtifactType],
      description: 'Its files, by path, as they were uploaded.',
      resolve: (version, _args, { loaders }) => loaders.artifacts.load(version.id),
    }),
    downloadUrl: t.string({
      description:
        'A link to its bytes, which works for LINK_SECONDS without any authorization: hand it on with care. Parts can be ' +
        'asked for, so that a download that broke goes on. With a token, `/versions/<reference>/files/<path>` and ' +
        '`/versions/<reference>/archive.tar` do the same. Of a QUARANTINED version only for an OPERATOR.',
      args: {
        path: t.arg.string({ description: 'One of its files; without it all of them, as a tar archive.' }),
      },
      resolve: async (version, { path }, { platform, viewer }) => {
        requireBytes(viewer, version);
        if (path !== null && path !== undefined) await checkOutFile(platform, version, path);
        return linkTo(platform, version, path ?? null);
      },
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

builder.queryField('version', (t) =>
  t.field({
    type: VersionType,
    description:
      'A version by reference, with the project before it: `demo/fraud@champion`. An error when there is none that you can see.',
    args: { ref: t.arg({ type: 'VersionRef', required: true, description: 'Which one.' }) },
    resolve: (_root, { ref }, { platform, viewer }) =>
      resolveVersion(platform, viewer, ['ref'], refOf(['ref'], 'Version', ref)),
  }),
);
