/** The WebSocket door, wired to access, execution and the server. */
import type { Server } from 'node:http';
import { scopeOf, type Viewer } from '#src/access/access.ts';
import { newId } from '#src/platform/id.ts';
import type { Context, Services } from '../context.ts';
import { withoutHttp } from '../errors.ts';
import type { Execution } from '../execution.ts';
import { namesThisMachine, originVerdict } from '../http/request.ts';
import { schema } from '../schema.ts';
import { shareSubscriptions } from './shared-subscription.ts';
import { attachWebSocket, type WebSocketDoor } from './websocket.ts';

/** Credentials come as a header of the upgrade or, from browsers, as `authorization` in the connection's parameters. */
function credentials(
  headers: { authorization?: string | undefined },
  params: Readonly<Record<string, unknown>> | undefined,
): string | undefined {
  const given = params?.['authorization'] ?? params?.['Authorization'];
  return typeof given === 'string' ? given : headers.authorization;
}

export function openLiveDoor(server: Server, services: Services, execution: Execution): WebSocketDoor {
  const { platform, authenticator } = services;
  const maskError = (error: unknown) => withoutHttp(execution.mask(error));
  return attachWebSocket<Viewer>({
    server,
    path: '/graphql',
    schema,
    logger: platform.logger,
    sharing: shareSubscriptions({ maskError }),
    maskError,
    scopeOf,
    contextOf: (viewer) => execution.contextOf(viewer, newId()),
    parseAndValidate: (query) => {
      const checked = execution.check(query);
      if (!('kind' in checked)) return checked;
      const refused = execution.cost(checked, undefined);
      return refused ? [refused] : checked;
    },
    execute: (args) =>
      execution.run({
        document: args.document,
        operationName: args.operationName ?? undefined,
        variables: args.variableValues ?? undefined,
        context: args.contextValue as Context,
      }),
    authenticate: async ({ headers, connectionParams }) => {
      const viewer = await authenticator.authenticate(credentials(headers, connectionParams));
      const isLocal = viewer?.kind === 'USER' && credentials(headers, connectionParams) === undefined;
      return isLocal && !namesThisMachine(headers) ? undefined : viewer;
    },
    allows: (request) => originVerdict(request, platform.config.ALLOWED_ORIGINS) !== 'foreign',
  });
}
