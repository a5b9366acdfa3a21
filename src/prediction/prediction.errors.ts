import { DomainError } from '../platform/errors.ts';

/** The model itself failed: its run broke, or its answer is no number. */
export class ModelError extends DomainError {
  readonly code = 'MODEL_FAILED';
  /** Whether it answered, with NaN, an infinity or a wrong shape. */
  readonly isInvalid: boolean;

  constructor(message: string, { hint = null, isInvalid = false }: ModelErrorOptions = {}) {
    super(message, hint);
    this.isInvalid = isInvalid;
  }
}

interface ModelErrorOptions {
  readonly hint?: string | null;
  readonly isInvalid?: boolean;
}
