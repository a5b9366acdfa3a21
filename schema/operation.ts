import { changesOf } from '#src/events.ts';
import { cancelOperation, getOperation, rateOf, type Operation } from '#src/operation/operation.ts';
import { tailLog } from '#src/operation/operation.queries.ts';
import { operationStatuses, type ErrorRecord } from '#src/platform/database.types.ts';
import { ConflictError, ValidationError } from '#src/platform/errors.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { expected } from './errors.ts';
import { idOf } from './global-id.ts';
import { watched } from './watch.ts';

const OperationStatusEnum = builder.enumType('OperationStatus', {
  description: 'How far work is.',
  values: Object.fromEntries(
    operationStatuses.map((status) => [
      status,
      {
        description: {
          QUEUED: 'Waits for a worker.',
          RUNNING: 'Is being done.',
          CANCELLING: 'Was asked to stop.',
          SUCCEEDED: 'Done.',
          FAILED: 'Ended without success; `error` tells why.',
          CANCELLED: 'Was stopped.',
        }[status],
      },
    ]),
  ) as Record<(typeof operationStatuses)[number], { description: string }>,
});

const ProgressType = builder.objectRef<Operation>('Progress').implement({
  description: 'How much is done.',
  fields: (t) => ({
    done: t.expose('done', { type: 'BigInt', description: 'What is done, in `unit`.' }),
    total: t.expose('total', {
      type: 'BigInt',
      nullable: true,
      description: 'All there is to do; null: not known.',
    }),
    unit: t.exposeString('unit', { description: 'What is counted, such as bytes or replicas.' }),
    perSecond: t.float({
      nullable: true,
      description: 'Rate so far, in `unit` a second; null while nothing is done.',
      resolve: (operation) => rateOf(operation, Date.now()).perSecond,
    }),
    etaSeconds: t.float({
      nullable: true,
      description: 'Seconds left at that rate; null when it cannot be told.',
      resolve: (operation) => rateOf(operation, Date.now()).etaSeconds,
    }),
    stage: t.exposeString('stage', { nullable: true, description: 'What is being done, in words.' }),
  }),
});

const OperationErrorType = builder.objectRef<ErrorRecord>('OperationError').implement({
  description: 'Why work ended without success.',
  fields: (t) => ({
    code: t.exposeString('code', { description: 'Stable; switch on it.' }),
    message: t.exposeString('message', { description: 'What happened, for people.' }),
    hint: t.exposeString('hint', { nullable: true, description: 'What to do next.' }),
  }),
});

export const OperationType = builder.objectRef<Operation>('Operation');
builder.node(OperationType, {
  description: 'Long work: it goes on when you look away, and can be watched and cancelled.',
  belongsTo: (operation) => ({ project: operation.projectId, role: 'READER' }),
  id: { resolve: (operation) => operation.id, description: 'Global id.' },
  // Awaited values: the plugin marks what this returns with its type, which a promise does not pass on.
  loadManyWithoutCache: (ids, { loaders }) => Promise.all(ids.map((id) => loaders.operation.load(id))),
  fields: (t) => ({
    kind: t.exposeString('kind', { description: 'What work, such as version.ingest.' }),
    status: t.expose('status', { type: OperationStatusEnum, description: 'How far it is.' }),
    progress: t.field({
      type: ProgressType,
      description: 'How much is done.',
      resolve: (operation) => operation,
    }),
    log: t.stringList({
      description: 'Its last lines, oldest first, each with its time.',
      args: { tail: t.arg.int({ defaultValue: 50, description: 'How many lines, 1 to 1,000.' }) },
      resolve: (operation, { tail }, { platform }) => {
        const lines = tail ?? 50;
        if (lines < 1 || lines > 1_000) throw ValidationError.of(['tail'], '1 to 1000', String(lines));
        return tailLog(platform.db, operation.id, lines);
      },
    }),
    error: t.field({
      type: OperationErrorType,
      nullable: true,
      description: 'Why it ended without success.',
      resolve: (operation) => operation.error,
    }),
    queuedAt: t.expose('queuedAt', {
      type: 'DateTime',
      description: 'When it was asked for, or last given back.',
    }),
    startedAt: t.expose('startedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was first begun.',
    }),
    finishedAt: t.expose('finishedAt', { type: 'DateTime', nullable: true, description: 'When it ended.' }),
    attempts: t.exposeInt('attempts', {
      description: 'How often a worker took it: more than 1 after a crash.',
    }),
    by: t.field({
      type: ActorType,
      description: 'Who asked for it.',
      resolve: (operation) => ({ name: operation.byName, kind: operation.byKind }),
    }),
  }),
});

const CancelOperationInput = builder.inputType('CancelOperationInput', {
  description: 'Work to cancel.',
  fields: (t) => ({ operation: t.id({ required: true, description: 'Its global id.' }) }),
});

builder.mutationField('cancelOperation', (t) =>
  t.field({
    type: OperationType,
    description:
      'Asks work to stop; it is CANCELLED within seconds. Work that has ended stays as it is; undeploying goes on. ' +
      'Needs AUTHOR, for deployments OPERATOR.',
    errors: { types: [...expected.change, ConflictError] },
    args: { input: t.arg({ type: CancelOperationInput, required: true, description: 'Which.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      cancelOperation(platform, viewer, idOf(['operation'], 'Operation', input.operation)),
  }),
);

builder.subscriptionField('operation', (t) =>
  t.field({
    type: OperationType,
    description: 'Work as it goes on: at once, then at every change, until it has ended.',
    args: { id: t.arg.id({ required: true, description: 'Its global id.' }) },
    subscribe: async (_root, args, { platform, viewer, services }, info) => {
      const id = idOf(['id'], 'Operation', args.id);
      await getOperation(platform, viewer, id);
      const hints = (signal: AbortSignal) => changesOf(services.feed, 'operation', id, signal);
      return watched(
        info,
        hints,
        () => getOperation(platform, viewer, id),
        (operation) => operation.finishedAt !== null,
      );
    },
    resolve: (operation: Operation) => operation,
  }),
);
