import { deleteAlias, setAlias, type Alias, type AliasMove } from '#src/alias/alias.ts';
import { listMoves } from '#src/alias/alias.history.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageCost } from './connection.ts';
import { expected } from './errors.ts';
import { idOf, refOf } from './global-id.ts';
import { VersionType } from './version.ts';

const AliasMoveType = builder.objectRef<AliasMove>('AliasMove').implement({
  description: 'An alias came to stand for another version, or was deleted.',
  fields: (t) => ({
    sequence: t.expose('sequence', { type: 'BigInt', description: "Its number in the project's ledger." }),
    at: t.expose('at', { type: 'DateTime', description: 'When.' }),
    by: t.expose('by', { type: ActorType, description: 'Who did it.' }),
    from: t.field({
      type: VersionType,
      nullable: true,
      description: 'What it stood for before; null: nothing.',
      resolve: async ({ fromId }, _args, { loaders }) =>
        fromId === null ? null : ((await loaders.version.load(fromId)) ?? null),
    }),
    to: t.field({
      type: VersionType,
      nullable: true,
      description: 'What it stood for from then on; null: it was deleted.',
      resolve: async ({ toId }, _args, { loaders }) =>
        toId === null ? null : ((await loaders.version.load(toId)) ?? null),
    }),
  }),
});
const AliasMoveConnection = builder.connectionObject(
  { type: AliasMoveType, name: 'AliasMoveConnection', description: 'A page of moves.' },
  { name: 'AliasMoveEdge', description: 'A move in a page.' },
);

export const AliasType = builder.objectRef<Alias>('Alias').implement({
  description: 'A name that stands for one of the versions of a model, and moves.',
  belongsTo: (alias) => ({ project: alias.projectId, role: 'READER' }),
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Unique in its model.' }),
    version: t.field({
      type: VersionType,
      description: 'What it stands for.',
      resolve: async (alias, _args, { loaders }) => (await loaders.version.load(alias.versionId))!,
    }),
    protected: t.exposeBoolean('protected', { description: 'Whether moving it needs OPERATOR.' }),
    movedAt: t.expose('movedAt', { type: 'DateTime', description: 'When it came to stand there.' }),
    movedBy: t.field({
      type: ActorType,
      description: 'Who put it there.',
      resolve: (alias) => ({ name: alias.movedByName, kind: alias.movedByKind }),
    }),
    history: t.field({
      type: AliasMoveConnection,
      description: 'Where it has stood, newest first; what was deleted in between too.',
      args: {
        first: t.arg.int({ defaultValue: 20, description: pageArgs.first }),
        after: t.arg.string({ description: pageArgs.after }),
      },
      complexity: pageCost,
      resolve: async (alias, args, { platform }) =>
        connectionOf(await listMoves(platform, alias, args), ({ sequence }) => [String(sequence)]),
    }),
  }),
});

const SetAliasInput = builder.inputType('SetAliasInput', {
  description: 'Where an alias is to stand.',
  fields: (t) => ({
    model: t.id({ required: true, description: "The model's global id." }),
    name: t.string({
      required: true,
      description: 'Letters of one script, digits, ".", "_", "-"; 100 characters at most; not "latest".',
    }),
    version: t.field({ type: 'VersionRef', required: true, description: 'A version of the model.' }),
    expected: t.field({
      type: 'VersionRef',
      description:
        'The version that it stands for now, as far as you know: if it does not, nothing is changed. Leave it out for ' +
        'an alias that is new.',
    }),
    protected: t.boolean({
      description:
        'Whether moving it needs OPERATOR from now on; without it, as it is. Changing it needs OPERATOR.',
    }),
  }),
});
const DeleteAliasInput = builder.inputType('DeleteAliasInput', {
  description: 'An alias to delete.',
  fields: (t) => ({
    model: t.id({ required: true, description: "The model's global id." }),
    name: t.string({ required: true, description: 'Its name.' }),
    expected: t.field({
      type: 'VersionRef',
      required: true,
      description: 'The version that it stands for now: if it does not, nothing is changed.',
    }),
  }),
});

builder.mutationFields((t) => ({
  setAlias: t.field({
    type: AliasType,
    description:
      'Makes an alias, or moves it, if it stands where you expect: of two who move it at once, one gets a ConflictError ' +
      'with the version it stands for. Needs AUTHOR; OPERATOR where it is protected.',
    errors: { types: expected.create },
    args: { input: t.arg({ type: SetAliasInput, required: true, description: 'Where it is to stand.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      setAlias(platform, viewer, {
        modelId: idOf(['model'], 'Model', input.model),
        name: input.name,
        version: refOf(['version'], 'Version', input.version),
        expected:
          input.expected === null || input.expected === undefined
            ? null
            : refOf(['expected'], 'Version', input.expected),
        protected: input.protected ?? null,
      }),
  }),
  deleteAlias: t.field({
    type: AliasType,
    description:
      'Deletes an alias and answers with what it was; its history stays. Needs AUTHOR; OPERATOR where it is protected.',
    errors: { types: expected.create },
    args: { input: t.arg({ type: DeleteAliasInput, required: true, description: 'Which.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      deleteAlias(platform, viewer, {
        modelId: idOf(['model'], 'Model', input.model),
        name: input.name,
        expected: refOf(['expected'], 'Version', input.expected),
      }),
  }),
}));
