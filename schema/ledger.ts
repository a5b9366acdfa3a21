import { listEvents, type EventFilter, type LedgerEvent } from '#src/ledger/ledger.ts';
import { lastSequence } from '#src/ledger/ledger.queries.ts';
import { summaryOf } from '#src/ledger/summary.ts';
import { ledgerEventTypes } from '#src/platform/database.types.ts';
import type { LedgerEventType as TypeOfEvent, LedgerSubject } from '#src/platform/database.types.ts';
import { ValidationError } from '#src/platform/errors.ts';
import { resolveProject } from '#src/project/project.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageCost } from './connection.ts';
import { idOfOne, refOf } from './global-id.ts';
import { logSource } from './live/log-source.ts';
import { ProjectType } from './project.ts';

const told: Record<TypeOfEvent, string> = {
  PROJECT_CREATED: 'The project was created.',
  TOKEN_CREATED: 'An API token was made; the event never holds its secret.',
  TOKEN_REVOKED: 'An API token was made useless.',
  MODEL_CREATED: 'A model was registered.',
  MODEL_UPDATED: 'What is written beside a model was changed.',
  MODEL_DELETED: 'A model was deleted, with its versions and aliases.',
  VERSION_CREATED: 'A version was created, by an upload or by restoring an earlier one.',
  VERSION_INGESTING: 'A worker began to inspect a version.',
  VERSION_READY: 'A version was found good.',
  VERSION_QUARANTINED: 'A version was found suspicious; the data tell why.',
  VERSION_RELEASED: 'Somebody took the risk of a suspicious version; the data tell their reason.',
  VERSION_REJECTED: 'A version was found bad; the data tell why.',
  VERSION_UPDATED: 'Tags, metadata or reported metrics of a version were changed.',
  VERSION_ARCHIVED: 'A version was put away.',
  VERSION_UNARCHIVED: 'A version was taken out of the archive.',
  VERSION_DELETED: 'A version was deleted.',
  ALIAS_MOVED: 'An alias came to stand for a version, the first or another one.',
  ALIAS_PROTECTED: 'From here on, moving an alias needs OPERATOR.',
  ALIAS_UNPROTECTED: 'From here on, moving an alias needs AUTHOR.',
  ALIAS_DELETED: 'An alias was deleted.',
  DEPLOYMENT_CREATED: 'A deployment was asked for.',
  DEPLOYMENT_SCALED: 'Number, resources or shares of the replicas of a deployment were changed.',
  DEPLOYMENT_UPDATED:
    'How the predictions of a deployment are logged was changed; the data tell from what to what.',
  DEPLOYMENT_PROVISIONING: 'The replicas of a deployment are being started.',
  DEPLOYMENT_LIVE: 'Every wanted replica of a deployment is ready.',
  DEPLOYMENT_DEGRADED: 'Fewer replicas of a deployment are ready than wanted.',
  DEPLOYMENT_FAILED: 'A deployment did not come up; the data tell why.',
  DEPLOYMENT_STOPPING: 'A deployment is being taken out of service.',
  DEPLOYMENT_STOPPED: 'A deployment is out of service for good.',
  ROLLOUT_STARTED: 'A deployment began to move to another version.',
  ROLLOUT_SHIFTED: 'The new version of a deployment got another share of the traffic.',
  ROLLOUT_PAUSED: 'A rollout was paused.',
  ROLLOUT_RESUMED: 'A paused rollout was resumed.',
  ROLLOUT_PROMOTED: 'Somebody gave all of the traffic to the new version, whatever the gates said.',
  ROLLOUT_ROLLING_BACK: 'All of the traffic went back to what answered before.',
  ROLLOUT_ROLLED_BACK: 'A rollout was taken back.',
  ROLLOUT_ABORTED: 'A rollout was aborted by somebody.',
  ROLLOUT_FAILED: 'A rollout ended before the new version answered anybody.',
  ROLLOUT_SUCCEEDED: 'The new version answers; or a shadow was watched to the end.',
  OPERATION_CANCEL_REQUESTED: 'Somebody asked work to stop.',
};

const EventTypeEnum = builder.enumType('LedgerEventType', {
  description: 'What happened.',
  values: Object.fromEntries(ledgerEventTypes.map((type) => [type, { description: told[type] }])) as Record<
    TypeOfEvent,
    { description: string }
  >,
});

type Subject = Exclude<LedgerSubject, 'ApiToken' | 'Alias'>;

/** What an event is about, where that is a node: an alias is shown by its model. */
function subjectOf({ subjectType, subjectId, modelId }: LedgerEvent): { type: Subject; id: string } | null {
  if (subjectType === 'ApiToken') return null;
  if (subjectType !== 'Alias') return { type: subjectType, id: subjectId };
  return modelId === null ? null : { type: 'Model', id: modelId };
}

