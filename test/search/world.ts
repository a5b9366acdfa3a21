/** A database of its own with a few dozen versions of which everything is known, and others that no search may find. */
import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { sql } from 'kysely';
import { inject } from 'vitest';
import { openDatabase, type Database, type Db } from '#src/platform/database.ts';
import { deploymentStates, versionStatuses } from '#src/platform/database.types.ts';
import { newId } from '#src/platform/id.ts';
import { withDatabase } from '#test/helpers/services.ts';
import type { Searched } from './evaluate.ts';

export const now = new Date('2026-11-24T12:00:00.000Z');

export const texts = {
  words: [
    'fraud',
    'fraud-eu',
    'Fraud_US',
    'churn',
    'price.v2',
    '50% off\\sale',
    'more data',
    'Été',
    '"quoted" (a)',
    'onnx',
    'onnx_2',
    'ada',
    'bob_b',
    'champion',
    'rare',
    'shop',
  ],
  keys: ['stage', 'team', 'stage_2', 'x.y'],
  values: ['dev', 'prod', 'de_v', '100%', ''],
  metrics: ['accuracy', 'loss', 'f1'],
  days: ['2026-11-20', '2026-11-21', '2026-11-24'],
  times: ['2026-11-20T00:00:00.000Z', '2026-11-21T12:00:00.001Z', '2026-11-24T11:00:00.000Z'].map(
    (time) => new Date(time),
  ),
  digests: ['0'.repeat(64), 'ab'.repeat(32), `ab0${'f'.repeat(61)}`, 'f'.repeat(64)],
};

export interface World {
  readonly database: Database;
  readonly projectId: string;
  /** Newest first. */
  readonly versions: readonly Searched[];
  close(): Promise<void>;
}

type Given = Omit<Searched, 'id' | 'number' | 'model' | 'deployments'> & {
  readonly model: number;
  readonly deployments: readonly number[];
  readonly deleted: boolean;
};

const models = ['fraud', 'fraud-eu', 'Fraud_US', 'churn', 'price.v2', 'Été'];
const deployments = deploymentStates.map((state, index) => ({
  name: `shop${index === 0 ? '' : `-${index}`}`,
  state,
}));

function given(): fc.Arbitrary<Given> {
  const some = <T>(values: readonly T[]) => fc.constantFrom(...values);
  const moment = some([...texts.times, ...texts.days.map((day) => new Date(day))]);
  return fc.record({
    model: fc.nat(models.length - 1),
    status: some(versionStatuses),
    message: fc.option(fc.array(some(texts.words), { maxLength: 3 }).map((words) => words.join(' '))),
    author: some(['ada', 'Ada', 'bob_b', 'bobxb']),
    // In microseconds: what lies within a day or a millisecond, and what just does not.
    created: fc
      .tuple(moment, fc.oneof(some([0, 1, 999, 1000, -1]), fc.integer({ min: -2e11, max: 2e11 })))
      .map(([time, by]) => BigInt(time.getTime()) * 1000n + BigInt(by)),
    format: some(['ONNX', 'onnx_2', 'onnxx2']),
    bytes: some([0, 5, 12, 999, 1000, 1001, 1_000_000_000]),
    digest: some(texts.digests),
    tags: fc.uniqueArray(fc.record({ key: some(texts.keys), value: some(texts.values) }), {
      maxLength: 3,
      selector: ({ key }) => key,
    }),
    archived: fc.boolean(),
    metrics: fc.dictionary(some(texts.metrics), some([0, 0.5, 0.93, -1.5, 1e300, 0.1])),
    aliases: fc.uniqueArray(some(['champion', 'rare', 'shop']), { maxLength: 2 }),
    deployments: fc.uniqueArray(fc.nat(deployments.length - 1), { maxLength: 2 }),
    deleted: fc.nat(9).map((number) => number === 0),
  });
}

async function administer(statement: (db: Db) => Promise<unknown>): Promise<void> {
  const administrator = openDatabase({ url: inject('databaseUrl'), pool: 1 });
  try {
    await statement(administrator.db);
  } finally {
    await administrator.close();
  }
}

