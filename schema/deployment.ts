import type { ArmRecord } from '#src/deployment/deployment.events.ts';
import { createDeployment } from '#src/deployment/create.ts';
import {
  deploymentAt,
  getDeployment,
  resolveDeployment,
  undeploy,
  type Arm,
  type Deployment,
  type DeploymentSnapshot,
} from '#src/deployment/deployment.ts';
import { scale } from '#src/deployment/scale.ts';
import { defaultBatching, defaultResources } from '#src/deployment/target.ts';
import { changesOf } from '#src/events.ts';
import {
  armRoles,
  deploymentStates,
  invalidOutputPolicies,
  replicaStates,
} from '#src/platform/database.types.ts';
import { NotReadyError } from '#src/platform/errors.ts';
import type { ReplicaRow } from '#src/replica/replica.queries.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { expected } from './errors.ts';
import { refOf } from './global-id.ts';
import { INFERENCE } from './http/inference-path.ts';
import { OperationType } from './operation.ts';
import { ProjectType } from './project.ts';
import { SignatureType } from './signature.ts';
import { VersionType } from './version.ts';
import { watched } from './watch.ts';

const DeploymentStateEnum = builder.enumType('DeploymentState', {
  description: 'How a deployment is.',
  values: described(deploymentStates, {
    PENDING: 'Waits for a worker.',
    PROVISIONING: 'Its replicas are starting.',
    LIVE: 'Every wanted replica is ready.',
    DEGRADED: 'Fewer replicas are ready than wanted; they are being restarted.',
    FAILED: 'It did not come up; `stateReason` tells why.',
    STOPPING: 'Takes no new prediction; its replicas finish and end.',
    STOPPED: 'Out of service for good.',
  }),
});
const DeploymentTargetEnum = builder.enumType('DeploymentTarget', {
  description: 'Where its replicas run.',
  values: {
    LOCAL: { description: 'As processes on the hosts of the workers.' },
    EXTERNAL: { description: "On somebody else's server, which speaks the Open Inference Protocol v2." },
  },
});
const ArmRoleEnum = builder.enumType('ArmRole', {
  description: 'What an arm is there for.',
  values: described(armRoles, {
    STABLE: 'Answers.',
    CANDIDATE: 'Answers a share, and is watched.',
    SHADOW: 'Gets copies; its answers are compared and thrown away.',
  }),
});
const ReplicaStateEnum = builder.enumType('ReplicaState', {
  description: 'How far a replica is.',
  values: described(replicaStates, {
    STARTING: 'Wanted; its process is not there yet.',
    LOADING: 'Reads the model.',
    WARMING: 'Runs the model a few times before it counts.',
    READY: 'Answers.',
    DRAINING: 'Finishes what it has, then ends.',
    BACKING_OFF: 'Ended against our wish; starts again at `nextRestartAt`.',
    EXITED: 'Ended for good.',
  }),
});
const InvalidOutputPolicyEnum = builder.enumType('InvalidOutputPolicy', {
  description: 'What becomes of an answer with NaN or an infinity.',
  values: described(invalidOutputPolicies, {
    FAIL: 'The prediction fails with a ModelError.',
    RETURN: 'It is returned with a warning.',
  }),
});

function described<T extends string>(
  names: readonly T[],
  texts: Record<T, string>,
): Record<T, { description: string }> {
  return Object.fromEntries(names.map((name) => [name, { description: texts[name] }])) as Record<
    T,
    { description: string }
  >;
}

const ReplicaType = builder.objectRef<ReplicaRow>('Replica').implement({
  description: 'One process that serves one version.',
  fields: (t) => ({
    id: t.globalID({
      description: 'Global id.',
      resolve: (replica) => ({ id: replica.id, type: 'Replica' }),
    }),
    host: t.exposeString('hostId', { description: 'Where it runs.' }),
    state: t.expose('state', { type: ReplicaStateEnum, description: 'How far it is.' }),
    startedAt: t.expose('startedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When its process was started.',
    }),
    loadMs: t.exposeFloat('loadMs', {
      nullable: true,
      description: 'Milliseconds that reading the model took.',
    }),
    warmUpMs: t.exposeFloat('warmUpMs', {
      nullable: true,
      description: 'Milliseconds that warming up took.',
    }),
    memoryBytes: t.expose('memoryBytes', {
      type: 'BigInt',
      nullable: true,
      description: 'Resident memory of its process in bytes, to about 5 s.',
    }),
    inFlight: t.exposeInt('inFlight', { description: 'Requests it is working on, to about 5 s.' }),
    restarts: t.exposeInt('restarts', { description: 'How often it ended against our wish.' }),
    nextRestartAt: t.expose('nextRestartAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it starts again, while it backs off.',
    }),
    exitReason: t.exposeString('exitReason', { nullable: true, description: 'Why it ended the last time.' }),
  }),
});

