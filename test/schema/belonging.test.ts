/** The guard on a schema of its own, whose resolvers check nothing: whatever they let out must be stopped. */
import SchemaBuilder, { brandWithType } from '@pothos/core';
import ErrorsPlugin from '@pothos/plugin-errors';
import { graphql } from 'graphql';
import { expect, test } from 'vitest';
import type { Context } from '#schema/context.ts';
import { belonging } from '#schema/plugin/belonging.ts';
import { plainFields } from '#schema/plugin/plain-fields.ts';
import type { Viewer } from '#src/access/access.ts';
import { NotFoundError } from '#src/platform/errors.ts';

interface Row {
  readonly id: string;
  readonly project: string;
}
const own: Row = { id: 'own', project: 'a' };
const foreign: Row = { id: 'foreign', project: 'b' };

const builder = new SchemaBuilder<{ Context: Context }>({
  plugins: [ErrorsPlugin, belonging, plainFields],
  errors: { directResult: true },
  // Asked for by the types wherever that plugin is imported; it is not used here.
  scopeAuth: { authScopes: () => ({}) },
});

const Thing = builder.interfaceRef<Row>('Thing').implement({ fields: (t) => ({ id: t.exposeID('id') }) });
const RowType = builder.objectRef<Row>('Row').implement({
  interfaces: [Thing],
  belongsTo: ({ project }) => ({ project, role: 'READER' }),
});
const Holder = builder.objectRef<{ row: Row }>('Holder').implement({
  fields: (t) => ({ row: t.expose('row', { type: RowType, nullable: true }) }),
});
builder.objectType(NotFoundError, {
  name: 'NotFoundError',
  fields: (t) => ({ what: t.exposeString('what') }),
});

const marked = (row: Row): Row => {
  const copy = { ...row };
  brandWithType(copy, RowType as never);
  return copy;
};

builder.queryType({
  fields: (t) => ({
    own: t.field({ type: RowType, resolve: () => own }),
    missing: t.field({ type: RowType, nullable: true, resolve: () => null }),
    row: t.field({ type: RowType, nullable: true, resolve: () => foreign }),
    later: t.field({ type: RowType, nullable: true, resolve: async () => foreign }),
    list: t.field({ type: [RowType], nullable: true, resolve: () => [own, foreign] }),
    laterList: t.field({
      type: [RowType],
      nullable: true,
      resolve: async () => [own, Promise.resolve(foreign)] as Row[],
    }),
    exposed: t.field({ type: Holder, resolve: () => ({ row: foreign }) }),
    expected: t.field({
      type: RowType,
      nullable: true,
      errors: { types: [NotFoundError] },
      resolve: () => foreign,
    }),
    node: t.field({ type: Thing, nullable: true, resolve: () => marked(foreign) }),
    ownNode: t.field({ type: Thing, resolve: () => marked(own) }),
    unmarked: t.field({ type: Thing, nullable: true, resolve: () => own }),
  }),
});
const schema = builder.toSchema();

const viewer: Viewer = {
  name: 'reader',
  kind: 'TOKEN',
  everywhere: null,
  project: { id: 'a', role: 'READER' },
  tokenId: 'token',
};
const ask = async (source: string) => graphql({ schema, source, contextValue: { viewer } });

test('lets through what the viewer may see', async () => {
  const { data, errors } = await ask('{ own { id } missing { id } ownNode { id } }');
  expect(errors).toBeUndefined();
  expect(data).toEqual({ own: { id: 'own' }, missing: null, ownNode: { id: 'own' } });
});

test.for([
  'row { id }',
  'later { id }',
  'list { id }',
  'laterList { id }',
  'exposed { row { id } }',
  'expected { ... on Row { id } }',
  'node { id }',
])('stops what belongs to another project: %s', async (field) => {
  const { data, errors } = await ask(`{ ${field} }`);
  expect(JSON.stringify(data)).not.toContain('foreign');
  expect(errors?.map(({ originalError }) => originalError?.name)).toEqual(['ForbiddenError']);
});

test('stops an object that does not tell its type', async () => {
  const { data, errors } = await ask('{ unmarked { id } }');
  expect(data).toEqual({ unmarked: null });
  expect(errors?.[0]?.message).toContain('without a type');
});