/** @param count how many versions are made, of which some are deleted. */
export async function createWorld(count: number): Promise<World> {
  const name = `search_${randomBytes(6).toString('hex')}`;
  const template = inject('templateDatabase');
  await administer((db) => sql`CREATE DATABASE ${sql.id(name)} TEMPLATE ${sql.id(template)}`.execute(db));
  const database = openDatabase({ url: withDatabase(inject('databaseUrl'), name), pool: 2 });
  const all = fc.sample(given(), { numRuns: count, seed: 7 });
  // The same before and after, in projects that are not searched: their ids sort on both sides.
  await fill(database.db, 'before', all);
  const world = await fill(database.db, 'demo', all);
  await fill(database.db, 'after', all);
  await sql`analyze`.execute(database.db);
  const close = async (): Promise<void> => {
    await database.close();
    await administer((db) => sql`DROP DATABASE ${sql.id(name)}`.execute(db));
  };
  return { database, ...world, close };
}

const by = { createdByName: 'ada', createdByKind: 'USER' } as const;

async function fill(
  db: Db,
  name: string,
  all: readonly Given[],
): Promise<{ projectId: string; versions: Searched[] }> {
  const projectId = newId();
  await db
    .insertInto('project')
    .values({ id: projectId, name, ...by })
    .execute();
  const modelIds = models.map(() => newId());
  const named = models.map((model, index) => ({ id: modelIds[index]!, projectId, name: model, ...by }));
  const gone = { id: newId(), projectId, name: 'fraud', deletedAt: now, ...by };
  await db
    .insertInto('model')
    .values([...named.map((model) => ({ ...model, deletedAt: null })), gone])
    .execute();
  const deployed = deployments.map((deployment) => ({ id: newId(), ...deployment }));
  await db
    .insertInto('deployment')
    .values(deployed.map((deployment) => ({ ...deployment, projectId, desiredReplicas: 1, ...by })))
    .execute();
  const taken = new Set<string>();
  const versions: Searched[] = [];
  for (const [index, version] of all.entries()) {
    const isFirst = (alias: string): boolean => !taken.has(`${version.model} ${alias}`);
    const aliases = version.deleted ? [] : version.aliases.filter(isFirst);
    for (const alias of aliases) taken.add(`${version.model} ${alias}`);
    const { model, deployments: arms, deleted, ...rest } = version;
    const id = newId();
    const row = { ...rest, id, aliases, number: index + 1 };
    await insert(db, projectId, modelIds[model]!, row, deleted);
    for (const arm of arms) {
      const deploymentId = deployed[arm]!.id;
      const values = {
        id: newId(),
        deploymentId,
        versionId: id,
        name: `v${index}`,
        role: 'STABLE',
        weight: 1,
      } as const;
      await db.insertInto('arm').values(values).execute();
    }
    const running = arms.map((arm) => deployed[arm]!).filter(({ state }) => state !== 'STOPPED');
    if (!deleted) {
      versions.push({
        ...row,
        model: models[model]!,
        deployments: running.map((deployment) => deployment.name),
      });
    }
  }
  return { projectId, versions: versions.toReversed() };
}

async function insert(
  db: Db,
  projectId: string,
  modelId: string,
  version: Omit<Searched, 'model' | 'deployments'>,
  deleted: boolean,
): Promise<void> {
  const { id: versionId, number, status, message, author, created, format, bytes, digest, tags } = version;
  await sql`
    insert into version (id, project_id, model_id, number, status, message, author_name, author_kind, created_at, format,
      bytes, digest, tags, archived_at, deleted_at)
    values (${versionId}, ${projectId}, ${modelId}, ${number}, ${status}, ${message}, ${author}, 'USER',
      timestamptz 'epoch' + ${String(created)}::bigint * interval '1 microsecond', ${format}, ${bytes}, ${digest},
      ${JSON.stringify(tags)}::jsonb, ${version.archived ? now : null}, ${deleted ? now : null})`.execute(db);
  for (const [name, value] of Object.entries(version.metrics)) {
    await db.insertInto('versionMetric').values({ versionId, projectId, name, value }).execute();
  }
  for (const name of version.aliases) {
    const moved = { movedAt: now, movedByName: 'ada', movedByKind: 'USER' } as const;
    await db
      .insertInto('alias')
      .values({ id: newId(), projectId, modelId, name, versionId, ...moved })
      .execute();
  }
}
