import {
  deploymentAt,
  getDeployment,
  resolveDeployment,
  type Deployment,
  type DeploymentSnapshot,
} from '#src/deployment/deployment.ts';
import { stableOf } from '#src/deployment/deployment.state.ts';
import { changesOf } from '#src/events.ts';
import { deploymentStates, invalidOutputPolicies } from '#src/platform/database.types.ts';
import { NotReadyError } from '#src/platform/errors.ts';
import { ActorType } from './actor.ts';
import { ArmSnapshotType, ArmType } from './arm.ts';
import { builder } from './builder.ts';
import { described } from './described.ts';
import { refOf } from './global-id.ts';
import { INFERENCE } from './http/inference-path.ts';
import { OperationType } from './operation.ts';
import { ProjectType } from './project.ts';
import { SignatureType } from './signature.ts';
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
export const DeploymentTargetEnum = builder.enumType('DeploymentTarget', {
  description: 'Where its replicas run.',
  values: {
    LOCAL: { description: 'As processes on the hosts of the workers.' },
    EXTERNAL: { description: "On somebody else's server, which speaks the Open Inference Protocol v2." },
  },
});
export const InvalidOutputPolicyEnum = builder.enumType('InvalidOutputPolicy', {
  description: 'What becomes of an answer with NaN or an infinity.',
  values: described(invalidOutputPolicies, {
    FAIL: 'The prediction fails with a ModelError.',
    RETURN: 'It is returned with a warning.',
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
        const stable = stableOf(arms);
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
