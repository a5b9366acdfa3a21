/** Any sequence of commands: what is there afterwards, and what any time finds, is what the rules say. */
import * as fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { eventsOf, innerId, type EventRow } from '#test/helpers/ledger.ts';
import { attempt, held, type HeldFile } from '#test/helpers/registry.ts';
import {
  command,
  RegistryModel,
  type Command,
  type ModelledVersion,
  type Outcome,
} from '#test/helpers/registry-model.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';

let stack: Stack;
let bytes: HeldFile;

beforeAll(async () => {
  stack = await startStack();
  bytes = await held(stack, 'breast-cancer/v1.onnx');
});

/** A model, once as it is and once as the rules have it. */
class Run {
  readonly name: string;
  readonly id: string;
  readonly rules = new RegistryModel();

  constructor(name: string, id: string) {
    this.name = name;
    this.id = id;
  }

  /** Does a command; expects the outcome that the rules tell. */
  async step(each: Command): Promise<void> {
    const [field, input, outcome] = this.#plan(each);
    const result = await attempt(stack, field, input);
    expect([each, 'made' in result ? 'done' : result.refusal.__typename]).toEqual([each, outcome]);
  }

  #ref(number: number): string {
    return `${this.name}:${number}`;
  }

  #plan(each: Command): [field: string, input: Record<string, unknown>, outcome: Outcome] {
    const { rules, id: model } = this;
    if (each.kind === 'create') {
      const { key, value, metric, metadata } = each.note;
      const numbers = each.parents && [...new Set(each.parents.map((any) => rules.numberAt(any)))];
      const parents = numbers?.map((number) => this.#ref(number));
      const notes = { tags: [{ key, value }], metrics: [{ name: key, value: metric }], metadata };
      return [
        'createVersion',
        { model, artifacts: [bytes], parents, ...notes },
        rules.create(numbers, each.note),
      ];
    }
    if (each.kind === 'setAlias' || each.kind === 'deleteAlias') return this.#planAlias(each);
    const number = rules.numberAt(each.at);
    const version = `${PROJECT}/${this.#ref(number)}`;
    if (each.kind === 'restore') return ['restoreVersion', { version }, rules.restore(number)];
    if (each.kind === 'delete') return ['deleteVersion', { version }, rules.delete(number)];
    if (each.kind !== 'update') {
      return [`${each.kind}Version`, { version }, rules.setArchived(number, each.kind === 'archive')];
    }
    const { key, value, metric, metadata } = each.note;
    const change = each.remove
      ? { removeTags: [key], removeMetrics: [key] }
      : { tags: [{ key, value }], metrics: [{ name: key, value: metric }], metadata };
    return ['updateVersion', { version, ...change }, rules.update(number, each.note, each.remove)];
  }

  #planAlias(
    each: Extract<Command, { name: string }>,
  ): [field: string, input: Record<string, unknown>, outcome: Outcome] {
    const { rules, id: model } = this;
    const { name, expected: believed } = each;
    const now = believed === 'right' ? rules.aliases.get(name) : undefined;
    const number = typeof believed === 'number' ? rules.numberAt(believed) : now;
    if (each.kind === 'deleteAlias') {
      const at = number ?? 1;
      return ['deleteAlias', { model, name, expected: this.#ref(at) }, rules.deleteAlias(name, at)];
    }
    const to = rules.numberAt(each.at);
    const expected = number && this.#ref(number);
    return ['setAlias', { model, name, version: this.#ref(to), expected }, rules.setAlias(name, to, number)];
  }

  /** Everything that is to be seen of the model, as plain data. */
  async visible(): Promise<unknown> {
    const query = `query ($id: ID!) { node(id: $id) { ... on Model {
      aliases { name version { number } }
      versions(first: 100) { edges { node { number archivedAt metadata parents { number } tags { key value } metrics { name value }
        aliases { name } origin { ... on RestoreOrigin { from { number } } } } } }
    } } }`;
    interface Node {
      number: number;
      archivedAt: string | null;
      metadata: unknown;
      parents: { number: number }[];
      tags: { key: string; value: string }[];
      metrics: { name: string; value: number }[];
      aliases: { name: string }[];
      origin: { from?: { number: number } };
    }
    type Answer = {
      node: {
        aliases: { name: string; version: { number: number } }[];
        versions: { edges: { node: Node }[] };
      };
    };
    const { node } = await stack.data<Answer>(query, { id: this.id });
    return {
      aliases: node.aliases.map(({ name, version }) => [name, version.number]),
      versions: node.versions.edges.map(({ node: version }) => ({
        number: version.number,
        archived: version.archivedAt !== null,
        metadata: version.metadata,
        parents: version.parents.map(({ number }) => number),
        tags: version.tags.map(({ key, value }) => [key, value]),
        metrics: version.metrics.map(({ name, value }) => [name, value]),
        aliases: version.aliases.map(({ name }) => name),
        restoredFrom: version.origin.from?.number ?? null,
      })),
    };
  }

  /** What a moment finds: both aliases, and latest. */
  async seenAt(time: string): Promise<unknown[]> {
    const query = `query ($id: ID!, $asOf: DateTime!, $latest: VersionRef!) {
      node(id: $id) { ... on Model { champion: alias(name: "champion", asOf: $asOf) { version { number } } b: alias(name: "b", asOf: $asOf) { version { number } } } }
      project(name: "${PROJECT}") { version(ref: $latest) { number } } }`;
    type Found = { version: { number: number } } | null;
    const latest = `${this.name}@latest{${time}}`;
    const { node, project } = await stack.data<{
      node: { champion: Found; b: Found };
      project: { version: { number: number } | null };
    }>(query, { id: this.id, asOf: time, latest });
    return [node.champion, node.b]
      .map((found) => found?.version.number ?? null)
      .concat(project.version?.number ?? null);
  }
}

const byKey = <T>(map: ReadonlyMap<string, T>): [string, T][] =>
  [...map].toSorted(([a], [b]) => (a < b ? -1 : 1));

/** The same as `visible`, by the rules. */
function wanted({ aliases, live }: RegistryModel): unknown {
  const standing = byKey(aliases);
  return {
    aliases: standing,
    versions: live
      .toReversed()
      .map(({ number, archived, metadata, parents, tags, metrics, restoredFrom }) => ({
        number,
        archived,
        metadata,
        parents,
        tags: byKey(tags),
        metrics: byKey(metrics),
        aliases: standing.flatMap(([name, at]) => (at === number ? [name] : [])),
        restoredFrom,
      })),
  };
}

/** What the ledger has told so far. */
class Told {
  readonly aliases = new Map<string, number>();
  readonly versions = new Map<string, Pick<ModelledVersion, 'number' | 'parents' | 'archived'>>();
  readonly notes = new Map<number, Record<string, unknown>>();

  hear({ type, subjectId, data }: EventRow): void {
    const number = data['number'] as number;
    const known = this.versions.get(subjectId);
    if (type === 'ALIAS_MOVED') this.aliases.set(String(data['name']), data['to'] as number);
    if (type === 'ALIAS_DELETED') this.aliases.delete(String(data['name']));
    if (type === 'VERSION_CREATED') {
      const parents = (data['parents'] as string[]).map((id) => this.versions.get(id)!.number);
      this.versions.set(subjectId, { number, parents, archived: false });
    }
    if (type === 'VERSION_CREATED' || type === 'VERSION_UPDATED') {
      this.notes.set(number, { ...this.notes.get(number), ...data });
    }
    if (known && type.endsWith('ARCHIVED')) {
      this.versions.set(subjectId, { ...known, archived: type === 'VERSION_ARCHIVED' });
    }
    if (type === 'VERSION_DELETED') this.versions.delete(subjectId);
  }

  get seen(): unknown[] {
    const latest = Math.max(...[...this.versions.values()].map(({ number }) => number));
    return [this.aliases.get('champion') ?? null, this.aliases.get('b') ?? null, latest > 0 ? latest : null];
  }
}

const commands = fc.array(command, { maxLength: 25, size: 'max' });
/** So that there is something to refer to. */
const beginning: readonly Command[] = [null, null, [0], [1, 2]].map((parents) => ({
  kind: 'create',
  parents,
  note: { key: 'a', value: '', metric: 0, metadata: null },
}));

test('any sequence of commands', async () => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(commands, async (each) => {
      const name = `run${++runs}`;
      const run = new Run(name, await stack.model(name));
      for (const step of [...beginning, ...each]) await run.step(step);
      expect(await run.visible()).toEqual(wanted(run.rules));

      const all = await eventsOf(stack, PROJECT);
      expect(all.map(({ sequence }) => sequence)).toEqual(all.map((_, index) => index + 1));
      const events = all.filter(({ modelId }) => modelId === innerId(run.id));
      expect(events.map(({ type }) => type)).toEqual(run.rules.events);
      const told = new Told();
      for (const event of events) {
        told.hear(event);
        expect([event.sequence, await run.seenAt(event.at)]).toEqual([event.sequence, told.seen]);
      }
      expect(byKey(told.aliases)).toEqual(byKey(run.rules.aliases));
      expect([...told.versions.values()]).toEqual(
        run.rules.live.map(({ number, parents, archived }) => ({ number, parents, archived })),
      );
      for (const { number, tags, metrics, metadata } of run.rules.live) {
        expect(told.notes.get(number)).toMatchObject({
          tags: byKey(tags).map(([key, value]) => ({ key, value })),
          metrics: Object.fromEntries(metrics),
          metadata,
        });
      }
    }),
    { numRuns: 25 },
  );
});
