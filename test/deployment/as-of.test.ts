/** How a deployment was at any time of its life. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { eventsOf, innerId, later, type EventRow } from '#test/helpers/ledger.ts';
import { holdLock } from '#test/helpers/lock.ts';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { done } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createDeployment, deploymentIn, stopped } from '#test/helpers/work.ts';

let stack: Stack;
let version: string;

beforeAll(async () => {
  stack = await startStack();
  const file = fixtureFile('breast-cancer/v2.onnx');
  version = (await stack.createModelVersion('fraud', [file], breastCancerSignature)).id;
});

interface Snapshot {
  readonly at: string;
  readonly state: string;
  readonly stateReason: string | null;
  readonly arms: readonly {
    readonly name: string;
    readonly role: string;
    readonly weight: number;
    readonly version: { readonly id: string };
  }[];
}
const query = `query ($id: ID!, $time: DateTime!) { node(id: $id) { ... on Deployment {
  asOf(time: $time) { at state stateReason arms { name role weight version { id } } } } } }`;

const asOf = async (id: string, time: string): Promise<Snapshot | null> =>
  (await stack.data<{ node: { asOf: Snapshot | null } }>(query, { id, time })).node.asOf;

/** What the ledger tells of a deployment, oldest first. */
async function eventsAbout(id: string): Promise<EventRow[]> {
  return (await eventsOf(stack, PROJECT)).filter(({ subjectId }) => subjectId === innerId(id));
}

/** Compares every moment of a deployment's life with what the ledger tells of it; the states in their order. */
async function statesOf(id: string): Promise<string[]> {
  const events = await eventsAbout(id);
  const arms = [{ name: 'stable', role: 'STABLE', weight: 1, version: { id: version } }];
  for (const [index, { at, data, type }] of events.entries()) {
    const { state, reason } = data as { state: string; reason: string | null };
    expect(type).toBe(`DEPLOYMENT_${index === 0 ? 'CREATED' : state}`);
    expect(await asOf(id, at)).toEqual({ at, state, stateReason: reason, arms });
    const before = await asOf(id, later(at, -1));
    expect(before?.state ?? null).toBe(index === 0 ? null : events[index - 1]!.data['state']);
  }
  const last = events.at(-1)!;
  const now = later(new Date().toISOString(), -1);
  if (now > last.at) expect((await asOf(id, now))?.state).toBe(last.data['state']);
  return events.map(({ data }) => String(data['state']));
}

test('from its creation to its end, also once another has its name', async () => {
  const { id } = await stack.deploy(version, { name: 'fraud' });
  const born = await eventsAbout(id);
  expect(await asOf(id, later(born[0]!.at, -1))).toBeNull();
  expect(await asOf(id, '2000-01-01T00:00:00Z')).toBeNull();
  await stopped(stack, id);
  const again = await stack.deploy(version, { name: 'fraud' });
  expect(await statesOf(id)).toEqual(['PENDING', 'PROVISIONING', 'LIVE', 'STOPPING', 'STOPPED']);
  await stopped(stack, again.id);
  expect((await statesOf(again.id)).at(-1)).toBe('STOPPED');
  expect(await asOf(again.id, born[0]!.at)).toBeNull();
});

test('through a crash of its replica: each state with its reason', async () => {
  const { id } = await stack.deploy(version, { name: 'crashed' });
  const [pid] = stack.replicaPids();
  const degraded = deploymentIn(stack, id, 'DEGRADED');
  process.kill(pid as number, 'SIGKILL');
  await degraded;
  await deploymentIn(stack, id, 'LIVE');
  await stopped(stack, id);
  const states = await statesOf(id);
  expect(states.slice(0, 3)).toEqual(['PENDING', 'PROVISIONING', 'LIVE']);
  expect(states).toContain('DEGRADED');
  expect(states.slice(-3)).toEqual(['LIVE', 'STOPPING', 'STOPPED']);
  const reason = (await eventsAbout(id)).find(({ type }) => type === 'DEPLOYMENT_DEGRADED')?.data['reason'];
  expect(reason).toEqual(expect.any(String));
});

test('when it says that it was created, it was there, however long its transaction took', async () => {
  const project = innerId(await stack.project());
  const lock = await holdLock(
    stack,
    sql`select from ledger_counter where project_id = ${project} for update`,
  );
  const pending = createDeployment(stack, { project: PROJECT, name: 'waited', version });
  await lock.waiters(1);
  const waitsSince = Date.now();
  while (Date.now() - waitsSince < 5) await lock.waiters(1);
  await lock.release();
  const id = await pending;
  const { node } = await stack.data<{ node: { createdAt: string } }>(
    'query ($id: ID!) { node(id: $id) { ... on Deployment { createdAt } } }',
    { id },
  );
  expect(await asOf(id, node.createdAt)).toMatchObject({ state: 'PENDING' });
  await stopped(stack, id);
});

describe('what it served is told', () => {
  test('also when the version was deleted since', async () => {
    const { id: old } = await stack.createModelVersion('old', [fixtureFile('breast-cancer/v1.onnx')]);
    const { id } = await stack.deploy(old, { name: 'old' });
    await stopped(stack, id);
    await done(stack, 'deleteVersion', { version: old });
    const [created] = await eventsAbout(id);
    const deleted = `query ($id: ID!, $time: DateTime!) { node(id: $id) { ... on Deployment { asOf(time: $time) { arms { version { id number deletedAt model { name } } } } } } }`;
    expect(await stack.data(deleted, { id, time: created!.at })).toEqual({
      node: {
        asOf: {
          arms: [{ version: { id: old, number: 1, deletedAt: expect.any(String), model: { name: 'old' } } }],
        },
      },
    });
  });

  test('a time that is still to come is refused', async () => {
    const id = await createDeployment(stack, { project: PROJECT, name: 'soon', version });
    const { body } = await stack.gql(query, { id, time: '9999-01-01T00:00:00Z' });
    expect(body.errors?.[0]?.extensions).toMatchObject({
      code: 'VALIDATION',
      issues: [{ path: ['time'], expected: 'a time that has passed', found: '9999-01-01T00:00:00.000Z' }],
    });
    await stopped(stack, id);
  });
});
