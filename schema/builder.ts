import SchemaBuilder from '@pothos/core';
import ComplexityPlugin from '@pothos/plugin-complexity';
import ErrorsPlugin from '@pothos/plugin-errors';
import RelayPlugin from '@pothos/plugin-relay';
import ScopeAuthPlugin from '@pothos/plugin-scope-auth';
import { may } from '#src/access/access.ts';
import { ForbiddenError, type Role } from '#src/platform/errors.ts';
import type { Context } from './context.ts';
import { nodeIdOf } from './global-id.ts';
import type { Upload } from './http/upload.ts';
import { belonging } from './plugin/belonging.ts';
import { plainFields } from './plugin/plain-fields.ts';

export interface ProjectRole {
  readonly project: string;
  readonly role: Role;
}

/** The one builder. Types stand in a file per noun and register with it when they are imported. */
export const builder = new SchemaBuilder<{
  Context: Context;
  DefaultFieldNullability: false;
  DefaultInputFieldRequiredness: false;
  DefaultEdgesNullability: false;
  DefaultNodeNullability: false;
  AuthScopes: { inProject: ProjectRole };
  Scalars: {
    ID: { Input: string; Output: string | number | bigint };
    DateTime: { Input: Date; Output: Date };
    BigInt: { Input: bigint; Output: bigint | number };
    Sha256: { Input: string; Output: string };
    Tensor: { Input: unknown; Output: unknown };
    Row: { Input: Record<string, unknown>; Output: Record<string, unknown> };
    JSON: { Input: unknown; Output: unknown };
    Upload: { Input: Upload; Output: never };
    VersionRef: { Input: string; Output: string };
  };
}>({
  // Those named later stand closer to the resolver.
  plugins: [ErrorsPlugin, ScopeAuthPlugin, RelayPlugin, ComplexityPlugin, belonging, plainFields],
  defaultFieldNullability: false,
  scopeAuth: {
    authorizeOnSubscribe: true,
    authScopes: (context) => ({
      inProject: ({ project, role }) => may(context.viewer, project, role),
    }),
    unauthorizedError: () => new ForbiddenError('This belongs to a project that you cannot read.', 'READER'),
  },
  errors: {
    defaultTypes: [],
    directResult: true,
    unsafelyHandleInputErrors: true,
    defaultUnionOptions: { name: ({ fieldName }) => `${upper(fieldName)}Result` },
  },
  relay: {
    cursorType: 'String',
    idFieldOptions: { description: 'Global id.' },
    decodeGlobalID: nodeIdOf,
    // Their number is in the cost of the connection already.
    edgesFieldOptions: {
      nullable: false,
      description: 'The page, in order.',
      complexity: { field: 1, multiplier: 1 },
    },
    nodeFieldOptions: { nullable: false, description: 'The thing itself.' },
    cursorFieldOptions: { description: 'Where it stands: give it as `after` to go on behind it.' },
    pageInfoFieldOptions: { description: 'How to go on.' },
    nodeTypeOptions: { description: 'Anything with an id of its own.' },
    pageInfoTypeOptions: { description: 'Where a page stands among the others.' },
    hasNextPageFieldOptions: { description: 'Whether there is more behind this page.' },
    hasPreviousPageFieldOptions: { description: 'Whether this page does not start at the beginning.' },
    startCursorFieldOptions: { description: 'Cursor of the first edge; null on an empty page.' },
    endCursorFieldOptions: {
      description: 'Cursor of the last edge: give it as `after` for the next page; null on an empty page.',
    },
    nodeQueryOptions: {
      description: 'Anything by its id; null when there is none that you can see.',
      args: { id: { description: 'A global id.' } },
    },
    nodesQueryOptions: {
      description:
        'Several things by their ids, in the same order; null where there is none that you can see.',
      args: { ids: { description: 'Global ids.' } },
      complexity: ({ ids }) => ({ field: 1, multiplier: ids.length }),
    },
  },
  complexity: { defaultComplexity: 1, defaultListMultiplier: 5 },
});

function upper(name: string): string {
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}

builder.queryType({ description: 'Everything that can be asked.' });
builder.mutationType({
  description:
    'Everything that can be done. Each mutation answers with the thing itself or an expected error.',
});
builder.subscriptionType({
  description: 'Everything that can be watched: over WebSocket (graphql-transport-ws) or server-sent events.',
});
