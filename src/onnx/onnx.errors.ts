import type { ValidationIssue } from '../platform/errors.ts';

/** The bytes are no (whole, well-formed, harmless) ONNX model. The message is written for the person who uploaded them. */
export class OnnxFormatError extends Error {
  override readonly name = 'OnnxFormatError';
  /** Where in the file, in bytes from its start. */
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** A well-formed graph that cannot be served: an element type or a kind of value without an Open Inference datatype. */
export class UnsupportedGraphError extends Error {
  override readonly name = 'UnsupportedGraphError';
}

/** What the caller declared (columns, classes, task) does not fit the graph. Paths start at the given signature's root. */
export class SignatureMismatch extends Error {
  override readonly name = 'SignatureMismatch';
  readonly issues: readonly ValidationIssue[];

  constructor(issues: readonly ValidationIssue[]) {
    super(issues.map((issue) => issue.message).join(' '));
    this.issues = issues;
  }
}