const ArmSnapshotType = builder.objectRef<ArmRecord>('ArmSnapshot').implement({
  description: 'A version that got a share of the traffic.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name within the deployment.' }),
    role: t.expose('role', { type: ArmRoleEnum, description: 'What it was there for.' }),
    weight: t.exposeFloat('weight', { description: 'Its share of the traffic, 0 to 1.' }),
    version: t.field({
      type: VersionType,
      description: 'What it served; deleted ones too.',
      resolve: async (arm, _args, { loaders }) => (await loaders.version.load(arm.version))!,
    }),
  }),
});
const DeploymentSnapshotType = builder.objectRef<DeploymentSnapshot>('DeploymentSnapshot').implement({
  description: 'A deployment as it was.',
  belongsTo: (snapshot) => ({ project: snapshot.projectId, role: 'READER' }),
  fields: (t) => ({
    at: t.expose('at', { type: 'DateTime', description: 'When.' }),
    state: t.expose('state', { type: DeploymentStateEnum, description: 'How it was.' }),
    stateReason: t.exposeString('stateReason', { nullable: true, description: 'Why it was so.' }),
    arms: t.field({
      type: [ArmSnapshotType],
      description: 'Its versions with their shares of the traffic, by name.',
      resolve: (snapshot) => [...snapshot.arms],
    }),
  }),
});

const ArmType = builder.objectRef<Arm>('Arm').implement({
  description: 'A version that gets a share of the traffic.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name within the deployment.' }),
    role: t.expose('role', { type: ArmRoleEnum, description: 'What it is there for.' }),
    weight: t.exposeFloat('weight', { description: 'Its share of the traffic, 0 to 1.' }),
    version: t.field({
      type: VersionType,
      description: 'What it serves.',
      resolve: async (arm, _args, { loaders }) => (await loaders.version.load(arm.versionId))!,
    }),
    replicas: t.field({
      type: [ReplicaType],
      description: 'Its processes, those that have ended for good left out.',
      resolve: async (arm, _args, { loaders }) =>
        (await loaders.replicas.load(arm.deploymentId)).filter((replica) => replica.armId === arm.id),
    }),
    ready: t.boolean({
      description: 'Whether at least one of its replicas answers.',
      resolve: async (arm, _args, { loaders }) =>
        (await loaders.replicas.load(arm.deploymentId)).some(
          (replica) => replica.armId === arm.id && replica.state === 'READY',
        ),
    }),
  }),
});

const ResourcesType = builder
  .objectRef<Pick<Deployment, 'threads' | 'memoryLimitBytes'>>('Resources')
  .implement({
    description: 'What a replica may use.',
    fields: (t) => ({
      threads: t.exposeInt('threads', { description: 'Threads that it runs the model with.' }),
      memoryLimitBytes: t.expose('memoryLimitBytes', {
        type: 'BigInt',
        nullable: true,
        description: 'Resident memory in bytes; a replica that takes more is replaced. null: no limit.',
      }),
    }),
  });
const BatchingType = builder
  .objectRef<Pick<Deployment, 'maxBatchRows' | 'maxBatchDelayMs'>>('Batching')
  .implement({
    description: 'How requests that wait in a replica share a run of the model.',
    fields: (t) => ({
      maxRows: t.exposeInt('maxBatchRows', {
        description: 'Rows of a shared run, at most; 1: every request runs alone.',
      }),
      maxDelayMs: t.exposeFloat('maxBatchDelayMs', {
        description: 'Milliseconds that a run may wait for company under load; a lone request never waits.',
      }),
    }),
  });

