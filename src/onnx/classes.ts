/** Classes and the meaning of the outputs: which carries the label, which the probabilities, which a value. */
import type { ValidationIssue } from '../platform/errors.ts';
import type { GivenSignature, Task, TensorSpec } from '../signature/signature.ts';
import type { Labels } from './tensor.ts';

type Issues = ValidationIssue[];

export interface Roles {
  readonly labelOutput: string | null;
  readonly probabilitiesOutput: string | null;
  readonly valueOutput: string | null;
}

const isFloat = ({ datatype }: TensorSpec) => ['FP16', 'FP32', 'FP64'].includes(datatype);

/** One value per row: [N] or [N, 1]. */
function isSingle({ shape }: TensorSpec): boolean {
  return shape.length === 1 || (shape.length === 2 && shape[1] === 1);
}

/** Outputs that may carry a predicted label: text or a whole number per row. */
export function labelCandidates(outputs: readonly TensorSpec[]): TensorSpec[] {
  return outputs.filter(
    (output) => ['BYTES', 'INT64', 'INT32'].includes(output.datatype) && isSingle(output),
  );
}

/** The candidate whose datatype suits the graph's own labels, if those are known. */
function labelOf(outputs: readonly TensorSpec[], found: Labels | undefined): TensorSpec | undefined {
  const candidates = labelCandidates(outputs);
  const suits = (output: TensorSpec) => (output.datatype === 'BYTES') === (found?.kind === 'text');
  return found === undefined ? candidates[0] : candidates.find(suits);
}

/** Float outputs of one column per class; those called probabilities and of declared size come first. */
function probabilitiesOf(outputs: readonly TensorSpec[], classes: number): TensorSpec | undefined {
  const rank = (output: TensorSpec) =>
    (output.shape[1] === classes ? 0 : 2) + (/prob/i.test(output.name) ? 0 : 1);
  return outputs
    .filter(({ shape }) => shape.length === 2 && (shape[1] === classes || shape[1] === -1))
    .filter(isFloat)
    .toSorted((a, b) => rank(a) - rank(b))[0];
}

/** What each output carries, given the classes (null: none are known). */
export function rolesOf(
  outputs: readonly TensorSpec[],
  classes: readonly string[] | null,
  found: Labels | undefined,
): Roles {
  if (classes === null) {
    const floats = outputs.filter(isFloat);
    const value = floats.length === 1 && labelCandidates(outputs).length === 0 ? floats[0] : undefined;
    const valueOutput = value !== undefined && isSingle(value) ? value.name : null;
    return { labelOutput: null, probabilitiesOutput: null, valueOutput };
  }
  return {
    labelOutput: labelOf(outputs, found)?.name ?? null,
    probabilitiesOutput: probabilitiesOf(outputs, classes.length)?.name ?? null,
    valueOutput: null,
  };
}

function add(issues: Issues, path: string, expected: string, found: string | null, message: string): void {
  issues.push({ path: [path], expected, found, message });
}

function agreesWithGraph(given: readonly string[], found: Labels): boolean {
  if (given.length !== found.values.length) return false;
  if (given.every((name, index) => name === found.values[index])) return true;
  // Names for the labels 0..n-1: the label is the class's position.
  return found.kind === 'integer' && found.values.every((label, index) => label === String(index));
}

function checkGivenClasses(
  given: readonly string[],
  found: Labels | undefined,
  outputs: readonly TensorSpec[],
  issues: Issues,
): void {
  const list = given.join(', ');
  if (given.length < 2 || given.includes('') || new Set(given).size !== given.length) {
    add(
      issues,
      'classes',
      'two or more different names',
      list,
      'classes: expected two or more different names.',
    );
  } else if (found !== undefined && !agreesWithGraph(given, found)) {
    const own = found.values.join(', ');
    add(issues, 'classes', own, list, `The graph's own classes are ${own}, in this order; found ${list}.`);
  } else if (found === undefined && probabilitiesOf(outputs, given.length) === undefined) {
    const wide = outputs.filter((output) => isFloat(output) && output.shape.length === 2);
    if (wide.length === 0 && labelCandidates(outputs).length > 0) return;
    const sizes = wide.map(({ name, shape }) => `"${name}" has ${shape[1]}`).join(', ') || 'there is none';
    const message = `${given.length} classes are given, but no output has one column per class (${sizes}).`;
    add(
      issues,
      'classes',
      'as many classes as the probabilities have columns',
      String(given.length),
      message,
    );
  }
}

/** The classes in force: the given ones, else the graph's own where an output uses them, else null. */
export function classesOf(
  given: readonly string[] | undefined,
  found: Labels | undefined,
  outputs: readonly TensorSpec[],
  issues: Issues,
): readonly string[] | null {
  if (given !== undefined) {
    checkGivenClasses(given, found, outputs, issues);
    return given;
  }
  if (found === undefined) return null;
  const { labelOutput, probabilitiesOutput } = rolesOf(outputs, found.values, found);
  return labelOutput === null && probabilitiesOutput === null ? null : found.values;
}

function derivedTask(classes: readonly string[] | null, roles: Roles): Task {
  if (classes === null) return roles.valueOutput === null ? 'OTHER' : 'REGRESSION';
  if (classes.length < 2) return 'OTHER';
  return classes.length === 2 ? 'BINARY' : 'MULTICLASS';
}

const taskReasons: Record<Task, string> = {
  BINARY: 'it has two classes',
  MULTICLASS: 'it has more than two classes',
  REGRESSION: 'its answer is one number per row and it has no classes',
  OTHER: 'no classes are known and its answer is not one number per row; give the classes if there are any',
};

/** The task that classes and outputs tell. `OTHER` may be given for any graph; another contradiction is an issue. */
export function taskOf(
  given: Task | undefined,
  classes: readonly string[] | null,
  roles: Roles,
  issues: Issues,
): Task {
  const derived = derivedTask(classes, roles);
  if (given === undefined || given === derived) return derived;
  if (given === 'OTHER') return given;
  add(
    issues,
    'task',
    derived,
    given,
    `The graph's task is ${derived}, not ${given}: ${taskReasons[derived]}.`,
  );
  return derived;
}

/** The class whose probability counts as the score: the given one, else the second of two. */
export function positiveClassOf(
  given: GivenSignature['positiveClass'],
  classes: readonly string[] | null,
  task: Task,
  issues: Issues,
): string | null {
  if (given === undefined) return task === 'BINARY' ? (classes?.[1] ?? null) : null;
  if (task !== 'BINARY') {
    add(
      issues,
      'positiveClass',
      'none',
      given,
      `Only a BINARY model has a positive class; this one is ${task}.`,
    );
  } else if (!classes?.includes(given)) {
    const list = classes?.join(', ') ?? '';
    add(
      issues,
      'positiveClass',
      list,
      given,
      `The positive class "${given}" is none of the classes ${list}.`,
    );
  }
  return given;
}
