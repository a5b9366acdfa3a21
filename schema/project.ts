import { createProject, findProject, listProjects, type Project } from '#src/project/project.ts';
import { listTokens } from '#src/access/token.queries.ts';
import { ForbiddenError, NotFoundError } from '#src/platform/errors.ts';
import { findDeployment, listDeployments } from '#src/deployment/deployment.ts';
import { findModel, listModels } from '#src/model/model.ts';
import { resolveVersion } from '#src/version/resolve.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageCost } from './connection.ts';
import { DeploymentConnection, DeploymentType } from './deployment.ts';
import { expected } from './errors.ts';
import { refOf } from './global-id.ts';
import { ModelConnection, ModelType } from './model.ts';
import { TokenType } from './token.ts';
import { VersionType } from './version.ts';

export const ProjectType = builder.objectRef<Project>('Project');
builder.node(ProjectType, {
  description: 'Holds models, deployments and tokens, and is the boundary of access.',
  belongsTo: (project) => ({ project: project.id, role: 'READER' }),
  id: { resolve: (project) => project.id, description: 'Global id.' },
  // Awaited values: the plugin marks what this returns with its type, which a promise does not pass on.
  loadManyWithoutCache: (ids, { loaders }) => Promise.all(ids.map((id) => loaders.project.load(id))),
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Unique among all projects.' }),
    description: t.exposeString('description', { nullable: true, description: 'What it is for.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    storedBytes: t.field({
      type: 'BigInt',
      description: 'Bytes that its versions hold, the same ones counted once.',
      resolve: async (project, _args, { loaders }) => (await loaders.stored.load(project.id))[0]?.bytes ?? 0n,
    }),
    quotaBytes: t.field({
      type: 'BigInt',
      nullable: true,
      description: 'Most that they may hold, in bytes (PROJECT_QUOTA_BYTES); null: no limit.',
      resolve: (_project, _args, { platform: { config } }) =>
        config.PROJECT_QUOTA_BYTES === 0 ? null : BigInt(config.PROJECT_QUOTA_BYTES),
    }),
    model: t.field({
      type: ModelType,
      nullable: true,
      description: 'The model of that name; null when there is none.',
      args: { name: t.arg.string({ required: true, description: 'Its name.' }) },
      resolve: async (project, { name }, { platform }) =>
        (await findModel(platform, project.id, name)) ?? null,
    }),
    models: t.field({
      type: ModelConnection,
      description: 'Models, by name.',
      args: {
        first: t.arg.int({ defaultValue: 20, description: pageArgs.first }),
        after: t.arg.string({ description: pageArgs.after }),
      },
      complexity: pageCost,
      resolve: async (project, args, { platform }) =>
        connectionOf(await listModels(platform, project.id, args), ({ name }) => [name]),
    }),
    version: t.field({
      type: VersionType,
      nullable: true,
      description: 'The version that a reference means, such as `fraud@champion`; null when there is none.',
      args: { ref: t.arg({ type: 'VersionRef', required: true, description: 'Which one.' }) },
      resolve: (project, { ref }, { platform, viewer }) =>
        resolveVersion(platform, viewer, ['ref'], refOf(['ref'], 'Version', ref), project).catch(noneFound),
    }),
    deployment: t.field({
      type: DeploymentType,
      nullable: true,
      description:
        'The deployment of that name: the one in service, else the one stopped last; null when there is none.',
      args: { name: t.arg.string({ required: true, description: 'Its name.' }) },
      resolve: async (project, { name }, { platform }) =>
        (await findDeployment(platform, project.id, name)) ?? null,
    }),
    deployments: t.field({
      type: DeploymentConnection,
      description: 'Deployments, stopped ones too, by name.',
      args: {
        first: t.arg.int({ defaultValue: 20, description: pageArgs.first }),
        after: t.arg.string({ description: pageArgs.after }),
      },
      complexity: pageCost,
      resolve: async (project, args, { platform }) =>
        connectionOf(await listDeployments(platform, project.id, args), ({ name, id }) => [name, id]),
    }),
    tokens: t.field({
      type: [TokenType],
      description: 'API tokens that still work, by name. Needs ADMIN.',
      authScopes: (project) => ({ inProject: { project: project.id, role: 'ADMIN' } }),
      unauthorizedError: () => new ForbiddenError('The list of tokens needs the role ADMIN.', 'ADMIN'),
      resolve: (project, _args, { platform }) => listTokens(platform.db, project.id),
    }),
  }),
});

/** @throws any error but that there is none */
function noneFound(error: unknown): null {
  if (error instanceof NotFoundError) return null;
  throw error;
}

builder.queryFields((t) => ({
  projects: t.field({
    type: [ProjectType],
    description: 'Every project that you can see, by name; 1,000 at most.',
    resolve: (_root, _args, { platform, viewer }) => listProjects(platform, viewer),
  }),
  project: t.field({
    type: ProjectType,
    nullable: true,
    description: 'The project of that name; null when there is none that you can see.',
    args: { name: t.arg.string({ required: true, description: 'Its name.' }) },
    resolve: async (_root, { name }, { platform, viewer }) =>
      (await findProject(platform, viewer, name)) ?? null,
  }),
}));

const CreateProjectInput = builder.inputType('CreateProjectInput', {
  description: 'A new project.',
  fields: (t) => ({
    name: t.string({
      required: true,
      description: 'Letters, digits, ".", "_", "-"; 100 characters at most; unique.',
    }),
    description: t.string({ description: 'What it is for.' }),
  }),
});

builder.mutationField('createProject', (t) =>
  t.field({
    type: ProjectType,
    description: 'Creates a project. Needs an ADMIN of all projects.',
    errors: { types: expected.create },
    args: { input: t.arg({ type: CreateProjectInput, required: true, description: 'The new project.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      createProject(platform, viewer, { name: input.name, description: input.description ?? null }),
  }),
);
