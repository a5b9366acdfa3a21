/** Where an alias has stood: its history, and how it was at any time. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { appendEvents } from '#src/ledger/append.queries.ts';
import { eventsOf, innerId, later, type EventRow } from '#test/helpers/ledger.ts';
import { grow } from '#test/helpers/lineage.ts';
import { holdLock } from '#test/helpers/lock.ts';
import { pageFields, pagesOf } from '#test/helpers/pages.ts';
import { attempt, done, held, issueOf, type HeldFile, type Refusal } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createToken } from '#test/helpers/work.ts';

let stack: Stack;
let bytes: HeldFile;

beforeAll(async () => {
  stack = await startStack();
  bytes = await held(stack, 'breast-cancer/v1.onnx');
});

interface Standing {
  readonly name: string;
  readonly protected: boolean;
  readonly movedAt: string;
  readonly movedBy: { readonly name: string };
  readonly version: { readonly number: number };
}
const fields = 'name protected movedAt movedBy { name } version { number }';

async function aliasAt(model: string, name: string, asOf: string | null): Promise<Standing | null> {
  const query = `query ($id: ID!, $name: String!, $asOf: DateTime) { node(id: $id) { ... on Model { alias(name: $name, asOf: $asOf) { ${fields} } } } }`;
  return (await stack.data<{ node: { alias: Standing | null } }>(query, { id: model, name, asOf })).node
    .alias;
}

interface Move {
  readonly sequence: number;
  readonly at: string;
  readonly by: { readonly name: string; readonly kind: string };
  readonly from: { readonly number: number } | null;
  readonly to: { readonly number: number } | null;
}

/** An alias's history, read in pages. */
async function historyOf(model: string, name: string, first: number): Promise<Move[]> {
  const query = `query ($id: ID!, $name: String!, $first: Int!, $after: String) { node(id: $id) { ... on Model { alias(name: $name) {
    history(first: $first, after: $after) { edges { node { sequence at by { name kind } from { number } to { number } } } ${pageFields} }
  } } } }`;
  const pages = await pagesOf<{ node: Move }>(stack, query, { id: model, name, first }, 'node.alias.history');
  return pages.flatMap(({ edges }) => edges.map(({ node }) => node));
}

