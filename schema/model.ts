import { createModel, updateModel, type ListedModel, type Model } from '#src/model/model.ts';
import { aliasOf } from '#src/alias/alias.history.ts';
import { deleteModel } from '#src/version/delete-model.ts';
import { findLatestVersion, findVersionByNumber } from '#src/version/version.queries.ts';
import { listVersions } from '#src/version/version.ts';
import { isLive } from '#src/alias/alias.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageCost } from './connection.ts';
import { expected } from './errors.ts';
import { idOf } from './global-id.ts';
import { ProjectType } from './project.ts';
import { AliasType } from './alias.ts';
import { DeploymentType } from './deployment.ts';
import { Tag, TagInput } from './tag.ts';
import { VersionConnection, VersionStatusEnum, VersionType } from './version.ts';

/** A model; read in a list, its newest version came along. */
type ShownModel = Model & Partial<Pick<ListedModel, 'latest'>>;

export const ModelType = builder.objectRef<ShownModel>('Model');
builder.node(ModelType, {
  description: 'A named thing that has versions.',
  belongsTo: (model) => ({ project: model.projectId, role: 'READER' }),
  id: { resolve: (model) => model.id, description: 'Global id.' },
  // Awaited values: the plugin marks what this returns with its type, which a promise does not pass on.
  loadManyWithoutCache: (ids, { loaders }) => Promise.all(ids.map((id) => loaders.model.load(id))),
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Unique in its project.' }),
    description: t.exposeString('description', { nullable: true, description: 'What it does.' }),
    project: t.field({
      type: ProjectType,
      description: 'The project it belongs to.',
      resolve: async (model, _args, { loaders }) => (await loaders.project.load(model.projectId))!,
    }),
    tags: t.field({ type: [Tag], description: 'Keys and values.', resolve: (model) => model.tags }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was registered.' }),
    createdBy: t.field({
      type: ActorType,
      description: 'Who registered it.',
      resolve: (model) => ({ name: model.createdByName, kind: model.createdByKind }),
    }),
    updatedAt: t.expose('updatedAt', {
      type: 'DateTime',
      description: 'When it last got a version or was changed.',
    }),
    version: t.field({
      type: VersionType,
      nullable: true,
      description: 'The version of that number; null when there is none.',
      args: { number: t.arg.int({ required: true, description: 'Its number, from 1.' }) },
      resolve: async (model, { number }, { platform }) =>
        (await findVersionByNumber(platform.db, model.id, number)) ?? null,
    }),
    versions: t.field({
      type: VersionConnection,
      description: 'Versions, newest first.',
      args: {
        first: t.arg.int({ defaultValue: 20, description: pageArgs.first }),
        after: t.arg.string({ description: pageArgs.after }),
        status: t.arg({ type: [VersionStatusEnum], description: 'Only those of these statuses.' }),
      },
      complexity: pageCost,
      resolve: async (model, { status, ...args }, { platform }) =>
        connectionOf(await listVersions(platform, model, args, status ?? null), ({ number }) => [
          String(number),
        ]),
    }),
    latest: t.field({
      type: VersionType,
      nullable: true,
      description: 'The version of the highest number; null while there is none.',
      resolve: (model, _args, { platform }) => {
        if (model.latest !== undefined) return model.latest;
        return findLatestVersion(platform.db, model.id).then((version) => version ?? null);
      },
    }),
    aliases: t.field({
      type: [AliasType],
      description: 'Names that stand for one of its versions, by name.',
      resolve: async (model, _args, { loaders }) =>
        (await loaders.aliasesOfModel.load(model.id)).filter(isLive),
    }),
    alias: t.field({
      type: AliasType,
      nullable: true,
      description: 'The alias of that name, now or as it was at a time; null when there is, or was, none.',
      args: {
        name: t.arg.string({ required: true, description: 'Its name.' }),
        asOf: t.arg({
          type: 'DateTime',
          description: 'A time that has passed; the answer for it never changes. Without it: now.',
        }),
      },
      resolve: async (model, { name, asOf }, { platform }) =>
        (await aliasOf(platform, model, name, asOf ?? null)) ?? null,
    }),
    deployments: t.field({
      type: [DeploymentType],
      description: 'Where its versions are deployed, by name; those that are STOPPED left out.',
      resolve: (model, _args, { loaders }) => loaders.deploymentsOfModel.load(model.id),
    }),
    deletedAt: t.expose('deletedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was deleted: only the past still shows it; null: it is not.',
    }),
  }),
});
export const ModelConnection = builder.connectionObject(
  { type: ModelType, name: 'ModelConnection', description: 'A page of models.' },
  { name: 'ModelEdge', description: 'A model in a page.' },
);

const CreateModelInput = builder.inputType('CreateModelInput', {
  description: 'A new model.',
  fields: (t) => ({
    project: t.string({ required: true, description: 'Name of the project.' }),
    name: t.string({
      required: true,
      description: 'Letters, digits, ".", "_", "-"; 100 characters at most; unique.',
    }),
    description: t.string({ description: 'What it does.' }),
    tags: t.field({ type: [TagInput], description: 'Keys and values, 50 at most.' }),
  }),
});

const UpdateModelInput = builder.inputType('UpdateModelInput', {
  description: 'What is to be written beside a model. Its name stays: references hold it.',
  fields: (t) => ({
    model: t.id({ required: true, description: 'Its global id.' }),
    description: t.string({ description: 'What it does; null takes it away; without it, it stays.' }),
    tags: t.field({ type: [TagInput], description: 'Tags to add, or to give a new value.' }),
    removeTags: t.stringList({ description: 'Keys of tags to take away.' }),
  }),
});
const DeleteModelInput = builder.inputType('DeleteModelInput', {
  description: 'A model to delete.',
  fields: (t) => ({ model: t.id({ required: true, description: 'Its global id.' }) }),
});

builder.mutationFields((t) => ({
  createModel: t.field({
    type: ModelType,
    description: 'Registers a model. Needs AUTHOR.',
    errors: { types: expected.create },
    args: { input: t.arg({ type: CreateModelInput, required: true, description: 'The new model.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      createModel(platform, viewer, {
        project: input.project,
        name: input.name,
        description: input.description ?? null,
        tags: input.tags ?? [],
      }),
  }),
  updateModel: t.field({
    type: ModelType,
    description: 'Changes the description and the tags of a model. Needs AUTHOR.',
    errors: { types: expected.change },
    args: { input: t.arg({ type: UpdateModelInput, required: true, description: 'What to write.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      updateModel(platform, viewer, {
        modelId: idOf(['model'], 'Model', input.model),
        description: input.description,
        tags: input.tags ?? [],
        removeTags: input.removeTags ?? [],
      }),
  }),
  deleteModel: t.field({
    type: ModelType,
    description:
      'Deletes a model for good, with its versions and aliases; its name is free again at once, their bytes within about ' +
      'an hour. Refused, ' +
      'naming them, while deployments, protected aliases or versions of other models refer to it. Needs AUTHOR.',
    errors: { types: expected.create },
    args: { input: t.arg({ type: DeleteModelInput, required: true, description: 'Which.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      deleteModel(platform, viewer, idOf(['model'], 'Model', input.model)),
  }),
}));
