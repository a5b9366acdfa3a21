import { DomainError } from '../platform/errors.ts';

/** The model itself failed: its run broke, or its answer is no number. */
export class ModelError extends DomainError {
  readonly code = 'MODEL_FAILED';
}
