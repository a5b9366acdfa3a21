/** An installation that was there before the ledger: what it holds gets the events that it would have had. */
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { openDatabase } from '#src/platform/database.ts';
import { newId } from '#src/platform/id.ts';
import { at, OldDatabase } from '#test/helpers/old-database.ts';
import { attempt, done, versionFields } from '#test/helpers/registry.ts';
import { withDatabase } from '#test/helpers/services.ts';
import { startStack, type Stack } from '#test/helpers/stack.ts';

const name = `test_${newId().replaceAll('-', '')}`;
const url = withDatabase(inject('databaseUrl'), name);
const digest = 'd'.repeat(64);
const [other, token, v1, v2, v3] = [newId(), newId(), newId(), newId(), newId()];
const [live, stopped, pending] = [newId(), newId(), newId()];
let old: OldDatabase;
let model: string;
let stack: Stack;

async function asAdministrator(statement: string): Promise<void> {
  const admin = openDatabase({ url: inject('databaseUrl'), pool: 1 });
  await sql.raw(statement).execute(admin.db);
  await admin.close();
}

const globalId = (type: string, id: string): string => Buffer.from(`${type}:${id}`).toString('base64');

beforeAll(async () => {
  await asAdministrator(`create database "${name}"`);
  old = new OldDatabase(url);
  await old.begin();
  model = globalId('Model', old.model);
  await old.addProject(other, 'other', at(5));
  await old.addToken(token, at(1), at(40));
  await old.addVersion({ id: v1, status: 'READY', digest, created: at(10), ended: at(14) });
  await old.addVersion({
    id: v2,
    status: 'REJECTED',
    digest: 'e'.repeat(64),
    created: at(11),
    ended: at(13),
  });
  await old.addVersion({ id: v3, status: 'PENDING', digest: 'f'.repeat(64), created: at(12), ended: null });
  // Written in another order than they happened in.
  for (const [id, as, state, created, changed] of [
    [live, 'live', 'LIVE', at(20), at(21)],
    [stopped, 'gone', 'STOPPED', at(15), at(16)],
    [pending, 'soon', 'PENDING', at(30), at(30)],
  ] as const) {
    await old.addDeployment({ id, name: as, state, version: v1, created, changed });
  }
  // The api brings the schema up to date as it starts.
  stack = await startStack({ env: { DATABASE_URL: url }, workers: 0 });
});

afterAll(async () => {
  await stack?.stop();
  await old?.database.close();
  await asAdministrator(`drop database "${name}"`);
});

