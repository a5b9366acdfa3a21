/** Rollouts through the public door, under traffic. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventsOf } from '#test/helpers/ledger.ts';
import { attempt, done, issueOf, refused } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { deploymentIn, undeploy } from '#test/helpers/work.ts';
import { loggedBy, untilLogged } from '#test/prediction/logged.ts';
import {
  begin,
  gate,
  hasEnded,
  registerVersions,
  rolling,
  rollingFields,
  traffic,
  type Rolling,
} from './rolling.ts';

const PER_SECOND = 60;

let stack: Stack;
let versions: Awaited<
  ReturnType<typeof registerVersions<'v2' | 'v3' | 'v4-wrong' | 'v6-nan' | 'v7-signature'>>
>;
const loads: { stop(): Promise<unknown> }[] = [];

beforeAll(async () => {
  // Two workers, so that both look at each rollout.
  stack = await startStack({ workers: 2 });
  versions = await registerVersions(stack, 'cancer', ['v2', 'v3', 'v4-wrong', 'v6-nan', 'v7-signature']);
});
afterAll(async () => {
  await Promise.all(loads.map((load) => load.stop()));
});

/** A deployment of v2, with traffic. */
async function served(name: string, perSecond = PER_SECOND) {
  const { id } = await stack.deploy(versions.v2, { name });
  const load = traffic(stack, name, perSecond);
  loads.push(load);
  return { id, deployment: `${PROJECT}/${name}`, load };
}

const armsOf = async (
  id: string,
): Promise<{ name: string; role: string; weight: number; number: number }[]> => {
  const query =
    'query ($id: ID!) { node(id: $id) { ... on Deployment { arms { name role weight version { number } } } } }';
  const { node } = await stack.data<{
    node: { arms: { name: string; role: string; weight: number; version: { number: number } }[] };
  }>(query, { id });
  return node.arms.map(({ version, ...arm }) => ({ ...arm, number: version.number }));
};

const gates = [
  gate('ERROR_RATE', 0.05, { against: 'STABLE_ARM' }),
  gate('INVALID_OUTPUT_RATE', 0.01),
  gate('DISAGREEMENT_RATE', 0.2),
  gate('OUTPUT_DRIFT', 0.3),
];
const canary = (version: string, more: object = {}) => ({
  version,
  strategy: 'CANARY',
  steps: [{ weight: 0.3, bakeSeconds: 8 }],
  mirrorShare: 0.5,
  gates,
  ...more,
});

