import { createToken, revokeToken, type ApiToken } from '#src/access/token.ts';
import { getProject } from '#src/project/project.ts';
import { builder } from './builder.ts';
import { expected, RoleEnum } from './errors.ts';
import { idOf } from './global-id.ts';

export const TokenType = builder.objectRef<ApiToken>('ApiToken').implement({
  description: 'Lets a program act in one project. Its secret was shown once and is kept only as a hash.',
  belongsTo: (token) => ({ project: token.projectId, role: 'ADMIN' }),
  fields: (t) => ({
    id: t.globalID({ description: 'Global id.', resolve: (token) => ({ id: token.id, type: 'ApiToken' }) }),
    name: t.exposeString('name', { description: 'Unique among the tokens of the project that still work.' }),
    role: t.expose('role', { type: RoleEnum, description: 'What it allows.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was made.' }),
    lastUsedAt: t.expose('lastUsedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was last used, to about a minute; null: never.',
    }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it stops working; null: when it is revoked.',
    }),
  }),
});

const CreatedToken = builder.objectRef<{ token: ApiToken; secret: string }>('CreatedToken').implement({
  description: 'A new token with its secret.',
  fields: (t) => ({
    token: t.expose('token', { type: TokenType, description: 'The token.' }),
    secret: t.exposeString('secret', {
      description: 'Send it as `Authorization: Bearer <secret>`. Shown this once and never again.',
    }),
  }),
});

const CreateTokenInput = builder.inputType('CreateTokenInput', {
  description: 'A new token.',
  fields: (t) => ({
    project: t.string({ required: true, description: 'Name of the project.' }),
    name: t.string({ required: true, description: 'What it is for.' }),
    role: t.field({ type: RoleEnum, required: true, description: 'What it allows.' }),
    expiresAt: t.field({
      type: 'DateTime',
      description: 'When it stops working; without it, when it is revoked.',
    }),
  }),
});
const RevokeTokenInput = builder.inputType('RevokeTokenInput', {
  description: 'A token to revoke.',
  fields: (t) => ({ token: t.id({ required: true, description: 'Its global id.' }) }),
});

builder.mutationFields((t) => ({
  createToken: t.field({
    type: CreatedToken,
    description: 'Makes an API token. Needs ADMIN.',
    errors: { types: expected.create },
    args: { input: t.arg({ type: CreateTokenInput, required: true, description: 'The new token.' }) },
    resolve: async (_root, { input }, { platform, viewer }) =>
      createToken(platform, viewer, await getProject(platform, viewer, input.project), {
        name: input.name,
        role: input.role,
        expiresAt: input.expiresAt ?? null,
      }),
  }),
  revokeToken: t.field({
    type: TokenType,
    description: 'Makes a token useless, everywhere, within about a second. Needs ADMIN.',
    errors: { types: expected.change },
    args: { input: t.arg({ type: RevokeTokenInput, required: true, description: 'The token.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      revokeToken(platform, viewer, idOf(['token'], 'ApiToken', input.token)),
  }),
}));
