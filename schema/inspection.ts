/** What the safety inspection saw in a version's files. */
import { verdicts, type Finding } from '#src/safety/finding.ts';
import type { HeldArray, HeldClass, HeldParameter, HeldStep } from '#src/safety/pickle/contents.ts';
import type { FileContents } from '#src/version/safety.ts';
import type { InspectionRow } from '#src/version/safety.queries.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';

const VerdictEnum = builder.enumType('InspectionVerdict', {
  description: 'What the inspection concludes.',
  values: Object.fromEntries(
    verdicts.map((verdict) => [
      verdict,
      {
        description: {
          SAFE: 'Nothing in it runs when it is opened, as far as its format is known.',
          SUSPICIOUS: 'Something in it may run, or cannot be looked into: QUARANTINED.',
          UNREADABLE: 'Broken, or not what it says that it is: REJECTED.',
          DANGEROUS: 'It harms whoever opens it: REJECTED.',
        }[verdict],
      },
    ]),
  ) as Record<(typeof verdicts)[number], { description: string }>,
});

const FindingType = builder.objectRef<Finding>('Finding').implement({
  description: 'Something that the inspection saw.',
  fields: (t) => ({
    path: t.exposeString('path', {
      description: "The file's name, then that of each archive member behind a `!`.",
    }),
    offset: t.field({
      type: 'BigInt',
      nullable: true,
      description: 'Where in it, in bytes; null where it lies at no one place.',
      resolve: ({ offset }) => (offset === null ? null : BigInt(offset)),
    }),
    rule: t.exposeString('rule', { description: 'Stable, such as `pickle.denied-global`.' }),
    message: t.exposeString('message', {
      description: 'In plain words. It quotes the file: show it as text.',
    }),
  }),
});

const path = 'Names of steps and attributes with `/` between; empty for the object itself.';
const ClassType = builder.objectRef<HeldClass>('PickledClass').implement({
  description: 'A class that loading makes an object of.',
  fields: (t) => ({
    path: t.exposeString('path', { description: `Where the first of them is: ${path}` }),
    name: t.exposeString('name', { description: 'Such as `sklearn.pipeline.Pipeline`.' }),
  }),
});
const StepType = builder.objectRef<HeldStep>('PickledStep').implement({
  description: 'A named part of a pipeline, union, column transformer or ensemble.',
  fields: (t) => ({
    path: t.exposeString('path', { description: `Of the object that has it: ${path}` }),
    name: t.exposeString('name', { description: 'Its name there.' }),
    class: t.exposeString('class', { nullable: true, description: 'Its class; null where it is none.' }),
  }),
});
const ParameterType = builder.objectRef<HeldParameter>('PickledParameter').implement({
  description: 'How an estimator was set.',
  fields: (t) => ({
    path: t.exposeString('path', { description: `Of the estimator: ${path}` }),
    name: t.exposeString('name', { description: 'Such as `max_iter`.' }),
    value: t.field({
      type: 'JSON',
      nullable: true,
      description: 'Its value; NaN and infinities, and integers beyond 2^53, as texts.',
      resolve: ({ value }) => value,
    }),
  }),
});
const LibraryType = builder.objectRef<readonly [string, string]>('PickledLibrary').implement({
  description: 'A library that wrote a part of it.',
  fields: (t) => ({
    name: t.string({ description: 'Its package, such as `scikit-learn`.', resolve: ([name]) => name }),
    version: t.string({ description: 'Its version.', resolve: ([, version]) => version }),
  }),
});
const ArrayType = builder.objectRef<HeldArray>('PickledArray').implement({
  description: 'An array of numbers.',
  fields: (t) => ({
    path: t.exposeString('path', { description: `With its own name at the end: ${path}` }),
    shape: t.intList({ description: 'Sizes of its dimensions.', resolve: ({ shape }) => [...shape] }),
    dtype: t.exposeString('dtype', {
      nullable: true,
      description: 'As NumPy or torch name it; null: not told.',
    }),
  }),
});
const ContentsType = builder.objectRef<FileContents>('PickleContents').implement({
  description: 'What a pickle holds, told from its opcodes: it was not loaded.',
  fields: (t) => ({
    path: t.exposeString('path', { description: 'The file.' }),
    classes: t.field({ type: [ClassType], description: 'Classes.', resolve: ({ classes }) => [...classes] }),
    steps: t.field({
      type: [StepType],
      description: 'Parts with a name.',
      resolve: ({ steps }) => [...steps],
    }),
    parameters: t.field({
      type: [ParameterType],
      description: 'Settings of its estimators.',
      resolve: ({ parameters }) => [...parameters],
    }),
    libraries: t.field({
      type: [LibraryType],
      description: 'Libraries and their versions, by name.',
      resolve: ({ versions }) => Object.entries(versions).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    }),
    arrays: t.field({ type: [ArrayType], description: 'Arrays.', resolve: ({ arrays }) => [...arrays] }),
    truncated: t.exposeBoolean('truncated', { description: 'Whether there is more than these lists hold.' }),
  }),
});

interface Release {
  readonly by: { readonly name: string; readonly kind: NonNullable<InspectionRow['releasedByKind']> };
  readonly at: Date;
  readonly reason: string;
}

const ReleaseType = builder.objectRef<Release>('QuarantineRelease').implement({
  description: 'Who took the risk of a suspicious version.',
  fields: (t) => ({
    by: t.expose('by', { type: ActorType, description: 'Who.' }),
    at: t.expose('at', { type: 'DateTime', description: 'When.' }),
    reason: t.exposeString('reason', { description: 'Why.' }),
  }),
});

function releaseOf(row: InspectionRow): Release | null {
  const { releasedAt: at, releaseReason: reason, releasedByName: name, releasedByKind: kind } = row;
  return at && reason !== null && name !== null && kind ? { by: { name, kind }, at, reason } : null;
}

export const InspectionType = builder.objectRef<InspectionRow>('Inspection').implement({
  description: 'What the safety inspection saw. Nothing of the files was run or loaded for it.',
  fields: (t) => ({
    verdict: t.expose('verdict', {
      type: VerdictEnum,
      description: 'What it concludes: the worst of all files.',
    }),
    findings: t.field({
      type: [FindingType],
      description: 'What it saw, the worst first; 500 at most.',
      resolve: ({ findings }) => findings,
    }),
    truncated: t.exposeBoolean('truncated', { description: 'Whether there were more findings.' }),
    contents: t.field({
      type: [ContentsType],
      description: 'What its pickles hold, a file at a time.',
      resolve: ({ contents }) => contents,
    }),
    inspectedAt: t.expose('inspectedAt', { type: 'DateTime', description: 'When.' }),
    release: t.field({
      type: ReleaseType,
      nullable: true,
      description: 'Who released it from quarantine; null: nobody.',
      resolve: releaseOf,
    }),
  }),
});