test('a good version is watched, and then it answers all; the past stays told', async () => {
  const { id, deployment, load } = await served('healthy');
  const started = await begin(stack, { deployment, ...canary(versions.v3), expectedVersion: versions.v2 });
  expect([started.state, started.from.number, started.to.number]).toEqual(['PENDING', 1, 2]);
  const again = await refused(stack, 'startRollout', { deployment, ...canary(versions.v3) });
  expect(again.__typename).toBe('ConflictError');
  expect(['PENDING', 'PROVISIONING', 'WARMING', 'SHIFTING']).toContain(again.current);
  const baking = await rolling(
    stack,
    started.id,
    ({ state, gates: seen }) => state === 'BAKING' && seen.every(({ samples }) => samples > 0),
  );
  expect(baking.weight).toBe(0.3);
  expect(baking.gates.map(({ explanation }) => explanation.length > 10)).toEqual(gates.map(() => true));
  expect((await armsOf(id)).map(({ name, role, weight }) => [name, role, weight])).toEqual([
    ['stable', 'STABLE', 0.7],
    ['v2', 'CANDIDATE', 0.3],
  ]);
  const scaled = await refused(stack, 'scale', {
    deployment,
    weights: [
      { arm: 'stable', weight: 0 },
      { arm: 'v2', weight: 1 },
    ],
  });
  expect(scaled.__typename).toBe('ConflictError');
  const over = await rolling(stack, started.id, hasEnded);
  expect([over.state, over.reason, over.steps[0]?.state]).toEqual(['SUCCEEDED', null, 'PASSED']);
  expect(over.gates.every(({ state }) => state === 'PASSING')).toBe(true);
  expect(await armsOf(id)).toEqual([{ name: 'v2', role: 'STABLE', weight: 1, number: 2 }]);
  const { outcomes } = await load.stop();
  expect(Object.keys(outcomes)).toEqual(['200']);

  const told = (await eventsOf(stack, PROJECT)).filter(({ type }) => type.startsWith('ROLLOUT_'));
  expect(told.map(({ type }) => type)).toEqual([
    'ROLLOUT_STARTED',
    'ROLLOUT_SHIFTED',
    'ROLLOUT_SHIFTED',
    'ROLLOUT_SUCCEEDED',
  ]);
  const shifted = told[1]!;
  const query = `query ($id: ID!, $time: DateTime!) { node(id: $id) { ... on Deployment {
    asOf(time: $time) { arms { name weight } } agreement(range: { from: "${over.startedAt}", to: "${over.finishedAt}" }) {
      candidate { name } requests disagreements dropped rate interval95 rollout { id } } } } }`;
  const { node } = await stack.data<{
    node: {
      asOf: { arms: { name: string; weight: number }[] };
      agreement: {
        candidate: { name: string };
        requests: number;
        disagreements: number;
        rate: number;
        interval95: [number, number];
        rollout: { id: string };
      }[];
    };
  }>(query, { id, time: shifted.at });
  expect(node.asOf.arms).toEqual([
    { name: 'stable', weight: 0.7 },
    { name: 'v2', weight: 0.3 },
  ]);
  const [agreement] = node.agreement;
  expect([agreement?.candidate.name, agreement?.rollout.id]).toEqual(['v2', started.id]);
  expect(agreement!.requests).toBeGreaterThan(20);
  expect(agreement!.rate).toBe(agreement!.disagreements / agreement!.requests);
  expect(agreement!.interval95[1]).toBeGreaterThan(agreement!.rate);

  // What answered then, by what share, in which rollout and step, and who had put it there.
  const predicted = (await untilLogged(stack, id, 1, { filter: { arm: 'v2' } }))[0]!;
  const why = await loggedBy<{ why: Record<string, unknown> }>(
    stack,
    predicted.id,
    'why { step weightAtTheTime rollout { id } deployedAt actorWhoDeployed { name } }',
  );
  expect(why.why).toMatchObject({ deployedAt: over.startedAt, actorWhoDeployed: { name: 'local' } });
});

test.for([
  ['v4-wrong', 'DISAGREEMENT_RATE', /otherwise|disagree/i],
  ['v6-nan', 'INVALID_OUTPUT_RATE', /invalid|NaN/i],
] as const)(
  '%s takes itself back by %s, with the reason, and nobody’s request fails',
  async ([name, metric, reason]) => {
    const { id, deployment, load } = await served(`bad-${name}`);
    const started = await begin(stack, {
      deployment,
      ...canary(versions[name], { steps: [{ weight: 0.3, bakeSeconds: 120 }] }),
    });
    const over = await rolling(stack, started.id, hasEnded);
    expect([over.state, over.weight, over.steps[0]?.state]).toEqual(['ROLLED_BACK', 0, 'FAILED']);
    expect(over.reason).toMatch(reason);
    const failing = over.gates.filter(({ state }) => state === 'FAILING').map((each) => each.gate.metric);
    expect(failing).toContain(metric);
    expect(await armsOf(id)).toEqual([{ name: 'stable', role: 'STABLE', weight: 1, number: 1 }]);
    const { outcomes } = await load.stop();
    expect(Object.keys(outcomes)).toEqual(['200']);
  },
);

test('examples of disagreement are predictions that can be looked at', async () => {
  const query = `{ project(name: "${PROJECT}") { deployment(name: "bad-v4-wrong") { agreement(range: { from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z" }) { requests } rollouts(first: 1) { edges { node { startedAt } } } } } }`;
  const { project } = await stack.data<{
    project: { deployment: { agreement: unknown[]; rollouts: { edges: { node: { startedAt: string } }[] } } };
  }>(query);
  expect(project.deployment.agreement).toEqual([]);
  const from = project.deployment.rollouts.edges[0]!.node.startedAt;
  const to = new Date(new Date(from).getTime() + 600_000).toISOString();
  const found = await stack.data<{
    project: { deployment: { agreement: { rate: number; examples: { arm: string; label: string }[] }[] } };
  }>(
    `query ($from: DateTime!, $to: DateTime!) { project(name: "${PROJECT}") { deployment(name: "bad-v4-wrong") { agreement(range: { from: $from, to: $to }) { rate examples { arm label } } } } }`,
    { from, to },
  );
  const [agreement] = found.project.deployment.agreement;
  expect(agreement!.rate).toBeGreaterThan(0.9);
  expect(agreement!.examples.length).toBeGreaterThan(0);
  expect(new Set(agreement!.examples.map(({ arm }) => arm))).toEqual(new Set(['stable']));
});

