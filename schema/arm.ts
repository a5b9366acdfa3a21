import type { ArmRecord } from '#src/deployment/deployment.events.ts';
import type { Arm } from '#src/deployment/deployment.ts';
import { armRoles, replicaStates } from '#src/platform/database.types.ts';
import type { ReplicaRow } from '#src/replica/replica.queries.ts';
import { builder } from './builder.ts';
import { described } from './described.ts';
import { VersionType } from './version.ts';

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

export const ArmSnapshotType = builder.objectRef<ArmRecord>('ArmSnapshot').implement({
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

export const ArmType = builder.objectRef<Arm>('Arm').implement({
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
