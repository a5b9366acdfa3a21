/** An api is killed, and PostgreSQL goes away, while many write: numbers and the ledger stay whole. */
import { sql, type RawBuilder } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase } from '#src/platform/database.ts';
import { innerId } from '#test/helpers/ledger.ts';
import { held, type HeldFile } from '#test/helpers/registry.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';
import { OwnService } from './own-services.ts';
import { Writers } from './writers.ts';

const postgres = new OwnService('postgres');
let stack: Stack;
let bytes: HeldFile;

beforeAll(async () => {
  await postgres.start();
  stack = await startStack({ env: { DATABASE_URL: postgres.url, OPERATION_LEASE_SECONDS: '2' }, apis: 2 });
  bytes = await held(stack, 'breast-cancer/v1.onnx');
});

afterAll(async () => {
  await stack?.stop();
  await postgres.remove();
});

async function rowsOf<T>(query: RawBuilder<T>): Promise<T[]> {
  const { db, close } = openDatabase({ url: postgres.url, pool: 1 });
  try {
    return (await query.execute(db)).rows;
  } finally {
    await close();
  }
}

interface VersionRow {
  readonly id: string;
  readonly modelId: string;
  readonly number: number;
  readonly tags: readonly { readonly key: string }[];
}

/** Numbers of each model without a gap or a double, and no version asked for once that is there twice. */
async function checkVersions(writers: Writers, models: readonly string[]): Promise<VersionRow[]> {
  const versions = await rowsOf(
    sql<VersionRow>`select id, model_id, number, tags from version where model_id = any(${models}) order by number`,
  );
  const lastNumbers = await rowsOf(
    sql<{ id: string; lastNumber: number }>`select id, last_number from model where id = any(${models})`,
  );
  for (const { id, lastNumber } of lastNumbers) {
    const own = versions.filter(({ modelId }) => modelId === id).map(({ number }) => number);
    expect(own).toEqual(Array.from({ length: lastNumber }, (_, index) => index + 1));
  }
  const keys = versions.map(({ tags }) => tags[0]!.key);
  expect(new Set(keys).size).toBe(keys.length);
  for (const key of keys) expect(writers.asked).toContain(key);
  const known = new Map(versions.map((version) => [version.tags[0]!.key, version]));
  for (const { kind, key, versionId, number } of writers.answered) {
    if (kind === 'version') expect(known.get(key)).toMatchObject({ id: innerId(versionId), number });
  }
  return versions;
}

interface EventRow {
  readonly sequence: bigint;
  readonly at: Date;
  readonly type: string;
  readonly subjectId: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly writtenBy: string;
}

/** Sequences without a gap, a later time for each transaction, and one event for each version. */
async function checkLedger(versions: readonly VersionRow[]): Promise<EventRow[]> {
  const project = innerId(await stack.project());
  const events = await rowsOf(
    sql<EventRow>`
      select sequence, at, type, subject_id, data, xmin::text as written_by from ledger_event
      where project_id = ${project} order by sequence`,
  );
  expect(events.map(({ sequence }) => Number(sequence))).toEqual(events.map((_, index) => index + 1));
  for (const [index, { at, writtenBy }] of events.entries()) {
    const before = events[index - 1];
    if (before) expect(at > before.at).toBe(writtenBy !== before.writtenBy);
  }
  const [counter] = await rowsOf(
    sql<{
      sequence: bigint;
      at: Date;
    }>`select sequence, at from ledger_counter where project_id = ${project}`,
  );
  expect(counter).toEqual({ sequence: events.at(-1)?.sequence, at: events.at(-1)?.at });
  const created = events.filter(({ type }) => type === 'VERSION_CREATED');
  const told = Map.groupBy(created, ({ subjectId }) => subjectId);
  for (const { id, number } of versions) {
    expect(told.get(id)?.map(({ data }) => data['number'])).toEqual([number]);
  }
  return events;
}

/** Aliases stand where their last event says, each event goes on from the one before, and no answered move is lost. */
async function checkAliases(events: readonly EventRow[], { answered }: Writers, models: readonly string[]) {
  const aliases = await rowsOf(
    sql<{ id: string; name: string; versionId: string; movedAt: Date }>`
      select id, name, version_id, moved_at from alias where model_id = any(${models})`,
  );
  for (const { id, name, versionId, movedAt } of aliases) {
    const moves = events.filter(({ subjectId }) => subjectId === id);
    expect({ versionId, movedAt }).toEqual({
      versionId: moves.at(-1)?.data['version'],
      movedAt: moves.at(-1)?.at,
    });
    const stood = moves.map(({ data }) => data['version']);
    expect(moves.map(({ data }) => data['previous'])).toEqual([null, ...stood.slice(0, -1)]);
    const moved = answered.filter(({ kind, key }) => kind === 'move' && key === name);
    for (const { versionId: to } of moved) expect(stood).toContain(innerId(to));
  }
  expect(aliases.length).toBeGreaterThan(0);
}

/** Eight write while something happens; then all that they were told is true. */
async function whileWriting(name: string, happens: (writers: Writers) => Promise<void>): Promise<void> {
  const models = await Promise.all([1, 2, 3].map((each) => stack.model(`${name}${each}`)));
  const writers = new Writers(stack, bytes, models, 8);
  await writers.more(60);
  await happens(writers);
  await writers.more(60);
  await writers.stop();
  expect(writers.failures).toBeGreaterThan(0);
  const inner = models.map(innerId);
  const versions = await checkVersions(writers, inner);
  await checkAliases(await checkLedger(versions), writers, inner);
}

test('one api of two is killed and comes back, three times', async () => {
  await whileWriting('killed', async (writers) => {
    for (let round = 0; round < 3; round++) {
      await stack.apis[round % 2]?.kill();
      await writers.more(20);
      await stack.apis[round % 2]?.start();
      await writers.more(20);
    }
  });
});

test('PostgreSQL is stopped hard and comes back, twice', async () => {
  await whileWriting('away', async (writers) => {
    for (let round = 0; round < 2; round++) {
      const before = writers.failures;
      await postgres.end('SIGQUIT');
      await writers.until(() => writers.failures > before);
      await postgres.start();
      await writers.more(20);
    }
  });
});