test('it is paused, resumed, promoted; what is not possible is refused with what is', async () => {
  const { deployment, load } = await served('steered', 20);
  const started = await begin(stack, {
    deployment,
    ...canary(versions.v3, { steps: [{ weight: 0.2, bakeSeconds: 600 }] }),
  });
  const early = await attempt<Rolling>(stack, 'promoteRollout', { rollout: started.id }, rollingFields);
  if ('refusal' in early) expect(early.refusal.__typename).toBe('ConflictError');
  await rolling(stack, started.id, ({ state }) => state === 'BAKING');
  const paused = await done<Rolling>(stack, 'pauseRollout', { rollout: deployment }, rollingFields);
  expect([paused.state, paused.pausedAt !== null, paused.allowed]).toEqual([
    'BAKING',
    true,
    ['RESUME', 'PROMOTE', 'ABORT', 'ROLL_BACK'],
  ]);
  const twice = await refused(stack, 'pauseRollout', { rollout: started.id });
  expect([twice.__typename, twice.current]).toEqual(['ConflictError', 'BAKING, paused']);
  expect(twice.hint).toContain('resume, promote, abort, rollBack');
  const resumed = await done<Rolling>(stack, 'resumeRollout', { rollout: started.id }, rollingFields);
  expect(resumed.pausedAt).toBeNull();
  const promoted = await done<Rolling>(stack, 'promoteRollout', { rollout: started.id }, rollingFields);
  expect([promoted.state, promoted.weight, promoted.reason]).toEqual(['FINISHING', 1, 'Promoted by local.']);
  const over = await rolling(stack, started.id, hasEnded);
  expect(over.state).toBe('SUCCEEDED');
  const late = await refused(stack, 'abortRollout', { rollout: started.id });
  expect([late.__typename, late.current]).toEqual(['ConflictError', 'SUCCEEDED']);

  // And back to what answered before.
  const back = await done<Rolling>(stack, 'rollBack', { deployment }, rollingFields);
  expect([back.from.number, back.to.number]).toEqual([2, 1]);
  // Asked again, it is on its way already.
  expect((await done<Rolling>(stack, 'rollBack', { deployment }, rollingFields)).id).toBe(back.id);
  await rolling(stack, back.id, ({ state }) => state === 'BAKING');
  const aborted = await done<Rolling>(stack, 'abortRollout', { rollout: back.id }, rollingFields);
  expect([aborted.state, aborted.weight]).toEqual(['ROLLING_BACK', 0]);
  expect((await rolling(stack, back.id, hasEnded)).state).toBe('ABORTED');
  const { outcomes } = await load.stop();
  expect(Object.keys(outcomes)).toEqual(['200']);
});

test('a shadow answers nobody, and ends in a report', async () => {
  const { id, deployment, load } = await served('shadowed');
  const started = await begin(stack, {
    deployment,
    version: versions['v4-wrong'],
    strategy: 'SHADOW',
    steps: [{ weight: 0, bakeSeconds: 4 }],
    gates: [gate('DISAGREEMENT_RATE', 1, { noData: 'WAIT' })],
  });
  const over = await rolling(stack, started.id, hasEnded);
  expect([over.state, over.weight]).toEqual(['SUCCEEDED', 0]);
  expect(over.gates[0]!.observed).toBe(1);
  expect(over.steps[0]!.samples).toBeGreaterThan(20);
  expect(await armsOf(id)).toEqual([{ name: 'stable', role: 'STABLE', weight: 1, number: 1 }]);
  const { outcomes } = await load.stop();
  expect(Object.keys(outcomes)).toEqual(['200']);
  const answered = await untilLogged(stack, id, 100);
  expect(new Set(answered.map(({ arm }) => arm))).toEqual(new Set(['stable']));
});

