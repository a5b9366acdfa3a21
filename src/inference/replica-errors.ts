/** Why a call to a replica has no answer. The router decides by them: try elsewhere, count it, or tell the caller. */
export abstract class ReplicaError extends Error {
  /** Whether the replica may have run the request; false is certain. */
  abstract readonly mayHaveExecuted: boolean;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Nobody answered: connection refused or reset, socket gone, process killed; or it said that it is not ready. */
export class ReplicaUnreachable extends ReplicaError {
  readonly mayHaveExecuted: boolean;

  constructor(message: string, mayHaveExecuted: boolean, options?: ErrorOptions) {
    super(message, options);
    this.mayHaveExecuted = mayHaveExecuted;
  }
}

export class ReplicaTimeout extends ReplicaError {
  readonly mayHaveExecuted: boolean;
  readonly timeoutMs: number;

  constructor(timeoutMs: number, mayHaveExecuted: boolean) {
    super(`The replica did not answer within ${timeoutMs} ms.`);
    this.timeoutMs = timeoutMs;
    this.mayHaveExecuted = mayHaveExecuted;
  }
}

/** 4xx: the request is at fault (400), or who sends it where (401, 404, 413). */
export class ReplicaRejected extends ReplicaError {
  readonly mayHaveExecuted = false;
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** 5xx with the runtime's message, or an answer that is none. */
export class ReplicaFailed extends ReplicaError {
  readonly mayHaveExecuted = true;
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}
