/** One rollout that is struck, and what has to be true of it all the same. */
import { sql } from 'kysely';
import { expect } from 'vitest';
import type { Evidence } from '#src/rollout/evidence.ts';
import type { RolloutRow } from '#src/rollout/rollout.queries.ts';
import { eventsOf, innerId, type EventRow } from '#test/helpers/ledger.ts';
import { PROJECT } from '#test/helpers/stack.ts';
import { Answers } from '#test/rollout/answers.ts';
import { begin, gate, hasEnded, rollingFields, traffic, type Rolling } from '#test/rollout/rolling.ts';
import { rowsOf } from './stack-facts.ts';
import type { Fault, World } from './rollout-world.ts';

export const stages = ['COMING_UP', 'SHIFTING', 'BAKING', 'FINISHING', 'ROLLING_BACK'] as const;
export type Stage = (typeof stages)[number];

/** What befalls a rollout, by where it is. Only one that goes wrong comes to ROLLING_BACK. */
export type Strikes = Partial<Record<Stage, Fault>>;

const PER_SECOND = 100;
const WEIGHT = 0.3;
const BAKE_SECONDS = 3;
/** More than comes in a second, so that one can be struck that has seen something and is not through. */
const MIN_SAMPLES = 50;
/** From a second's end until every api has written what it counted in it, and an answer's way to its caller. */
const WRITTEN_MS = 2_000;
const ON_ITS_WAY_MS = 250;
/** Numbers of versions. */
const [STABLE, GOOD, WRONG] = [1, 2, 3] as const;

/** Where a state belongs; undefined where nothing is struck. */
const stageOf = (state: string): Stage | undefined =>
  state === 'PROVISIONING' || state === 'WARMING' ? 'COMING_UP' : stages.find((stage) => stage === state);

/** The bake of a wrong version is long: it does not end by itself. */
function planFor(strikes: Strikes, isWrong: boolean): object {
  const seen = { minSamples: MIN_SAMPLES };
  const killed = Object.values(strikes).includes('replica');
  return {
    strategy: 'CANARY',
    steps: [{ weight: WEIGHT, bakeSeconds: isWrong ? 120 : BAKE_SECONDS }],
    mirrorShare: 0.5,
    gates: [
      // While the candidate's only replica is started again, what the stable arm answers instead counts against it.
      gate('ERROR_RATE', killed ? 0.7 : 0.05, { against: 'STABLE_ARM', ...seen }),
      gate('INVALID_OUTPUT_RATE', 0.01, seen),
      // All answers of a wrong one differ: against a low limit the first second would say so, and nothing could be struck.
      gate('DISAGREEMENT_RATE', isWrong ? 0.9 : 0.2, seen),
      gate('OUTPUT_DRIFT', 0.3, seen),
    ],
  };
}

/** Rolls a version out under traffic, strikes, and checks that everything is as it would have been. It stays deployed. */
export async function survives(world: World, name: string, version: 'v3' | 'v4-wrong', strikes: Strikes) {
  const { stack } = world;
  const isWrong = version === 'v4-wrong';
  const { id } = await stack.deploy(world.versions.v2, { name });
  const answers = new Answers();
  const load = traffic(stack, name, PER_SECOND, answers.hear);
  const input = { deployment: `${PROJECT}/${name}`, version: world.versions[version] };
  const started = await begin(stack, { ...input, ...planFor(strikes, isWrong) });
  const rollout = innerId(started.id);
  // It comes up faster than anybody looks: what is struck meanwhile must not.
  const release = strikes.COMING_UP ? await world.hold(rollout) : undefined;
  const struck: Stage[] = [];
  const { since, over } = await watch(world, started.id, async (stage) => {
    const fault = strikes[stage];
    if (!fault) return;
    expect(stageOf(await world.strike(fault, rollout, load)), `${fault} at ${stage}`).toBe(stage);
    if (stage === 'COMING_UP' && fault !== 'replica') release?.();
    struck.push(stage);
  });
  expect(struck).toEqual(Object.keys(strikes));
  expect([over.state, over.reason === null]).toEqual(isWrong ? ['ROLLED_BACK', false] : ['SUCCEEDED', true]);
  await load.seconds(1);
  const settled = Date.now();
  await load.seconds(0.5);
  const totals = await load.stop();

  const events = (await eventsOf(stack, PROJECT)).filter(({ subjectId }) => subjectId === innerId(id));
  checkEvents(events, isWrong);
  const row = await world.row(rollout);
  const to = Date.parse(events.findLast(({ type }) => type.startsWith('ROLLOUT_') && !ends(type))!.at);
  await checkEvidence(world, row, answers, { since, to }, { isWrong, strikes });
  expect(answers.versionsSince(settled)).toEqual([isWrong ? STABLE : GOOD]);
  checkAnswers(
    answers,
    stack.apis.map(({ url }) => url),
    strikes,
  );
  return { deployment: id, over, totals };
}

const ends = (type: string): boolean => /_(SUCCEEDED|ROLLED_BACK)$/.test(type);