export const DeploymentType = builder.objectRef<Deployment>('Deployment');
builder.node(DeploymentType, {
  description: 'A named endpoint on which a version answers.',
  belongsTo: (deployment) => ({ project: deployment.projectId, role: 'READER' }),
  id: { resolve: (deployment) => deployment.id, description: 'Global id.' },
  // Awaited values: the plugin marks what this returns with its type, which a promise does not pass on.
  loadManyWithoutCache: (ids, { loaders }) => Promise.all(ids.map((id) => loaders.deployment.load(id))),
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Unique among those of the project that are not STOPPED.' }),
    project: t.field({
      type: ProjectType,
      description: 'The project it belongs to.',
      resolve: async (deployment, _args, { loaders }) => (await loaders.project.load(deployment.projectId))!,
    }),
    state: t.expose('state', { type: DeploymentStateEnum, description: 'How it is.' }),
    stateReason: t.exposeString('stateReason', { nullable: true, description: 'Why it is so.' }),
    target: t.expose('target', { type: DeploymentTargetEnum, description: 'Where its replicas run.' }),
    endpoint: t.string({
      description:
        'Where it answers the Open Inference Protocol v2 (`/infer`, `/ready` behind it). It begins with the path, unless PUBLIC_URL is set.',
      resolve: async (deployment, _args, { loaders, platform }) => {
        const project = (await loaders.project.load(deployment.projectId))!;
        const names = [project.name, deployment.name].map(encodeURIComponent).join('/');
        return `${platform.config.PUBLIC_URL ?? ''}${INFERENCE}/models/${names}`;
      },
    }),
    externalUrl: t.exposeString('endpoint', {
      nullable: true,
      description: 'Of an EXTERNAL one: the URL of the model at its server.',
    }),
    desiredReplicas: t.exposeInt('desiredReplicas', {
      description: 'How many replicas each arm should have.',
    }),
    resources: t.field({
      type: ResourcesType,
      description: 'What each replica may use.',
      resolve: (deployment) => deployment,
    }),
    batching: t.field({
      type: BatchingType,
      description: 'How requests that wait in a replica share a run of the model.',
      resolve: (deployment) => deployment,
    }),
    invalidOutputs: t.expose('invalidOutputs', {
      type: InvalidOutputPolicyEnum,
      description: 'What becomes of an answer with NaN or an infinity.',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    createdBy: t.field({
      type: ActorType,
      description: 'Who created it.',
      resolve: (deployment) => ({ name: deployment.createdByName, kind: deployment.createdByKind }),
    }),
    operation: t.field({
      type: OperationType,
      nullable: true,
      description: 'The work on it that was last asked for.',
      resolve: async (deployment, _args, { loaders }) =>
        deployment.operationId === null
          ? null
          : ((await loaders.operation.load(deployment.operationId)) ?? null),
    }),
    arms: t.field({
      type: [ArmType],
      description: 'Its versions with their shares of the traffic, by name.',
      resolve: (deployment, _args, { loaders }) => loaders.arms.load(deployment.id),
    }),
    asOf: t.field({
      type: DeploymentSnapshotType,
      nullable: true,
      description:
        'How it was at a time that has passed; the answer never changes. null: it was not there yet.',
      args: { time: t.arg({ type: 'DateTime', required: true, description: 'When.' }) },
      resolve: async (deployment, { time }, { platform }) =>
        (await deploymentAt(platform, deployment, time)) ?? null,
    }),
    signature: t.field({
      type: SignatureType,
      description: 'What it takes and answers: the signature of the stable version.',
      resolve: async (deployment, _args, { loaders }) => {
        const arms = await loaders.arms.load(deployment.id);
        const stable = arms.find((arm) => arm.role === 'STABLE') ?? arms[0];
        const version = stable && (await loaders.version.load(stable.versionId));
        if (!version?.signature) throw new NotReadyError('The deployment has no version that is READY.');
        return version.signature;
      },
    }),
  }),
});
export const DeploymentConnection = builder.connectionObject(
  { type: DeploymentType, name: 'DeploymentConnection', description: 'A page of deployments.' },
  { name: 'DeploymentEdge', description: 'A deployment in a page.' },
);

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

export const LoggingInput = builder.inputType('PredictionLoggingInput', {
  description: 'How to log predictions; what is not given stays as it is, or is the default.',
  fields: (t) => ({
    sampleRate: t.float({
      description: 'Share of the requests whose inputs and outputs are kept, 0 to 1. Default: 1.',
    }),
    redact: t.stringList({
      description:
        'Columns (inputs, where the version names no columns) whose values are not written down. Default: none.',
    }),
    retentionDays: t.int({ description: 'Days that predictions stay: 1, 7, 30, 90 or 365. Default: 30.' }),
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

builder.subscriptionField('deployment', (t) =>
  t.field({
    type: DeploymentType,
    description: 'A deployment with its replicas: at once, then at every change, until it is STOPPED.',
    args: { id: t.arg.id({ required: true, description: 'Its global id, or `project/name`.' }) },
    subscribe: async (_root, args, { platform, viewer, services }, info) => {
      const ref = refOf(['id'], 'Deployment', args.id);
      const { id } = await resolveDeployment(platform, viewer, ['id'], ref);
      const hints = (signal: AbortSignal) => changesOf(services.feed, 'deployment', id, signal);
      return watched(
        info,
        hints,
        () => getDeployment(platform, viewer, id),
        ({ state }) => state === 'STOPPED',
      );
    },
    resolve: (deployment: Deployment) => deployment,
  }),
);
