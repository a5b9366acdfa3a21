import { builder } from './builder.ts';
import { brandWithType } from '@pothos/core';
import type { Actor } from '#src/access/access.ts';
import { listAncestors, listGraph, placeKey } from '#src/version/lineage.ts';
import type { Version } from '#src/version/version.ts';
import type { Line } from '#src/version/lanes.ts';
import { MOST_CHILDREN, type Loaders } from './context.ts';
import { ActorType } from './actor.ts';
import { connectionOf, pageArgs, pageCost } from './connection.ts';
import { ModelType } from './model.ts';
import { VersionConnection, VersionType, type ShownVersion } from './version.ts';

const UploadOrigin = builder.objectRef<{ by: Actor }>('UploadOrigin').implement({
  description: 'Its bytes came with the request, or the project had them already.',
  fields: (t) => ({ by: t.expose('by', { type: ActorType, description: 'Who gave them.' }) }),
});
const RestoreOrigin = builder.objectRef<{ by: Actor; from: ShownVersion }>('RestoreOrigin').implement({
  description: 'It has the bytes of an older version.',
  fields: (t) => ({
    by: t.expose('by', { type: ActorType, description: 'Who restored it.' }),
    from: t.expose('from', { type: VersionType, description: 'The version whose bytes these are.' }),
  }),
});
export const VersionOriginType = builder.unionType('VersionOrigin', {
  description: 'Where the bytes of a version came from.',
  types: [UploadOrigin, RestoreOrigin],
});

builder.objectFields(VersionType, (t) => ({
  parents: t.field({
    type: [VersionType],
    description: 'What it was made from, the first one first: a merge has two.',
    resolve: async (version, _args, { loaders }) => {
      const parents = await loaders.parents.load(version.id);
      return loadAll(
        loaders,
        parents.map(({ parentId }) => parentId),
      );
    },
  }),
  children: t.field({
    type: [VersionType],
    description: `What was made from it, newest first; ${MOST_CHILDREN} at most.`,
    resolve: async (version, _args, { loaders }) => {
      const children = await loaders.children.load(version.id);
      return loadAll(
        loaders,
        children.map(({ id }) => id),
      );
    },
  }),
  ancestors: t.field({
    type: VersionConnection,
    description: 'Everything it came from, each version before its own parents.',
    args: {
      first: t.arg.int({ defaultValue: 20, description: pageArgs.first }),
      after: t.arg.string({ description: pageArgs.after }),
    },
    complexity: pageCost,
    resolve: async (version, args, { platform }) => {
      const page = await listAncestors(platform, version, args);
      const { edges, pageInfo } = connectionOf(page, ({ frontier }) => [frontier.join(' ')]);
      return { edges: edges.map(({ cursor, node }) => ({ cursor, node: node.version })), pageInfo };
    },
  }),
  origin: t.field({
    type: VersionOriginType,
    description: 'Where its bytes came from.',
    resolve: (version, _args, { loaders }) => originOf(version, loaders),
  }),
}));

export async function originOf(version: ShownVersion, loaders: Loaders) {
  const by = { name: version.authorName, kind: version.authorKind };
  const source = version.originVersionId;
  const from = source === null ? undefined : await loaders.version.load(source);
  return from ? branded('RestoreOrigin', { by, from }) : branded('UploadOrigin', { by });
}

async function loadAll({ version }: Loaders, ids: readonly string[]): Promise<Version[]> {
  const loaded = await Promise.all(ids.map((id) => version.load(id)));
  return loaded.filter((found) => found !== undefined);
}

/** A member of a union has to say which it is. */
function branded<T extends object>(type: 'UploadOrigin' | 'RestoreOrigin', value: T): T {
  brandWithType(value, type as never);
  return value;
}

const GraphLine = builder.objectRef<Line>('GraphLine').implement({
  description: 'A line of the drawing from one row to the one below it.',
  fields: (t) => ({
    from: t.exposeInt('from', { description: 'Lane in this row, from 0 at the left.' }),
    to: t.exposeInt('to', { description: 'Lane in the row below.' }),
  }),
});

interface GraphEdge {
  readonly cursor: string;
  readonly node: ShownVersion;
  readonly lane: number;
  readonly lines: readonly Line[];
}
const VersionGraphEdge = builder.edgeObject({
  type: VersionType,
  name: 'VersionGraphEdge',
  description: 'A row of the drawing.',
  fields: (t) => ({
    lane: t.int({
      description: 'Where the version stands, from 0 at the left.',
      resolve: (edge) => (edge as unknown as GraphEdge).lane,
    }),
    lines: t.field({
      type: [GraphLine],
      description: 'What is drawn from this row to the one below: to its parents, and past it.',
      resolve: (edge) => [...(edge as unknown as GraphEdge).lines],
    }),
  }),
});
const VersionGraphConnection = builder.connectionObject(
  {
    type: VersionType,
    name: 'VersionGraphConnection',
    description: 'A page of the drawing of a lineage, newest version on top.',
  },
  VersionGraphEdge,
);

builder.objectField(ModelType, 'graph', (t) =>
  t.field({
    type: VersionGraphConnection,
    description:
      'The lineage of all versions as a drawing: a row for each, newest on top, in lanes. Pages fit together. Parents in ' +
      'other models are among `parents` but not drawn.',
    args: {
      first: t.arg.int({ defaultValue: 100, description: pageArgs.first }),
      after: t.arg.string({ description: pageArgs.after }),
    },
    complexity: ({ first }) => ({ field: 1, multiplier: Math.max(1, first ?? 100) }),
    resolve: async (model, args, { platform }) => {
      const page = await listGraph(platform, model, { ...args, first: args.first ?? 100 });
      const { edges, pageInfo } = connectionOf(page, placeKey);
      return {
        edges: edges.map(({ cursor, node }) => ({ ...node, cursor, node: node.version })),
        pageInfo,
      };
    },
  }),
);
