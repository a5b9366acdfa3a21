/** Errors on their way to a client. */
import { GraphQLError, type ExecutionResult, type FormattedExecutionResult } from 'graphql';

/** What a caller is told of an error. */
export type MaskError = (error: GraphQLError) => GraphQLError;

export function asGraphQLError(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  return new GraphQLError(error instanceof Error ? error.message : String(error), { cause: error });
}

/** An ExecutionResult, whoever declares it. */
interface AnyResult {
  readonly data?: ExecutionResult['data'] | undefined;
  readonly errors?: readonly GraphQLError[] | undefined;
  readonly extensions?: ExecutionResult['extensions'] | undefined;
}

/** The result as the client gets it. */
export function maskResult(result: AnyResult, maskError: MaskError): FormattedExecutionResult {
  const { data, errors, extensions } = result;
  return {
    ...(errors ? { errors: errors.map((error) => maskError(error).toJSON()) } : {}),
    // No data at all, not even null, where nothing was run.
    ...(data === undefined ? {} : { data }),
    ...(extensions ? { extensions } : {}),
  };
}