describe('moved, protected, deleted, set again', () => {
  let model: string;
  let events: EventRow[];

  beforeAll(async () => {
    model = await grow(stack, bytes, 'fraud', [[], [], []]);
    const { secret } = await createToken(stack, { project: PROJECT, name: 'ci', role: 'AUTHOR' });
    const set = (version: string, expected?: string, more: object = {}, token?: string) =>
      done(stack, 'setAlias', { model, name: 'champion', version, expected, ...more }, 'name', { token });
    await set('fraud:1');
    await set('fraud:2', 'fraud:1', {}, secret);
    await set('fraud:2', 'fraud:2', { protected: true });
    await set('fraud:3', 'fraud:2');
    await set('fraud:3', 'fraud:3', { protected: false });
    await done(stack, 'deleteAlias', { model, name: 'champion', expected: 'fraud:3' });
    await set('fraud:1');
    // Another alias, in the middle of it all.
    await done(stack, 'setAlias', { model, name: 'other', version: 'fraud:2' });
    events = (await eventsOf(stack, PROJECT)).filter(({ data }) => data['name'] === 'champion');
  });

  test('the history tells each move with who and when, newest first, in pages of any size', async () => {
    const whole = await historyOf(model, 'champion', 100);
    expect(whole.map(({ from, to, by }) => [from?.number ?? null, to?.number ?? null, by.name])).toEqual([
      [null, 1, 'local'],
      [3, null, 'local'],
      [2, 3, 'local'],
      [1, 2, 'ci'],
      [null, 1, 'local'],
    ]);
    expect(whole[3]?.by.kind).toBe('TOKEN');
    const moves = events.filter(({ type }) => /MOVED|DELETED/.test(type)).toReversed();
    expect(whole.map(({ sequence, at }) => [sequence, at])).toEqual(
      moves.map(({ sequence, at }) => [sequence, at]),
    );
    for (const first of [1, 2, 3]) expect(await historyOf(model, 'champion', first)).toEqual(whole);
  });

  test('a time finds it as it was: before, at and after each change', async () => {
    const seen = [];
    for (const { at } of events) {
      const alias = await aliasAt(model, 'champion', at);
      seen.push(alias && [alias.version.number, alias.protected, alias.movedBy.name]);
    }
    expect(seen).toEqual([
      [1, false, 'local'],
      [2, false, 'ci'],
      [2, true, 'ci'],
      [3, true, 'local'],
      [3, false, 'local'],
      null,
      [1, false, 'local'],
    ]);
    for (const [index, { at, type }] of events.entries()) {
      const before = index === 0 ? null : await aliasAt(model, 'champion', events[index - 1]!.at);
      expect(await aliasAt(model, 'champion', later(at, -1))).toEqual(before);
      const then = await aliasAt(model, 'champion', at);
      if (then && type === 'ALIAS_MOVED') expect(then.movedAt).toBe(at);
    }
    expect(await aliasAt(model, 'champion', events.at(-1)!.at)).toEqual(
      await aliasAt(model, 'champion', null),
    );
    expect(await aliasAt(model, 'champion', '2000-01-01T00:00:00Z')).toBeNull();
    expect(await aliasAt(model, 'nobody', events[0]!.at)).toBeNull();
  });

  test('when it says that it was moved, it stood there', async () => {
    const now = (await aliasAt(model, 'champion', null))!;
    expect(await aliasAt(model, 'champion', now.movedAt)).toEqual(now);
    // The same moment in another zone, and finer than the ledger tells.
    const elsewhere = `${later(now.movedAt, 3_600_000).slice(0, -1)}+01:00`;
    expect(await aliasAt(model, 'champion', elsewhere)).toEqual(now);
  });

  test('a time that is still to come is refused with the clock of the server', async () => {
    const query = `query ($id: ID!, $asOf: DateTime) { node(id: $id) { ... on Model { alias(name: "champion", asOf: $asOf) { name } } } }`;
    const { body } = await stack.gql(query, { id: model, asOf: later(new Date().toISOString(), 60_000) });
    const [error] = body.errors!;
    const refusal = { __typename: 'ValidationError', ...error?.extensions } as unknown as Refusal;
    expect(issueOf(refusal)).toMatchObject({ path: ['asOf'], expected: 'a time that has passed' });
    expect(refusal.hint).toMatch(/^The server's clock says \d{4}-.*Z\.$/);
  });
});

test.each([
  '2026-02-30T00:00:00Z',
  '2026-11-01T24:00:00Z',
  '2026-11-01T00:00:60Z',
  '2026-11-01T00:00:00+24:00',
])('%s is no time that there is', async (asOf) => {
  const query = `query ($asOf: DateTime) { project(name: "${PROJECT}") { model(name: "fraud") { alias(name: "champion", asOf: $asOf) { name } } } }`;
  const { body } = await stack.gql(query, { asOf });
  expect(body.errors?.[0]?.message).toContain('RFC 3339');
});

test('a moment at which somebody was still writing is told when they have written', async () => {
  const model = await grow(stack, bytes, 'written', [[], []]);
  await done(stack, 'setAlias', { model, name: 'a', version: 'written:1' });
  const project = innerId(await stack.project());
  const [from, to] = (await eventsOf(stack, PROJECT))
    .filter(({ modelId, type }) => modelId === innerId(model) && type === 'VERSION_CREATED')
    .map(({ subjectId }) => subjectId);
  const moved = (await eventsOf(stack, PROJECT)).at(-1)!;
  // As setAlias does, but for the commit.
  const lock = await holdLock(stack, sql`select from alias where id = ${moved.subjectId} for update`);
  const data = { ...moved.data, from: 1, previous: from, to: 2, version: to };
  const subject = { type: 'Alias', id: moved.subjectId } as const;
  const by = { name: 'somebody', kind: 'USER' } as const;
  const event = { type: 'ALIAS_MOVED', subject, modelId: innerId(model), data } as const;
  const { at } = await appendEvents(lock.tx, project, by, [event]);
  const asked = aliasAt(model, 'a', at.toISOString());
  await lock.waiters(1);
  await lock.release();
  expect((await asked)?.version.number).toBe(2);
});

test('what is told of a time never changes, however busy the project is', async () => {
  const model = await grow(stack, bytes, 'busy', [[], []]);
  await done(stack, 'setAlias', { model, name: 'a', version: 'busy:1' });
  const told = new Map<string, number | null>();
  const over = new AbortController();
  const readers = Array.from({ length: 4 }, async () => {
    while (!over.signal.aborted) {
      const now = new Date().toISOString();
      const number = (await aliasAt(model, 'a', now))?.version.number ?? null;
      expect(told.get(now) ?? number).toBe(number);
      told.set(now, number);
    }
  });
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    for (let round = 0; round < 40; round++) {
      const [version, expected] = (round + writer) % 2 === 0 ? ['busy:1', 'busy:2'] : ['busy:2', 'busy:1'];
      await attempt(stack, 'setAlias', { model, name: 'a', version, expected });
      // Something else, so that the counter is never at rest.
      await attempt(stack, 'updateModel', { model, description: `${writer} ${round}` });
    }
  });
  await Promise.all(writers);
  over.abort();
  await Promise.all(readers);
  const moves = (await eventsOf(stack, PROJECT)).filter(
    ({ modelId, type }) => modelId === innerId(model) && type === 'ALIAS_MOVED',
  );
  expect(told.size).toBeGreaterThan(20);
  expect(moves.length).toBeGreaterThan(10);
  for (const [time, number] of told) {
    const last = moves.findLast(({ at }) => at <= time);
    expect([time, number]).toEqual([time, last?.data['to'] ?? null]);
  }
});