/** Tells of every stage as it is first seen; of BAKING as there is something to lose. */
async function watch(
  world: World,
  id: string,
  onStage: (stage: Stage) => Promise<void>,
): Promise<{ since: number; over: Rolling }> {
  const query = `subscription ($id: ID!) { rollout(id: $id) { ${rollingFields} } }`;
  const seen = new Set<Stage>();
  let since: number | undefined;
  for await (const { rollout } of world.stack.subscribe<{ rollout: Rolling }>(query, { id })) {
    const stage = stageOf(rollout.state);
    if (stage === 'BAKING' && since === undefined) {
      const row = await world.row(innerId(id));
      if (row.state === 'BAKING') since = row.since.getTime();
    }
    const isTimely = stage !== 'BAKING' || rollout.steps.some(({ samples }) => samples > 0);
    if (stage && isTimely && !seen.has(stage)) {
      seen.add(stage);
      await onStage(stage);
    }
    if (!hasEnded(rollout)) continue;
    if (since === undefined) throw new Error('It was not seen to bake.');
    return { since, over: rollout };
  }
  throw new Error('The subscription has ended.');
}

interface Told {
  readonly arms: readonly { readonly number: number; readonly weight: number }[];
  readonly rollout?: { readonly state: string };
}

/** Each step once, in order, and all of the traffic somewhere at any time. */
function checkEvents(events: readonly EventRow[], isWrong: boolean): void {
  const steps = events
    .filter(({ type }) => type.startsWith('ROLLOUT_'))
    .map(({ type, data }) => {
      const { arms, rollout } = data as unknown as Told;
      return [type, rollout?.state, Object.fromEntries(arms.map(({ number, weight }) => [number, weight]))];
    });
  const begun = (candidate: number) => [
    ['ROLLOUT_STARTED', 'PENDING', { [STABLE]: 1, [candidate]: 0 }],
    ['ROLLOUT_SHIFTED', 'SHIFTING', { [STABLE]: 1 - WEIGHT, [candidate]: WEIGHT }],
  ];
  expect(steps).toEqual(
    isWrong
      ? [
          ...begun(WRONG),
          ['ROLLOUT_ROLLING_BACK', 'ROLLING_BACK', { [STABLE]: 1, [WRONG]: 0 }],
          ['ROLLOUT_ROLLED_BACK', 'ROLLED_BACK', { [STABLE]: 1 }],
        ]
      : [
          ...begun(GOOD),
          ['ROLLOUT_SHIFTED', 'FINISHING', { [STABLE]: 0, [GOOD]: 1 }],
          ['ROLLOUT_SUCCEEDED', 'SUCCEEDED', { [GOOD]: 1 }],
        ],
  );
  for (const { type, data } of events) {
    const sum = (data as unknown as Told).arms.reduce((all, { weight }) => all + weight, 0);
    expect(sum, `weights at ${type}`).toBeCloseTo(1, 9);
  }
}

/** What was seen of the candidate is what its callers saw, not more, and not less but for seconds at the edges. */
async function checkEvidence(
  world: World,
  row: RolloutRow,
  answers: Answers,
  { since, to }: { readonly since: number; readonly to: number },
  { isWrong, strikes }: { readonly isWrong: boolean; readonly strikes: Strikes },
): Promise<void> {
  const evidence: Evidence = row.evidence;
  const { requests, errors } = evidence.candidate;
  const candidate = isWrong ? WRONG : GOOD;
  const struck = Object.values(strikes);
  const { ok, model, server, compared, disagreed } = await world.told(row, since);
  // A Redis that was emptied tells of what came after; any other one of all.
  if (struck.includes('redis')) {
    expect(requests).toBeGreaterThanOrEqual(ok + model + server);
    expect(evidence.compared).toBeGreaterThanOrEqual(compared);
  } else {
    expect([requests, errors]).toEqual([ok + model + server, model + server]);
    expect([evidence.compared, evidence.disagreed]).toEqual([compared, disagreed]);
  }
  if (!struck.includes('replica')) expect(errors).toBe(0);
  // Whole seconds are counted: from the first one of the bake, and none that still ran when it ended.
  const [first, last] = [Math.ceil(since / 1000) * 1000, Math.floor(to / 1000) * 1000];
  const answered = requests - errors;
  expect(answered).toBeLessThanOrEqual(answers.by(candidate, first, last + ON_ITS_WAY_MS));
  expect(answered).toBeGreaterThan(0);
  // What a killed api had counted in its last second, and what is counted while Redis is away, is lost.
  if (!struck.includes('redis') && !struck.includes('api'))
    expect(answered).toBeGreaterThanOrEqual(answers.by(candidate, first + ON_ITS_WAY_MS, last - WRITTEN_MS));
  const [kept] = await rowsOf(
    world.stack,
    sql<Record<'compared' | 'disagreed' | 'dropped', number>>`
      select sum(compared)::int as compared, sum(disagreed)::int as disagreed, sum(dropped)::int as dropped
      from agreement where rollout_id = ${row.id}`,
  );
  expect(kept).toEqual({
    compared: evidence.compared,
    disagreed: evidence.disagreed,
    dropped: evidence.dropped,
  });
}

/** Nobody's request fails but where an api was killed under it, or was away. */
function checkAnswers(answers: Answers, origins: readonly string[], strikes: Strikes): void {
  const [kept, killed] = origins as [string, string];
  expect(answers.failures(kept)).toEqual([]);
  const failures = answers.failures(killed);
  if (!Object.values(strikes).includes('api')) expect(failures).toEqual([]);
  else expect(failures.filter((outcome) => !/^E|socket hang up/.test(outcome))).toEqual([]);
}
