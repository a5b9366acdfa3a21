/** Rollouts: a deployment on its way from one version to another. */
import { changesOf } from '#src/events.ts';
import {
  rolloutStates,
  rolloutStrategies,
  stepStates,
  type RolloutStep,
} from '#src/platform/database.types.ts';
import { getRollout, listRollouts, resolveRollout, type Rollout } from '#src/rollout/rollout.ts';
import { hasEnded, verbsOf } from '#src/rollout/rollout.state.ts';
import { machineOf } from '#src/rollout/machine.ts';
import { ActorType } from './actor.ts';
import { AliasType } from './alias.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageCost } from './connection.ts';
import { DeploymentType } from './deployment.ts';
import { described } from './described.ts';
import { GateStatusType } from './gate.ts';
import { refOf } from './global-id.ts';
import { ProvenanceType } from './logged-prediction.ts';
import { VersionType } from './version.ts';
import { watched } from './watch.ts';

export const RolloutStrategyEnum = builder.enumType('RolloutStrategy', {
  description: 'How a deployment moves to another version.',
  values: described(rolloutStrategies, {
    ALL_AT_ONCE: 'All of the traffic at once; what answered before stays until the bake is over.',
    CANARY: 'A share of at most a half, then all.',
    LINEAR: 'Steps of 10 to 50 % each.',
    SHADOW:
      'Nothing: it gets copies of requests, its answers are compared and thrown away. It ends in a report.',
  }),
});
const RolloutStateEnum = builder.enumType('RolloutState', {
  description: 'How far a rollout is.',
  values: described(rolloutStates, {
    PENDING: 'Waits for a worker.',
    PROVISIONING: "The candidate's replicas start.",
    WARMING: "The candidate's replicas load and warm up.",
    SHIFTING: 'The share of the present step takes effect everywhere.',
    BAKING: 'The present step is watched.',
    FINISHING: 'The candidate has all of the traffic; what answered before goes next.',
    SUCCEEDED: 'The new version answers; a SHADOW was watched to the end.',
    ROLLING_BACK: 'All of the traffic is back at what answered before; the candidate goes next.',
    ROLLED_BACK: 'It was taken back, by a gate or by somebody.',
    FAILED:
      'The candidate did not come up, or an alias moved to a version that cannot be followed; no request was sent to it.',
    ABORTED: 'Somebody ended it, or took the deployment out of service.',
  }),
});
const StepStateEnum = builder.enumType('StepState', {
  description: 'How far a step is.',
  values: described(stepStates, {
    WAITING: 'It is still to come.',
    SHIFTING: 'Its share takes effect.',
    BAKING: 'It is watched.',
    PASSED: 'Its time was over, and no gate was against the candidate.',
    FAILED: 'The rollout was taken back in it.',
    SKIPPED: 'The rollout ended, or was promoted, before its time was over.',
  }),
});
const RolloutVerbEnum = builder.enumType('RolloutVerb', {
  description: 'What can be done to a rollout.',
  values: {
    PAUSE: { value: 'pause', description: '`pauseRollout`' },
    RESUME: { value: 'resume', description: '`resumeRollout`' },
    PROMOTE: { value: 'promote', description: '`promoteRollout`' },
    ABORT: { value: 'abort', description: '`abortRollout`' },
    ROLL_BACK: { value: 'rollBack', description: '`rollBack`' },
  } as const,
});

const RolloutStepType = builder.objectRef<RolloutStep>('RolloutStep').implement({
  description: 'A share of the traffic that the candidate gets, and for how long it is watched.',
  fields: (t) => ({
    weight: t.exposeFloat('weight', { description: "The candidate's share of the traffic, 0 to 1." }),
    bakeSeconds: t.exposeInt('bakeSeconds', { description: 'Seconds that it is watched, at least.' }),
    state: t.expose('state', { type: StepStateEnum, description: 'How far it is.' }),
    samples: t.field({
      type: 'BigInt',
      description:
        'Requests that the candidate answered while it baked; of a SHADOW, copies that it answered.',
      resolve: ({ samples }) => BigInt(samples),
    }),
  }),
});

