/** How documents are parsed, checked and run, for every door: yoga, the fast path, multipart, WebSocket. */
import { useGraphQlJit } from '@envelop/graphql-jit';
import { createYoga, type Plugin } from 'graphql-yoga';
import {
  getNamedType,
  getVariableValues,
  isScalarType,
  Kind,
  specifiedScalarTypes,
  TypeInfo,
  visit,
  visitWithTypeInfo,
  type DocumentNode,
  type ExecutionResult,
  GraphQLError,
  type ValueNode,
} from 'graphql';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Viewer } from '#src/access/access.ts';
import { createContext, forgetLoaded, type Context, type Services } from './context.ts';
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
  mask(error: unknown): GraphQLError;
}

/** A document is compiled once it has been seen this often: compiling costs more than a few runs. */
const HOT = 4;

export function openExecution(services: Services, landing: () => string): Execution {
  const { config, logger } = services.platform;
  const contextOf = (viewer: Viewer, requestId: string): Context =>
    createContext(services, viewer, requestId);
  const mask = (error: unknown): GraphQLError => maskError(error, logger);
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
    maskedErrors: { maskError: mask },
    context: ({ req }) => {
      const { viewer, requestId } = identityOf(req);
      return contextOf(viewer, requestId);
    },
    plugins: [limitPlugin(services, cost), freshEvents, jitPlugin()],
  });
  const enveloped = yoga.getEnveloped({} as ServerContext);
  return {
    yoga,
    contextOf,
    mask,
    cost,
    check: remembered((query) => {
      let document: DocumentNode;
      try {
        document = enveloped.parse(query) as DocumentNode;
        const errors = enveloped.validate(enveloped.schema, document) as readonly GraphQLError[];
        return errors.length > 0 ? errors : document;
      } catch (error) {
        return [error instanceof RangeError ? beyondStack(config.MAX_QUERY_DEPTH) : (error as GraphQLError)];
      }
    }),
    run: ({ document, operationName, variables, context }) => {
      const result: Result | Promise<Result> = enveloped.execute({
        schema: enveloped.schema,
        document,
        contextValue: context,
        variableValues: variables,
        operationName,
      });
      return result instanceof Promise
        ? result.then((ended) => inFullWords(ended, document, variables))
        : inFullWords(result, document, variables);
    },
  };
}

/** The parser itself gave up, before anything could count how deep it is. */
function beyondStack(limit: number): GraphQLError {
  const message = `The document is nested far too deeply; a depth of ${limit} is allowed (MAX_QUERY_DEPTH).`;
  return new GraphQLError(message, {
    extensions: { code: 'TOO_DEEP', limit, variable: 'MAX_QUERY_DEPTH', http: { status: 400 } },
  });
}

/**
 * A compiled document refuses variables before anything runs, but says less of why than graphql does (a scalar's own
 * explanation is lost), so those errors are worked out once more.
 */
function inFullWords(
  result: Result,
  document: DocumentNode,
  variables: Record<string, unknown> | undefined,
): Result {
  if (!result.errors || result.data !== undefined) return result;
  const operations = document.definitions.filter(
    (definition) => definition.kind === Kind.OPERATION_DEFINITION,
  );
  const [operation] = operations;
  if (operations.length !== 1 || !operation) return result;
  const { errors } = getVariableValues(schema, operation.variableDefinitions ?? [], variables ?? {});
  return errors ? { errors } : result;
}

const MOST_VERDICTS = 1_000;
const LONGEST_REMEMBERED = 20_000;

/** Keeps the verdicts on the documents seen last: yoga's own caches cost a tenth of a short query's time. */
function remembered<Verdict>(check: (query: string) => Verdict): (query: string) => Verdict {
  const verdicts = new Map<string, Verdict>();
  return (query) => {
    const known = verdicts.get(query);
    if (known !== undefined) return known;
    const verdict = check(query);
    if (query.length > LONGEST_REMEMBERED) return verdict;
    // Forgets the half that came first; what is in use comes back at once.
    if (verdicts.size >= MOST_VERDICTS) {
      for (const old of [...verdicts.keys()].slice(0, MOST_VERDICTS / 2)) verdicts.delete(old);
    }
    verdicts.set(query, verdict);
    return verdict;
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

/** Yoga runs all events of a subscription over SSE with one context. */
const freshEvents: Plugin = {
  onSubscribe: () => ({
    onSubscribeResult: () => ({
      onNext: ({ args }) => forgetLoaded(args.contextValue as unknown as Context),
    }),
  }),
};

/**
 * graphql-jit complains on the console about every scalar whose `parseLiteral` declares a second parameter, and in
 * graphql 17 all of the built-in ones do.
 */
function quietBuiltInScalars(): void {
  for (const scalar of specifiedScalarTypes) {
    const parse = scalar.parseLiteral.bind(scalar);
    scalar.parseLiteral = (...parameters) => parse(...parameters);
  }
}

/** Compiles hot documents that compile to the same as they mean. */
function jitPlugin() {
  quietBuiltInScalars();
  const seen = new WeakMap<DocumentNode, number>();
  return useGraphQlJit(
    {},
    {
      enableIf: ({ document }) => {
        const count = seen.get(document) ?? 0;
        if (count < HOT)
          seen.set(document, count + 1 === HOT && !isCompilable(document) ? Infinity : count + 1);
        return count === HOT;
      },
    },
  );
}

/**
 * A compiled document does not look at the operation's name, so it must have one operation; and it does not see
 * variables within the literal of a scalar, as in `rows: [{ age: $age }]`.
 */
function isCompilable(document: DocumentNode): boolean {
  const operations = document.definitions.filter(
    (definition) => definition.kind === Kind.OPERATION_DEFINITION,
  );
  if (operations.length !== 1 || operations[0]?.operation === 'subscription') return false;
  const types = new TypeInfo(schema);
  let mixed = false;
  visit(
    document,
    visitWithTypeInfo(types, {
      ObjectValue: (node) => {
        const type = types.getInputType();
        if (type && isScalarType(getNamedType(type)) && holdsVariable(node)) mixed = true;
      },
      ListValue: (node) => {
        const type = types.getInputType();
        if (type && isScalarType(getNamedType(type)) && holdsVariable(node)) mixed = true;
      },
    }),
  );
  return !mixed;
}

function holdsVariable(node: ValueNode): boolean {
  let found = false;
  visit(node, {
    Variable: () => {
      found = true;
    },
  });
  return found;
}
