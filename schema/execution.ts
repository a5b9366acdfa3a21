/** How documents are parsed, checked and run, for every door: yoga, the fast path, multipart, WebSocket. */
import { useGraphQlJit } from '@envelop/graphql-jit';
import { createYoga, type Plugin } from 'graphql-yoga';
import type { DocumentNode, ExecutionArgs, ExecutionResult, GraphQLError } from 'graphql';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Viewer } from '#src/access/access.ts';
import { Context, type Services } from './context.ts';
import { maskError } from './errors.ts';
import { identityOf } from './http/request.ts';
import { costLimit, limitRules } from './limits.ts';
import { schema } from './schema.ts';

interface ServerContext {
  req: IncomingMessage;
  res: ServerResponse;
}
export type Result = ExecutionResult & { readonly stringify?: (result: unknown) => string };

export interface Execution {
  readonly yoga: ReturnType<typeof createYoga<ServerContext>>;
  /** Parses and checks a document; the verdict is cached. */
  check(query: string): DocumentNode | readonly GraphQLError[];
  /** Runs a query or mutation. */
  run(args: {
    document: DocumentNode;
    operationName: string | undefined;
    variables: Record<string, unknown> | undefined;
    context: Context;
  }): Promise<Result> | Result;
  /** What is wrong with the cost of a document, if anything. */
  cost(document: DocumentNode, variables: Record<string, unknown> | undefined): GraphQLError | undefined;
  contextOf(viewer: Viewer, requestId: string): Context;
  mask(error: unknown, requestId: string): GraphQLError;
}

/** A document is compiled once it has been seen this often: compiling costs more than a few runs. */
const HOT = 4;

export function openExecution(services: Services, landing: () => string): Execution {
  const { config, logger } = services.platform;
  const contextOf = (viewer: Viewer, requestId: string): Context => new Context(services, viewer, requestId);
  const mask = (error: unknown, requestId: string): GraphQLError => maskError(error, logger, requestId);
  const cost = costLimit(schema, config);
  const yoga = createYoga<ServerContext>({
    schema,
    graphqlEndpoint: '/graphql',
    cors: false,
    batching: false,
    logging: false,
    multipart: false,
    landingPage: false,
    graphiql: true,
    renderGraphiQL: landing,
    maskedErrors: { maskError: (error) => mask(error, 'yoga') },
    context: ({ req }) => {
      const { viewer, requestId } = identityOf(req);
      return contextOf(viewer, requestId);
    },
    plugins: [limitPlugin(services, cost), jitPlugin()],
  });
  const enveloped = yoga.getEnveloped({} as ServerContext);
  return {
    yoga,
    contextOf,
    mask,
    cost,
    check: (query) => {
      let document: DocumentNode;
      try {
        document = enveloped.parse(query) as DocumentNode;
      } catch (error) {
        return [error as GraphQLError];
      }
      const errors = enveloped.validate(enveloped.schema, document) as readonly GraphQLError[];
      return errors.length > 0 ? errors : document;
    },
    run: ({ document, operationName, variables, context }) =>
      enveloped.execute({
        schema: enveloped.schema,
        document,
        contextValue: context,
        variableValues: variables,
        operationName,
      } as ExecutionArgs) as Promise<Result>,
  };
}

function limitPlugin({ platform }: Services, costs: ReturnType<typeof costLimit>): Plugin {
  const rules = limitRules(platform.config);
  return {
    onValidate: ({ addValidationRule }) => {
      for (const rule of rules) addValidationRule(rule);
    },
    onExecute: ({ args, setResultAndStopExecution }) => {
      const error = costs(args.document, args.variableValues as Record<string, unknown>);
      if (error) setResultAndStopExecution({ errors: [error] });
    },
    onSubscribe: ({ args, setResultAndStopExecution }) => {
      const error = costs(args.document, args.variableValues as Record<string, unknown>);
      if (error) setResultAndStopExecution({ errors: [error] });
    },
  };
}

/** Compiles hot documents of one operation (a compiled one does not look at the operation's name). */
function jitPlugin() {
  const seen = new WeakMap<DocumentNode, number>();
  return useGraphQlJit(
    {},
    {
      enableIf: ({ document }) => {
        const count = (seen.get(document) ?? 0) + 1;
        seen.set(document, count);
        if (count < HOT) return false;
        const operations = document.definitions.filter((definition) => definition.kind === 'OperationDefinition');
        return operations.length === 1 && operations[0]?.operation !== 'subscription';
      },
    },
  );
}