const EventType = builder.objectRef<LedgerEvent>('LedgerEvent');
builder.node(EventType, {
  description:
    'Something that happened in a project. It was written with the change itself and never changes.',
  belongsTo: (event) => ({ project: event.projectId, role: 'READER' }),
  id: { resolve: (event) => event.id, description: 'Global id.' },
  // Awaited values: the plugin marks what this returns with its type, which a promise does not pass on.
  loadManyWithoutCache: (ids, { loaders }) => Promise.all(ids.map((id) => loaders.ledgerEvent.load(id))),
  fields: (t) => ({
    sequence: t.expose('sequence', {
      type: 'BigInt',
      description: 'Its number in the project, in the order of the changes: 1, 2, 3, … without a gap.',
    }),
    type: t.expose('type', { type: EventTypeEnum, description: 'What happened.' }),
    at: t.expose('at', {
      type: 'DateTime',
      description: 'When. Events of one change have the same time, those of later changes a later one.',
    }),
    actor: t.field({
      type: ActorType,
      description: 'Who did it.',
      resolve: (event) => ({ name: event.actorName, kind: event.actorKind }),
    }),
    subject: t.node({
      description:
        'What it happened to, as it is now; for an alias its model. Null for a token, and for what has been deleted.',
      id: subjectOf,
    }),
    summary: t.string({
      description: 'The same as one sentence, such as `alice moved fraud@champion from 11 to 12.`',
      resolve: ({ type, actorName, actorKind, data }) =>
        summaryOf(type, { name: actorName, kind: actorKind }, data),
    }),
    data: t.expose('data', { type: 'JSON', description: 'What changed, by the type of the event.' }),
  }),
});
const EventConnection = builder.connectionObject(
  { type: EventType, name: 'LedgerEventConnection', description: 'A page of events.' },
  { name: 'LedgerEventEdge', description: 'An event in a page.' },
);

const subjectTypes = [
  'Project',
  'Model',
  'Version',
  'Deployment',
  'Operation',
  'ApiToken',
] as const satisfies readonly LedgerSubject[];

function filterOf(project: { id: string }, subject: string | null | undefined): EventFilter {
  if (subject === null || subject === undefined) return {};
  const { type, id } = idOfOne(['subject'], subjectTypes, subject);
  if (type === 'Model') return { modelId: id };
  return type === 'Project' && id === project.id ? {} : { subjectId: id };
}

const typesArg = 'Only events of these types; without it all.';

builder.objectField(ProjectType, 'ledger', (t) =>
  t.field({
    type: EventConnection,
    description: 'Everything that has happened here, newest first.',
    args: {
      first: t.arg.int({ defaultValue: 50, description: pageArgs.first }),
      after: t.arg.string({ description: pageArgs.after }),
      subject: t.arg.id({
        description:
          'Only what happened to the thing of this global id: a version, a deployment, an operation, a token, or a ' +
          'model with everything in it.',
      }),
      types: t.arg({ type: [EventTypeEnum], description: typesArg }),
    },
    complexity: pageCost,
    resolve: async (project, { subject, types, first, after }, { platform }) => {
      const filter = { ...filterOf(project, subject), types: types ?? undefined };
      const page = await listEvents(platform, project.id, { first: first ?? 50, after }, filter);
      return connectionOf(page, ({ sequence }) => [String(sequence)]);
    },
  }),
);

/** @throws ValidationError for a number that no event has had yet. */
function checkAfter(after: bigint, last: bigint): void {
  if (after >= 0n && after <= last) return;
  throw ValidationError.of(['after'], `0 to ${last}, the number of the last event`, String(after));
}

builder.subscriptionField('ledger', (t) =>
  t.field({
    type: EventType,
    description:
      'Everything that happens in a project, in its order, each event once. Whoever reads slowly gets it later; whoever ' +
      'takes nothing for a minute is told to go (4429). Coming back with the number of the last event that you have ' +
      'seen as `after`, you miss nothing.',
    args: {
      project: t.arg.id({ required: true, description: 'Global id of the project, or its name.' }),
      after: t.arg({
        type: 'BigInt',
        description:
          'Begin with what happened after the event of this number, 0 for everything there is; without it, now.',
      }),
      types: t.arg({ type: [EventTypeEnum], description: typesArg }),
    },
    subscribe: async (_root, args, { platform, viewer, services: { tails } }) => {
      const { id: projectId } = await resolveProject(
        platform,
        viewer,
        refOf(['project'], 'Project', args.project),
      );
      const last = await lastSequence(platform.db, projectId);
      const after = args.after ?? last;
      checkAfter(after, last);
      const types = args.types ?? undefined;
      return logSource({
        after: Number(after),
        end: Number(last),
        places: ['after'],
        read: (from, signal) => tails.read(projectId, from, types, signal),
        at: ({ sequence }) => Number(sequence),
      });
    },
    resolve: (event: LedgerEvent) => event,
  }),
);
