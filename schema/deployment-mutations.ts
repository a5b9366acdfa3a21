import { createDeployment } from '#src/deployment/create.ts';
import { undeploy } from '#src/deployment/deployment.ts';
import { scale } from '#src/deployment/scale.ts';
import { defaultBatching, defaultResources } from '#src/deployment/target.ts';
import { NotReadyError } from '#src/platform/errors.ts';
import { builder } from './builder.ts';
import { DeploymentTargetEnum, DeploymentType, InvalidOutputPolicyEnum } from './deployment.ts';
import { LoggingInput } from './deployment-logging.ts';
import { expected } from './errors.ts';
import { refOf } from './global-id.ts';
import { RolloutStrategyEnum } from './rollout.ts';

const ResourcesInput = builder.inputType('ResourcesInput', {
  description: 'What a replica may use; what is left out stays as it is.',
  fields: (t) => ({
    threads: t.int({
      description: 'Threads that it runs the model with, 1 to 256; 1 is fastest for small models.',
    }),
    memoryLimitBytes: t.field({
      type: 'BigInt',
      description:
        'Resident memory in bytes, 67108864 to 1125899906842624; a replica that takes more is replaced. null: no limit.',
    }),
  }),
});
const BatchingInput = builder.inputType('BatchingInput', {
  description:
    'How requests that wait in a replica share a run of the model; what is left out stays as it is.',
  fields: (t) => ({
    maxRows: t.int({
      description:
        'Rows of a shared run, 1 to 4096; 1: every request runs alone, for models whose rows are not independent.',
    }),
    maxDelayMs: t.float({
      description:
        'Milliseconds that a run may wait for company under load, 0 to 1000; a lone request never waits.',
    }),
  }),
});
const ArmInput = builder.inputType('ArmInput', {
  description: 'A version and its share of the traffic.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'Its name within the deployment.' }),
    version: t.field({
      type: 'VersionRef',
      required: true,
      description: 'What it serves: a version of the project that is READY and not archived.',
    }),
    weight: t.float({
      required: true,
      description: 'Its share of the traffic, 0 to 1; together they make 1.',
    }),
  }),
});
const ArmWeightInput = builder.inputType('ArmWeightInput', {
  description: 'The share of the traffic that an arm shall get.',
  fields: (t) => ({
    arm: t.string({ required: true, description: "The arm's name." }),
    weight: t.float({ required: true, description: '0 to 1; together they make 1.' }),
  }),
});

const CreateDeploymentInput = builder.inputType('CreateDeploymentInput', {
  description: 'A new deployment.',
  fields: (t) => ({
    project: t.string({ required: true, description: 'Name of the project.' }),
    name: t.string({
      required: true,
      description: 'Letters, digits, ".", "_", "-"; 100 characters at most.',
    }),
    version: t.field({
      type: 'VersionRef',
      description: 'What to serve: a version of the project that is READY and not archived.',
    }),
    arms: t.field({
      type: [ArmInput],
      description:
        'Instead of `version`: several versions that share the traffic, 10 at most. The first one is the stable arm; the others must take and answer what it does.',
    }),
    target: t.field({
      type: DeploymentTargetEnum,
      defaultValue: 'LOCAL',
      description: 'Where its replicas run.',
    }),
    externalUrl: t.string({
      description:
        'Of an EXTERNAL one: the URL of the model at its server, such as `http://triton:8000/v2/models/fraud/versions/3`. It must take and answer what the version does.',
    }),
    replicas: t.int({ defaultValue: 1, description: 'How many processes each arm has, 1 to 64.' }),
    resources: t.field({
      type: ResourcesInput,
      description: 'What each replica may use; 1 thread without it.',
    }),
    batching: t.field({
      type: BatchingInput,
      description: 'How waiting requests share a run; up to 256 rows without delay where it is not said.',
    }),
    invalidOutputs: t.field({
      type: InvalidOutputPolicyEnum,
      defaultValue: 'FAIL',
      description: 'What becomes of an answer with NaN or an infinity.',
    }),
    logging: t.field({ type: LoggingInput, description: 'How its predictions are logged.' }),
    follows: t.string({
      description:
        'An alias such as `fraud@champion`: whenever it moves, a rollout of `defaultStrategy` begins; whoever may move it then deploys, so protect it where that shall need OPERATOR. Without `version` it is also what is served first.',
    }),
    defaultStrategy: t.field({
      type: RolloutStrategyEnum,
      defaultValue: 'CANARY',
      description: 'The strategy of rollouts for which none is named.',
    }),
  }),
});
const ScaleInput = builder.inputType('ScaleInput', {
  description: 'What shall be different about the replicas of a deployment; what is left out stays as it is.',
  fields: (t) => ({
    deployment: t.id({ required: true, description: 'Its global id, or `project/name`.' }),
    replicas: t.int({ description: 'How many processes each arm has, 1 to 64.' }),
    resources: t.field({ type: ResourcesInput, description: 'What each replica may use.' }),
    batching: t.field({ type: BatchingInput, description: 'How waiting requests share a run.' }),
    weights: t.field({
      type: [ArmWeightInput],
      description:
        'The share of every arm. It counts at once; a routing key moves only when its arm shrinks past it.',
    }),
  }),
});
const UndeployInput = builder.inputType('UndeployInput', {
  description: 'A deployment to stop.',
  fields: (t) => ({ deployment: t.id({ required: true, description: 'Its global id, or `project/name`.' }) }),
});