export const RolloutType = builder.objectRef<Rollout>('Rollout');
builder.node(RolloutType, {
  description:
    'A deployment on its way from one version to another: watched, steered, and taken back where the new one is worse.',
  belongsTo: (rollout) => ({ project: rollout.projectId, role: 'READER' }),
  id: { resolve: (rollout) => rollout.id, description: 'Global id.' },
  loadManyWithoutCache: (ids, { loaders }) => Promise.all(ids.map((id) => loaders.rollout.load(id))),
  fields: (t) => ({
    deployment: t.field({
      type: DeploymentType,
      description: 'What moves.',
      resolve: async (rollout, _args, { loaders }) => (await loaders.deployment.load(rollout.deploymentId))!,
    }),
    from: t.field({
      type: VersionType,
      description: 'What answered before; deleted ones too.',
      resolve: async (rollout, _args, { loaders }) => (await loaders.version.load(rollout.fromVersionId))!,
    }),
    to: t.field({
      type: VersionType,
      description: 'What shall answer; deleted ones too.',
      resolve: async (rollout, _args, { loaders }) => (await loaders.version.load(rollout.toVersionId))!,
    }),
    strategy: t.expose('strategy', { type: RolloutStrategyEnum, description: 'How it moves.' }),
    state: t.expose('state', { type: RolloutStateEnum, description: 'How far it is.' }),
    weight: t.float({
      description: "The candidate's share of the traffic now, 0 to 1.",
      resolve: async (rollout, _args, { loaders }) => {
        const arms = await loaders.arms.load(rollout.deploymentId);
        return arms.find(({ id }) => id === rollout.candidateArmId)?.weight ?? 0;
      },
    }),
    allowed: t.field({
      type: [RolloutVerbEnum],
      description: 'What can be done to it now; PROMOTE once all replicas of the candidate are ready.',
      resolve: (rollout) => verbsOf(machineOf(rollout)),
    }),
    pausedAt: t.expose('pausedAt', {
      type: 'DateTime',
      nullable: true,
      description:
        'Since when it is paused; null: it is not. A paused one stays at its share, its times stand still; a gate still takes it back.',
    }),
    timeoutSeconds: t.exposeInt('timeoutSeconds', {
      description: 'Seconds within which it must be through, pauses left out; else it is taken back.',
    }),
    mirrorShare: t.exposeFloat('mirrorShare', {
      description:
        "Share of the stable arm's requests that are copied to the candidate too, to compare the answers. 0 to 1.",
    }),
    steps: t.field({
      type: [RolloutStepType],
      description: 'Its steps, in their order; all of the traffic follows the last one.',
      resolve: ({ steps }) => steps,
    }),
    currentStep: t.exposeInt('step', {
      nullable: true,
      description: 'The present step, from 0; null before the first.',
    }),
    gates: t.field({
      type: [GateStatusType],
      description: 'What it is judged by, as it stands.',
      resolve: ({ gates, gateStatuses }) =>
        gates.map((gate, index) => ({ gate, status: gateStatuses[index] })),
    }),
    startedAt: t.expose('startedAt', { type: 'DateTime', description: 'When it was asked for.' }),
    finishedAt: t.expose('finishedAt', { type: 'DateTime', nullable: true, description: 'When it ended.' }),
    by: t.field({
      type: ActorType,
      description: 'Who asked for it, or moved the alias that the deployment follows.',
      resolve: ({ byName: name, byKind: kind }) => ({ name, kind }),
    }),
    reason: t.exposeString('reason', {
      nullable: true,
      description:
        'Why it is where it is, in plain words: which gate failed, who promoted it, which alias moved.',
    }),
  }),
});
const RolloutConnection = builder.connectionObject(
  { type: RolloutType, name: 'RolloutConnection', description: 'A page of rollouts.' },
  { name: 'RolloutEdge', description: 'A rollout in a page.' },
);

builder.objectFields(DeploymentType, (t) => ({
  rollout: t.field({
    type: RolloutType,
    nullable: true,
    description: 'The rollout that runs; null: none does.',
    resolve: async (deployment, _args, { loaders }) =>
      (await loaders.runningRollout.load(deployment.id))[0] ?? null,
  }),
  rollouts: t.field({
    type: RolloutConnection,
    description: 'Its rollouts, newest first.',
    args: {
      first: t.arg.int({ defaultValue: 20, description: pageArgs.first }),
      after: t.arg.string({ description: pageArgs.after }),
    },
    complexity: pageCost,
    resolve: async (deployment, args, { platform }) =>
      connectionOf(await listRollouts(platform, deployment.id, args), ({ id }) => [id]),
  }),
  follows: t.field({
    type: AliasType,
    nullable: true,
    description: 'The alias at whose moves rollouts begin by themselves; null: none, or it was deleted.',
    resolve: async ({ followsAliasId }, _args, { loaders }) =>
      followsAliasId === null ? null : ((await loaders.alias.load(followsAliasId)) ?? null),
  }),
  defaultStrategy: t.expose('defaultStrategy', {
    type: RolloutStrategyEnum,
    description: 'The strategy of rollouts for which none is named.',
  }),
}));

builder.objectField(ProvenanceType, 'rollout', (t) =>
  t.field({
    type: RolloutType,
    nullable: true,
    description: 'The rollout that ran when it was predicted; null: none did.',
    resolve: async ({ request }, _args, { loaders }) =>
      request.rolloutId === null ? null : ((await loaders.rollout.load(request.rolloutId)) ?? null),
  }),
);

builder.subscriptionField('rollout', (t) =>
  t.field({
    type: RolloutType,
    description:
      'A rollout with what its gates say: at once, then at every change, about once a second while it bakes, until it has ended.',
    args: {
      id: t.arg.id({
        required: true,
        description:
          'Its global id, or `project/name` of its deployment: the one that runs there, else the last.',
      }),
    },
    subscribe: async (_root, args, { platform, viewer, services }, info) => {
      const { id } = await resolveRollout(platform, viewer, ['id'], refOf(['id'], 'Rollout', args.id));
      const hints = (signal: AbortSignal) => changesOf(services.feed, 'rollout', id, signal);
      return watched(
        info,
        hints,
        () => getRollout(platform, viewer, id),
        ({ state }) => hasEnded(state),
      );
    },
    resolve: (rollout: Rollout) => rollout,
  }),
);
