import {
  changeKinds,
  diffVersions,
  type ArtifactChange,
  type MetricChange,
  type VersionDiff,
} from '#src/version/diff.ts';
import { resolveVersion } from '#src/version/resolve.ts';
import type { Change, SignatureComparison } from '#src/signature/compatibility.ts';
import { builder } from './builder.ts';
import { refOf } from './global-id.ts';
import { ProjectType } from './project.ts';
import { VersionType } from './version.ts';

const FieldChange = builder.objectRef<Change>('FieldChange').implement({
  description: 'A value that differs.',
  fields: (t) => ({
    path: t.exposeString('path', {
      description: 'Which: names joined by dots; one that holds a dot stands in quotes.',
    }),
    before: t.field({
      type: 'JSON',
      nullable: true,
      description: 'What it was; null where it was not there.',
      resolve: ({ before }) => before ?? null,
    }),
    after: t.field({
      type: 'JSON',
      nullable: true,
      description: 'What it is; null where it is gone.',
      resolve: ({ after }) => after ?? null,
    }),
  }),
});

const SignatureDiff = builder.objectRef<SignatureComparison>('SignatureDiff').implement({
  description: 'How what two versions take and answer differs.',
  fields: (t) => ({
    compatible: t.exposeBoolean('compatible', {
      description:
        'Whether callers of the one can go on with the other: it takes all that the one took, and answers all that it ' +
        'answered. More than that is no harm.',
    }),
    reasons: t.stringList({
      description: 'Why not, a sentence each; none when it is compatible.',
      resolve: ({ reasons }) => [...reasons],
    }),
    changes: t.field({
      type: [FieldChange],
      description: 'Everything that differs, harmless or not.',
      resolve: ({ changes }) => [...changes],
    }),
  }),
});

const MetricChangeType = builder.objectRef<MetricChange>('MetricChange').implement({
  description: 'A metric of two versions.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name.' }),
    before: t.exposeFloat('before', {
      nullable: true,
      description: 'Its value in the one; null: it has none.',
    }),
    after: t.exposeFloat('after', {
      nullable: true,
      description: 'Its value in the other; null: it has none.',
    }),
    difference: t.float({
      nullable: true,
      description: '`after` less `before`; null where either has none.',
      resolve: ({ before, after }) => (before === null || after === null ? null : after - before),
    }),
  }),
});

const ChangeKindEnum = builder.enumType('ChangeKind', {
  description: 'What became of something.',
  values: {
    ADDED: { description: 'Only the other has it.' },
    REMOVED: { description: 'Only the one has it.' },
    CHANGED: { description: 'Both have it, and it differs.' },
    SAME: { description: 'Both have it, and it is the same.' },
  } satisfies Record<(typeof changeKinds)[number], { description: string }>,
});

const ArtifactChangeType = builder.objectRef<ArtifactChange>('ArtifactChange').implement({
  description: 'A file of two versions.',
  fields: (t) => ({
    path: t.exposeString('path', { description: 'Its name.' }),
    change: t.expose('change', { type: ChangeKindEnum, description: 'What became of it.' }),
    bytesBefore: t.expose('bytesBefore', {
      type: 'BigInt',
      nullable: true,
      description: 'Its size in the one, in bytes; null: it is not there.',
    }),
    bytesAfter: t.expose('bytesAfter', {
      type: 'BigInt',
      nullable: true,
      description: 'Its size in the other, in bytes; null: it is not there.',
    }),
  }),
});

const VersionDiffType = builder.objectRef<VersionDiff>('VersionDiff').implement({
  description: 'What differs between two versions.',
  fields: (t) => ({
    from: t.expose('from', { type: VersionType, description: 'The one.' }),
    to: t.expose('to', { type: VersionType, description: 'The other.' }),
    metadata: t.field({
      type: [FieldChange],
      description: 'Metadata that differ, by path.',
      resolve: ({ metadata }) => [...metadata],
    }),
    tags: t.field({
      type: [FieldChange],
      description: 'Tags that differ, by key.',
      resolve: ({ tags }) => [...tags],
    }),
    signature: t.expose('signature', {
      type: SignatureDiff,
      nullable: true,
      description: 'What they take and answer; null where one of them has no signature.',
    }),
    metrics: t.field({
      type: [MetricChangeType],
      description: 'Metrics that either has, by name.',
      resolve: ({ metrics }) => [...metrics],
    }),
    artifacts: t.field({
      type: [ArtifactChangeType],
      description: 'Files that either has, by path.',
      resolve: ({ artifacts }) => [...artifacts],
    }),
  }),
});

builder.objectField(ProjectType, 'diff', (t) =>
  t.field({
    type: VersionDiffType,
    description: 'What differs between two versions, of one model or of two. An error when one is not there.',
    args: {
      from: t.arg({ type: 'VersionRef', required: true, description: 'The one.' }),
      to: t.arg({ type: 'VersionRef', required: true, description: 'The other.' }),
    },
    resolve: async (project, args, { platform, viewer }) => {
      const [from, to] = await Promise.all(
        (['from', 'to'] as const).map((side) =>
          resolveVersion(platform, viewer, [side], refOf([side], 'Version', args[side]), project),
        ),
      );
      return diffVersions(platform, from!, to!);
    },
  }),
);