builder.mutationFields((t) => ({
  createDeployment: t.field({
    type: DeploymentType,
    description:
      'Puts a version into service under a name: watch subscription `deployment` until it is LIVE. Needs OPERATOR.',
    errors: { types: [...expected.create, NotReadyError] },
    args: {
      input: t.arg({ type: CreateDeploymentInput, required: true, description: 'The new deployment.' }),
    },
    resolve: (_root, { input }, { platform, viewer }) =>
      createDeployment(platform, viewer, {
        project: input.project,
        name: input.name,
        version: (input.version ?? null) === null ? undefined : refOf(['version'], 'Version', input.version!),
        arms: input.arms?.map((arm, index) => ({
          ...arm,
          version: refOf(['arms', String(index), 'version'], 'Version', arm.version),
        })),
        target: input.target ?? 'LOCAL',
        externalUrl: input.externalUrl ?? null,
        replicas: input.replicas ?? 1,
        resources: {
          threads: input.resources?.threads ?? defaultResources.threads,
          memoryLimitBytes: input.resources?.memoryLimitBytes ?? defaultResources.memoryLimitBytes,
        },
        batching: {
          maxRows: input.batching?.maxRows ?? defaultBatching.maxRows,
          maxDelayMs: input.batching?.maxDelayMs ?? defaultBatching.maxDelayMs,
        },
        invalidOutputs: input.invalidOutputs ?? 'FAIL',
        logging: input.logging ?? {},
        follows: input.follows ?? null,
        defaultStrategy: input.defaultStrategy ?? 'CANARY',
      }),
  }),
  scale: t.field({
    type: DeploymentType,
    description:
      'Changes how many replicas a deployment has, what they may use, and how its arms share the traffic. New ones answer before old ones finish and end: watch subscription `deployment`. Needs OPERATOR.',
    errors: { types: expected.create },
    args: { input: t.arg({ type: ScaleInput, required: true, description: 'What shall be different.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      scale(platform, viewer, {
        deployment: refOf(['deployment'], 'Deployment', input.deployment),
        replicas: input.replicas,
        threads: input.resources?.threads,
        memoryLimitBytes: input.resources?.memoryLimitBytes,
        batching: input.batching,
        weights: input.weights,
      }),
  }),
  undeploy: t.field({
    type: DeploymentType,
    description:
      'Takes a deployment out of service for good: what is in flight is answered, nothing new is accepted. Needs OPERATOR.',
    errors: { types: expected.change },
    args: { input: t.arg({ type: UndeployInput, required: true, description: 'Which.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      undeploy(platform, viewer, refOf(['deployment'], 'Deployment', input.deployment)),
  }),
}));