interface Row {
  readonly sequence: bigint;
  readonly type: string;
  readonly at: Date;
  readonly actorName: string;
  readonly subjectId: string;
  readonly modelId: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

async function eventsIn(project: string): Promise<Row[]> {
  const { rows } = await sql<Row>`
    select * from ledger_event where project_id = ${project} order by sequence`.execute(old.database.db);
  return rows;
}

describe('the ledger', () => {
  test('tells what happened, in the order of its times, without a gap', async () => {
    const events = await eventsIn(old.project);
    expect(
      events.map(({ type, at: time, actorName, subjectId }) => [
        type,
        time.toISOString(),
        actorName,
        subjectId,
      ]),
    ).toEqual([
      ['PROJECT_CREATED', at(0), 'root', old.project],
      ['TOKEN_CREATED', at(1), 'root', token],
      ['MODEL_CREATED', at(2), 'ana', old.model],
      ['VERSION_CREATED', at(10), 'ana', v1],
      ['VERSION_CREATED', at(11), 'ana', v2],
      ['VERSION_CREATED', at(12), 'ana', v3],
      ['VERSION_REJECTED', at(13), 'modelarium', v2],
      ['VERSION_READY', at(14), 'modelarium', v1],
      ['DEPLOYMENT_CREATED', at(15), 'ops', stopped],
      ['DEPLOYMENT_STOPPED', at(16), 'modelarium', stopped],
      ['DEPLOYMENT_CREATED', at(20), 'ops', live],
      ['DEPLOYMENT_LIVE', at(21), 'modelarium', live],
      ['DEPLOYMENT_CREATED', at(30), 'ops', pending],
      ['TOKEN_REVOKED', at(40), 'unknown', token],
    ]);
    expect(events.map(({ sequence }) => Number(sequence))).toEqual(events.map((_, index) => index + 1));
    expect(events.map(({ modelId }) => modelId).filter(Boolean)).toEqual(
      Array.from({ length: 6 }, () => old.model),
    );
    expect(await eventsIn(other)).toMatchObject([{ sequence: 1n, type: 'PROJECT_CREATED' }]);
  });

  test('counts on from there', async () => {
    const { rows } = await sql<{ projectId: string; sequence: bigint; at: Date }>`
      select * from ledger_counter order by sequence`.execute(old.database.db);
    expect(rows).toEqual([
      { projectId: other, sequence: 1n, at: new Date(at(5)) },
      { projectId: old.project, sequence: 14n, at: new Date(at(40)) },
    ]);
    await done(stack, 'updateModel', { model, description: 'new' });
    const last = (await eventsIn(old.project)).at(-1);
    expect(last).toMatchObject({ sequence: 15n, type: 'MODEL_UPDATED', actorName: 'local' });
    expect(last!.at.getTime()).toBeGreaterThan(Date.parse(at(40)));
  });

  // What is told of a version when it is created now, is told of those that were there before.
  test('tells of versions and deployments what it tells of new ones', async () => {
    const artifacts = [{ path: 'm.onnx', digest }];
    await done(stack, 'createVersion', { model, artifacts, parents: [], message: 'as it was' });
    const events = await eventsIn(old.project);
    const first = events.find(({ type }) => type === 'VERSION_CREATED')!;
    const made = events.findLast(({ type }) => type === 'VERSION_CREATED')!;
    const { restoredFrom, ...data } = made.data;
    expect(restoredFrom).toBeNull();
    expect({ restoredFrom: null, ...first.data }).toEqual({
      ...data,
      restoredFrom,
      number: 1,
      status: 'PENDING',
      // It was taken for granted then.
      format: 'ONNX',
    });
  });
});

describe('the public door', () => {
  test('versions have neither parents nor annotations, and can be built on, named and restored', async () => {
    const query = `query { version(ref: "old/fraud:1") { ${versionFields} origin { ... on UploadOrigin { by { name } } } ancestors { edges { node { id } } } } }`;
    expect(await stack.data(query)).toMatchObject({
      version: {
        number: 1,
        status: 'READY',
        tags: [],
        metrics: [],
        metadata: null,
        parents: [],
        archivedAt: null,
        deletedAt: null,
        origin: { by: { name: 'ana' } },
        ancestors: { edges: [] },
      },
    });
    // The bytes that the project held before are its own to name.
    const artifacts = [{ path: 'm.onnx', digest }];
    const parents = ['old/fraud:1'];
    const fields = 'number status parents { number }';
    // What that release took unseen is looked into now.
    expect(await done<object>(stack, 'createVersion', { model, artifacts, parents }, fields)).toMatchObject({
      status: 'PENDING',
      parents: [{ number: 1 }],
    });
    await done(stack, 'setAlias', { model, name: 'champion', version: 'old/fraud:1' });
    expect(
      await done<object>(stack, 'restoreVersion', { version: 'old/fraud@champion' }, fields),
    ).toMatchObject({
      parents: [expect.anything(), { number: 1 }],
    });
  });

  test('a time before the upgrade finds what was there', async () => {
    const query = `query ($ref: VersionRef!) { project(name: "old") { version(ref: $ref) { number } } }`;
    const seen = [];
    for (const minute of [9, 10, 11, 12, 20]) {
      const { project } = await stack.data<{ project: { version: { number: number } | null } }>(query, {
        ref: `fraud@latest{${at(minute)}}`,
      });
      seen.push(project.version?.number ?? null);
    }
    expect(seen).toEqual([null, 1, 2, 3, 3]);
    const past = `query ($id: ID!, $time: DateTime!) { node(id: $id) { ... on Deployment { asOf(time: $time) { state stateReason arms { name role weight version { number } } } } } }`;
    const states = [];
    for (const minute of [14, 15, 16, 17]) {
      const id = globalId('Deployment', stopped);
      const { node } = await stack.data<{ node: { asOf: { state: string } | null } }>(past, {
        id,
        time: at(minute),
      });
      states.push(node.asOf?.state ?? null);
    }
    expect(states).toEqual([null, 'PENDING', 'STOPPED', 'STOPPED']);
    expect(await stack.data(past, { id: globalId('Deployment', live), time: at(21) })).toEqual({
      node: {
        asOf: {
          state: 'LIVE',
          stateReason: null,
          arms: [{ name: 'stable', role: 'STABLE', weight: 1, version: { number: 1 } }],
        },
      },
    });
  });

  test('an old process goes on writing beside the new ones, and what it wrote is there', async () => {
    const id = newId();
    const bytes = 'a'.repeat(64);
    const number = await old.addVersion({
      id,
      status: 'READY',
      digest: bytes,
      created: at(50),
      ended: at(51),
    });
    const deployment = {
      id: newId(),
      name: 'old-code',
      state: 'LIVE',
      version: id,
      created: at(52),
      changed: at(53),
    };
    await old.addDeployment(deployment);
    const query =
      'query ($ref: VersionRef!) { version(ref: $ref) { number tags { key } deployments { name } } }';
    expect(await stack.data(query, { ref: 'old/fraud@latest' })).toEqual({
      version: { number, tags: [], deployments: [{ name: 'old-code' }] },
    });
    const input = { model, artifacts: [{ path: 'm.onnx', digest: bytes }] };
    expect(await attempt(stack, 'createVersion', input, 'status')).toEqual({ made: { status: 'PENDING' } });
  });
});
