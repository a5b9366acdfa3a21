import { createModel, type ListedModel, type Model } from '#src/model/model.ts';
import type { TagRecord } from '#src/platform/database.types.ts';
import { listVersions } from '#src/version/version.ts';
import { findVersionByNumber } from '#src/version/version.queries.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageCost } from './connection.ts';
import { expected } from './errors.ts';
import { ProjectType } from './project.ts';
import { VersionConnection, VersionType } from './version.ts';

const Tag = builder.objectRef<TagRecord>('Tag').implement({
  description: 'A key and a value that people give.',
  fields: (t) => ({
    key: t.exposeString('key', { description: 'The key.' }),
    value: t.exposeString('value', { description: 'The value.' }),
  }),
});
const TagInput = builder.inputType('TagInput', {
  description: 'A key and a value.',
  fields: (t) => ({
    key: t.string({ required: true, description: 'Letters, digits, ".", "_", "-"; 100 characters at most.' }),
    value: t.string({ required: true, description: 'Text of 200 characters at most.' }),
  }),
});

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
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When it last got a version.' }),
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
      },
      complexity: pageCost,
      resolve: async (model, args, { platform }) =>
        connectionOf(await listVersions(platform, model, args), ({ number }) => [String(number)]),
    }),
    latest: t.field({
      type: VersionType,
      nullable: true,
      description: 'The version of the highest number; null while there is none.',
      resolve: (model, _args, { platform }) => {
        if (model.latest !== undefined) return model.latest;
        return findVersionByNumber(platform.db, model.id, model.lastNumber).then(
          (version) => version ?? null,
        );
      },
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

builder.mutationField('createModel', (t) =>
  t.field({
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
);
