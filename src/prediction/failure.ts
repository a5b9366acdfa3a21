/** What the failure of a prediction is to its caller, and whose it is. */
import type { ArmRoute, DeploymentRoute } from '../deployment/routing.ts';
import {
  ReplicaFailed,
  ReplicaRejected,
  ReplicaTimeout,
  ReplicaUnreachable,
} from '../inference/replica-errors.ts';
import type { Outcome } from '../metric/window.ts';
import {
  DeadlineExceededError,
  DomainError,
  ForbiddenError,
  NotReadyError,
  OverloadedError,
  ValidationError,
} from '../platform/errors.ts';
import { notAnswering, SHUN_MS } from './choice.ts';
import { ModelError } from './prediction.errors.ts';

/** A replica's failure as the caller hears of it. */
export function translate(error: unknown, route: DeploymentRoute, timeoutMs: number): unknown {
  if (error instanceof ReplicaTimeout)
    return new DeadlineExceededError(timeoutMs, 'Send fewer rows, or raise timeoutMs.');
  if (error instanceof ReplicaFailed) return new ModelError(`The model failed: ${error.message}`);
  if (error instanceof ReplicaRejected) return rejectedBy(error, route);
  if (error instanceof ReplicaUnreachable) return notAnswering(route);
  return error;
}

/** What a server does not like of a request, and why it does not take any: replicas of our own answer no 4xx but 400. */
const callersFault: readonly number[] = [400, 413, 422];

function rejectedBy({ status, message }: ReplicaRejected, { label }: DeploymentRoute): DomainError {
  if (callersFault.includes(status)) return ValidationError.of(['tensors'], 'what the graph takes', message);
  const refused = `The server of deployment ${label} refuses: ${message}`;
  if (status === 429) return new OverloadedError(refused, SHUN_MS, 'Send it again later.');
  return new NotReadyError(refused, SHUN_MS);
}

/** Whether the stable arm's answer may stand for this failure of a candidate: anything but a caller's mistake. */
export function isReplaceable(error: unknown): boolean {
  return (
    error instanceof ModelError ||
    error instanceof NotReadyError ||
    error instanceof OverloadedError ||
    error instanceof DeadlineExceededError
  );
}

/** Told to whoever asked. */
export function whyReplaced(candidate: ArmRoute, stable: ArmRoute, error: unknown): string {
  const why = error instanceof ModelError ? error.message : reasons(error);
  return `Arm ${named(candidate)} could not answer, arm ${named(stable)} did: ${why}`;
}

const named = ({ name, version }: ArmRoute): string => `${name} (version ${version.number})`;
function reasons(error: unknown): string {
  if (error instanceof DeadlineExceededError) return 'It did not answer in time.';
  return error instanceof OverloadedError ? 'It has too many requests.' : 'None of its replicas is ready.';
}

/** Whether a replica's failure, at a request that another version has answered, is its model's. */
export function isModelsFault(error: unknown): boolean {
  if (error instanceof ReplicaRejected) return callersFault.includes(error.status);
  return error instanceof ReplicaFailed || error instanceof ModelError;
}

/** Whose fault it was: a caller's mistake does not count against the model. */
export function outcomeOf(error: unknown): Outcome {
  if (error instanceof ModelError) return 'model';
  if (error instanceof ValidationError || error instanceof ForbiddenError) return 'client';
  if (error instanceof OverloadedError) return 'shed';
  if (error instanceof DomainError) return 'server';
  return (error as Error | undefined)?.name === 'AbortError' ? 'client' : 'server';
}