test('what cannot be honoured is refused, with path, expected and found', async () => {
  const { id } = await stack.deploy(versions.v2, { name: 'strict' });
  const deployment = `${PROJECT}/strict`;
  const signature = issueOf(
    await refused(stack, 'startRollout', { deployment, version: versions['v7-signature'] }),
  );
  expect(signature.path).toEqual(['version']);
  expect(signature.found).toContain('29');
  const issue = async (more: object) => {
    const { path, expected, found } = issueOf(
      await refused(stack, 'startRollout', { deployment, version: versions.v3, ...more }),
    );
    expect([expected, found].every(Boolean)).toBe(true);
    return path.join('.');
  };
  expect(await issue({ strategy: 'CANARY', steps: [{ weight: 0.9, bakeSeconds: 1 }] })).toBe(
    'steps.0.weight',
  );
  expect(await issue({ gates: [] })).toBe('gates');
  expect(await issue({ gates: [gate('ERROR_RATE', 2)] })).toBe('gates.0.threshold');
  expect(await issue({ gates: [gate('ACCURACY', 0.9, { noData: 'FAIL' })] })).toBe('gates.0.noData');
  expect(
    await issue({ strategy: 'ALL_AT_ONCE', gates: [gate('ERROR_RATE', 0.1, { against: 'STABLE_ARM' })] }),
  ).toBe('gates.0.against');
  expect(await issue({ timeoutSeconds: 5 })).toBe('timeoutSeconds');
  const other = await refused(stack, 'startRollout', {
    deployment,
    version: versions.v3,
    expectedVersion: versions.v3,
  });
  expect([other.__typename, other.current]).toEqual(['ConflictError', '1']);
  const nowhere = await refused(stack, 'rollBack', { deployment });
  expect(nowhere.__typename).toBe('ConflictError');
  const none = await refused(stack, 'pauseRollout', { rollout: deployment });
  expect(none.__typename).toBe('NotFoundError');
  expect(await armsOf(id)).toHaveLength(1);
});

test('a deployment follows an alias: the latest move wins, and what cannot be followed says so', async () => {
  const model = await stack.model('cancer');
  const move = (version: string, expected?: string) =>
    done(stack, 'setAlias', { model, name: 'champion', version, ...(expected ? { expected } : {}) });
  await move(versions.v2);
  const { id } = await done<{ id: string }>(
    stack,
    'createDeployment',
    { project: PROJECT, name: 'following', follows: 'cancer@champion', defaultStrategy: 'ALL_AT_ONCE' },
    'id',
  );
  await deploymentIn(stack, id, 'LIVE');
  expect((await armsOf(id)).map(({ number }) => number)).toEqual([1]);
  const query = `subscription ($id: ID!) { deployment(id: $id) { follows { name } rollout { ${rollingFields} } rollouts(first: 5) { edges { node { ${rollingFields} } } } } }`;
  interface Following {
    deployment: { rollout: Rolling | null; rollouts: { edges: { node: Rolling }[] } };
  }
  const until = (is: (value: Following['deployment']) => boolean) =>
    stack.until<Following>(query, { id }, (value) => is(value.deployment));
  await move(versions.v3, versions.v2);
  const first = (await until(({ rollout }) => rollout !== null)).deployment.rollout!;
  expect([first.to.number, first.reason]).toEqual([2, 'cancer@champion moved to version 2.']);
  // Twice meanwhile: only the last one counts, and that is one which cannot be followed.
  await move(versions['v4-wrong'], versions.v3);
  await move(versions['v7-signature'], versions['v4-wrong']);
  await done(stack, 'promoteRollout', { rollout: await whenBaking(first.id) });
  const { deployment } = await until(({ rollouts }) => rollouts.edges.length === 2);
  const [last] = deployment.rollouts.edges.map(({ node }) => node);
  expect([last!.state, last!.to.number]).toEqual(['FAILED', 5]);
  expect(last!.reason).toContain('cannot be followed');
  expect(await armsOf(id)).toMatchObject([{ role: 'STABLE', number: 2 }]);
  await done(stack, 'updateDeployment', { deployment: id, follows: null }, 'follows { name }');
});

/** Its id, once it bakes. */
async function whenBaking(id: string): Promise<string> {
  await rolling(stack, id, ({ state }) => state === 'BAKING');
  return id;
}

test('a deployment that goes takes its rollout along', async () => {
  const { id } = await stack.deploy(versions.v2, { name: 'going' });
  const started = await begin(stack, { deployment: id, ...canary(versions.v3) });
  await undeploy(stack, id);
  expect((await rolling(stack, started.id, hasEnded)).state).toBe('ABORTED');
  await deploymentIn(stack, id, 'STOPPED');
});
