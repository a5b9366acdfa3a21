/** What a model's pickle holds, told without loading it: estimators, their steps and parameters, versions, arrays. */
import { arrayOf, describeClass, plainValue } from './contents.value.ts';
import type { PlainValue } from './contents.value.ts';
import { isInstance, itemsOf } from './value.ts';
import type { Instance, Mapping, Value } from './value.ts';

/** A class that the pickle makes an object of. */
export interface HeldClass {
  /** Where the first of them is: names of steps and attributes with `/` between; '' for the pickle's own object. */
  readonly path: string;
  /** Module and name, such as `sklearn.pipeline.Pipeline`. */
  readonly name: string;
}

/** A named part of a pipeline, union, column transformer or ensemble. */
export interface HeldStep {
  /** Of the object that has the step, as in `HeldClass`. */
  readonly path: string;
  readonly name: string;
  /** Its class; null where it is none (`passthrough`, `drop`). */
  readonly class: string | null;
}

export interface HeldParameter {
  /** Of the estimator, as in `HeldClass`. */
  readonly path: string;
  readonly name: string;
  readonly value: PlainValue;
}

export interface HeldArray {
  /** With the attribute's or key's name at its end. */
  readonly path: string;
  readonly shape: readonly number[];
  /** As NumPy or torch name it; null where the pickle does not tell. */
  readonly dtype: string | null;
}

export interface PickleContents {
  readonly classes: readonly HeldClass[];
  readonly steps: readonly HeldStep[];
  readonly parameters: readonly HeldParameter[];
  /** Versions of libraries by their package name. */
  readonly versions: Readonly<Record<string, string>>;
  readonly arrays: readonly HeldArray[];
  /** Whether there is more than these lists hold. */
  readonly truncated: boolean;
}

/** Of each list; and values looked at in all. */
const maxEntries = 200;
const maxVisits = 20_000;
const maxText = 200;

/** Attributes of lists of (name, estimator, …). */
const stepAttributes = new Set(['steps', 'transformer_list', 'transformers', 'estimators']);

/** What tells a library's version by an attribute of its estimators. */
const versionAttributes: Readonly<Record<string, string>> = { _sklearn_version: 'scikit-learn' };

/** Modules whose objects carry others' values and are no part of a model by themselves. */
const carriers =
  /^(builtins|collections|copyreg|_codecs|numpy|torch|pandas|datetime|decimal|fractions|uuid)(\.|$)/;

/** Attributes of what was learnt that are estimators one asked for. */
const chosen = new Set(['best_estimator_', 'estimator_', 'regressor_', 'final_estimator_']);

interface Visit {
  readonly path: string;
  readonly value: Value;
  /** Whether it lies within what was learnt: its settings are copies of those that were given. */
  readonly learnt: boolean;
}

class Inventory implements PickleContents {
  readonly classes: HeldClass[] = [];
  readonly steps: HeldStep[] = [];
  readonly parameters: HeldParameter[] = [];
  readonly versions: Record<string, string> = {};
  readonly arrays: HeldArray[] = [];
  truncated = false;
  readonly #seen = new Set<Value>();
  readonly #classNames = new Set<string>();
  #queue: Visit[] = [];

  /** Breadth first, so that what is cut off is what lies deepest. */
  walk(values: readonly Value[]): void {
    this.#queue = values.map((value) => ({ path: '', value, learnt: false }));
    for (let visits = 0; visits < this.#queue.length; visits++) {
      if (visits >= maxVisits) {
        this.truncated = true;
        return;
      }
      const next = this.#queue[visits];
      if (next !== undefined) this.#visit(next);
    }
  }

  #visit(visit: Visit): void {
    const { path, value } = visit;
    if (typeof value !== 'object' || value === null || this.#seen.has(value)) return;
    this.#seen.add(value);
    const array = arrayOf(value);
    if (array !== undefined) this.#add(this.arrays, { path, ...array });
    if (isInstance(value)) this.#object(visit, value);
    else if (value.kind === 'dict') this.#entries(visit, value);
    else if (value.kind === 'list' || value.kind === 'tuple') {
      for (const [index, item] of value.items.entries()) this.#enqueue(visit, `${path}[${index}]`, item);
      this.truncated ||= value.length > value.items.length;
    }
  }

  #object(visit: Visit, object: Instance): void {
    const { path } = visit;
    const name = describeClass(object);
    const isCarrier = name === null || carriers.test(name);
    if (name !== null && !isCarrier && !this.#classNames.has(name)) {
      this.#classNames.add(name);
      this.#add(this.classes, { path, name });
    }
    for (const [attribute, value] of object.attributes ?? []) {
      if (!isCarrier) this.#attribute(visit, attribute, value);
      const learnt = visit.learnt || (attribute.endsWith('_') && !chosen.has(attribute));
      this.#enqueue({ ...visit, learnt }, join(path, attribute), value);
    }
    this.truncated ||= object.partial;
    if (object.contents !== undefined) this.#enqueue(visit, path, object.contents);
    if (object.state !== undefined) this.#enqueue(visit, path, object.state);
    if (isCarrier || object.attributes === undefined) this.#enqueue(visit, path, object.args);
  }

  /** What an attribute of an estimator tells by itself. */
  #attribute(visit: Visit, name: string, value: Value): void {
    const { path } = visit;
    const library = versionAttributes[name];
    if (library !== undefined && typeof value === 'string') this.versions[library] ??= cut(value);
    if (visit.learnt) return;
    if (stepAttributes.has(name)) this.#steps(visit, value);
    // By scikit-learn's convention: parameters have no underscore at either end, what is learnt has one behind.
    if (name.startsWith('_') || name.endsWith('_')) return;
    const plain = plainValue(value, maxText);
    if (plain !== undefined) this.#add(this.parameters, { path, name: cut(name), value: plain });
  }

  #steps(visit: Visit, list: Value): void {
    const { path } = visit;
    for (const step of itemsOf(list) ?? []) {
      const [name, part] = itemsOf(step) ?? [];
      if (typeof name !== 'string' || part === undefined) continue;
      const held = isInstance(part) ? describeClass(part) : null;
      this.#add(this.steps, { path, name: cut(name), class: held });
      // Ahead of the way through the attribute's name, so that a step is known by its own.
      this.#enqueue(visit, join(path, name), part);
    }
  }

  #entries(visit: Visit, dict: Mapping): void {
    for (const [key, value] of dict.entries) this.#enqueue(visit, join(visit.path, key), value);
    this.truncated ||= dict.partial;
  }

  #enqueue({ learnt }: Visit, path: string, value: Value): void {
    if (typeof value === 'object' && value !== null) this.#queue.push({ path: cut(path), value, learnt });
  }

  #add<Entry>(list: Entry[], entry: Entry): void {
    if (list.length < maxEntries) list.push(entry);
    else this.truncated = true;
  }
}

function cut(text: string): string {
  return text.length > maxText ? `${text.slice(0, maxText - 1)}…` : text;
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}/${name}`;
}

/** An inventory of what the pickles of a file would make. Bounded: `truncated` tells that there is more. */
export function describePickles(values: readonly Value[]): PickleContents {
  const inventory = new Inventory();
  inventory.walk(values);
  const { classes, steps, parameters, versions, arrays, truncated } = inventory;
  return { classes, steps, parameters, versions, arrays, truncated };
}
