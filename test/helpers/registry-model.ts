/** The registry's rules for one model, in memory: what a command answers, and what is there and in the ledger then. */
import * as fc from 'fast-check';

export interface ModelledVersion {
  readonly number: number;
  readonly parents: readonly number[];
  readonly tags: ReadonlyMap<string, string>;
  readonly metrics: ReadonlyMap<string, number>;
  readonly metadata: unknown;
  readonly restoredFrom: number | null;
  readonly archived: boolean;
  readonly deleted: boolean;
}

/** `at` and its like are versions: any number, to be taken modulo as many as there have been. */
export type Command =
  | { readonly kind: 'create'; readonly parents: readonly number[] | null; readonly note: Note }
  | { readonly kind: 'update'; readonly at: number; readonly note: Note; readonly remove: boolean }
  | { readonly kind: 'setAlias'; readonly name: string; readonly at: number; readonly expected: Expected }
  | { readonly kind: 'deleteAlias'; readonly name: string; readonly expected: Expected }
  | { readonly kind: 'restore' | 'archive' | 'unarchive' | 'delete'; readonly at: number };

/** Where an alias is believed to stand: where it does, nowhere, or at some version. */
type Expected = 'right' | 'nowhere' | number;

interface Note {
  readonly key: string;
  readonly value: string;
  readonly metric: number;
  readonly metadata: unknown;
}

const at = fc.nat(1000);
const note = fc.record({
  key: fc.constantFrom('a', 'b', 'constructor'),
  value: fc.string({ maxLength: 3, unit: fc.constantFrom('x', 'é', '"', ' ') }),
  metric: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value)),
  metadata: fc.constantFrom(null, {}, { a: { 'b.c': [1] } }, { constructor: 'x' }),
});
const expected = fc.oneof(
  { arbitrary: fc.constant('right' as const), weight: 3 },
  { arbitrary: fc.constant('nowhere' as const), weight: 1 },
  { arbitrary: at, weight: 2 },
);
const name = fc.constantFrom('champion', 'b');

export const command: fc.Arbitrary<Command> = fc.oneof(
  {
    arbitrary: fc.record({
      kind: fc.constant('create' as const),
      parents: fc.option(fc.array(at, { maxLength: 3 })),
      note,
    }),
    weight: 7,
  },
  {
    arbitrary: fc.record({ kind: fc.constant('update' as const), at, note, remove: fc.boolean() }),
    weight: 2,
  },
  {
    arbitrary: fc.record({ kind: fc.constant('setAlias' as const), name, at, expected }),
    weight: 5,
  },
  { arbitrary: fc.record({ kind: fc.constant('deleteAlias' as const), name, expected }), weight: 2 },
  {
    arbitrary: fc.record({
      kind: fc.constantFrom('restore' as const, 'archive' as const, 'unarchive' as const),
      at,
    }),
    weight: 4,
  },
  { arbitrary: fc.record({ kind: fc.constant('delete' as const), at }), weight: 4 },
);

export type Outcome = 'done' | 'NotFoundError' | 'ConflictError';

export class RegistryModel {
  readonly versions: ModelledVersion[] = [];
  readonly aliases = new Map<string, number>();
  /** Types of the events that the ledger has to tell, in order. */
  readonly events: string[] = ['MODEL_CREATED'];

  /** The number that a command means; version 1 before there is any. */
  numberAt(any: number): number {
    return 1 + (any % Math.max(1, this.versions.length));
  }

  get live(): ModelledVersion[] {
    return this.versions.filter(({ deleted }) => !deleted);
  }

  #find(number: number): ModelledVersion | undefined {
    return this.live.find((version) => version.number === number);
  }

  #change(number: number, change: Partial<ModelledVersion>): void {
    this.versions[number - 1] = { ...this.versions[number - 1]!, ...change };
  }

  #add(version: Omit<ModelledVersion, 'number' | 'archived' | 'deleted'>): Outcome {
    this.versions.push({ ...version, number: this.versions.length + 1, archived: false, deleted: false });
    this.events.push('VERSION_CREATED');
    return 'done';
  }

  create(parents: readonly number[] | null, { key, value, metric, metadata }: Note): Outcome {
    if (parents?.some((parent) => !this.#find(parent))) return 'NotFoundError';
    const newest = this.live.at(-1);
    return this.#add({
      parents: parents ?? (newest ? [newest.number] : []),
      tags: new Map([[key, value]]),
      metrics: new Map([[key, metric]]),
      metadata,
      restoredFrom: null,
    });
  }

  update(number: number, { key, value, metric, metadata }: Note, remove: boolean): Outcome {
    const version = this.#find(number);
    if (!version) return 'NotFoundError';
    const tags = new Map(version.tags);
    const metrics = new Map(version.metrics);
    if (remove) {
      tags.delete(key);
      metrics.delete(key);
    } else {
      tags.set(key, value);
      metrics.set(key, metric);
    }
    this.#change(number, { tags, metrics, ...(remove ? {} : { metadata }) });
    this.events.push('VERSION_UPDATED');
    return 'done';
  }

  setAlias(alias: string, number: number, expectedAt: number | undefined): Outcome {
    const version = this.#find(number);
    if (!version) return 'NotFoundError';
    if (version.archived) return 'ConflictError';
    if (expectedAt !== undefined && !this.#find(expectedAt)) return 'NotFoundError';
    if (this.aliases.get(alias) !== expectedAt) return 'ConflictError';
    if (expectedAt !== number) this.events.push('ALIAS_MOVED');
    this.aliases.set(alias, number);
    return 'done';
  }

  deleteAlias(alias: string, expectedAt: number): Outcome {
    if (!this.#find(expectedAt) || !this.aliases.has(alias)) return 'NotFoundError';
    if (this.aliases.get(alias) !== expectedAt) return 'ConflictError';
    this.aliases.delete(alias);
    this.events.push('ALIAS_DELETED');
    return 'done';
  }

  restore(number: number): Outcome {
    const source = this.#find(number);
    if (!source) return 'NotFoundError';
    const parents = [...new Set([this.live.at(-1)!.number, number])];
    return this.#add({ ...source, parents, restoredFrom: number });
  }

  setArchived(number: number, archived: boolean): Outcome {
    const version = this.#find(number);
    if (!version) return 'NotFoundError';
    if (version.archived !== archived) {
      this.#change(number, { archived });
      this.events.push(archived ? 'VERSION_ARCHIVED' : 'VERSION_UNARCHIVED');
    }
    return 'done';
  }

  delete(number: number): Outcome {
    if (!this.#find(number)) return 'NotFoundError';
    const isParent = this.live.some(({ parents }) => parents.includes(number));
    if (isParent || [...this.aliases.values()].includes(number)) return 'ConflictError';
    this.#change(number, { deleted: true });
    this.events.push('VERSION_DELETED');
    return 'done';
  }
}
