/** The machine against everything that can happen to a rollout, in any order. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  hasEnded,
  look,
  MISSING_MS,
  obey,
  SETTLE_MS,
  verbsOf,
  type Machine,
  type Move,
  type Situation,
  type Verb,
} from '#src/rollout/rollout.state.ts';

const strategies = ['ALL_AT_ONCE', 'CANARY', 'LINEAR', 'SHADOW'] as const;
const WANTED = 2;

function begun(strategy: Machine['strategy'], weights: readonly number[], bakeSeconds = 10): Machine {
  return {
    strategy,
    state: 'PENDING',
    steps: weights.map((weight) => ({ weight, bakeSeconds, state: 'WAITING', samples: 0 })),
    step: null,
    since: 0,
    pausedAt: null,
    deadline: 600_000,
    missingSince: null,
    ending: null,
    finishedAt: null,
    reason: null,
  };
}

const fine: Situation = {
  now: 0,
  isDeployed: true,
  ready: WANTED,
  wanted: WANTED,
  isWarming: false,
  hopeless: null,
  isStableReady: true,
  verdict: { says: 'PASSING', reason: null },
};

const weightsOf: Record<Machine['strategy'], readonly number[]> = {
  ALL_AT_ONCE: [1],
  CANARY: [0.1],
  LINEAR: [0.3, 0.6],
  SHADOW: [0],
};

/** What the outside of a machine would be: who has which share, and who is there. */
class World {
  machine: Machine;
  weight = 0;
  candidateIsThere = true;
  othersAreThere = true;
  now = 0;
  readonly moves: Move[] = [];

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /** Does a move as the transaction would, and checks what must always hold. */
  do(move: Move | null | undefined, situation: Situation): void {
    if (!move) return;
    const before = this.machine;
    this.moves.push(move);
    this.machine = move.machine;
    expect(hasEnded(before.state), 'nothing moves after the end').toBe(false);
    if (move.weight !== null) {
      if (move.weight > 0) expect(situation.ready, 'no share without all replicas').toBe(situation.wanted);
      if (move.weight > 0) expect(this.candidateIsThere && this.othersAreThere).toBe(true);
      this.weight = move.weight;
    }
    if (move.retire === 'CANDIDATE') {
      expect(this.weight, 'only what has no share is taken out of service').toBe(0);
      this.candidateIsThere = false;
    }
    if (move.retire === 'OTHERS') {
      expect(this.weight, 'only what has no share is taken out of service').toBe(1);
      expect(situation.ready, 'the replacement is whole').toBeGreaterThanOrEqual(situation.wanted);
      this.othersAreThere = false;
    }
    const { state, step, steps, ending, finishedAt, reason } = this.machine;
    expect(finishedAt !== null).toBe(hasEnded(state));
    if (state === 'SUCCEEDED' && before.strategy !== 'SHADOW') expect(this.othersAreThere).toBe(false);
    if (state === 'FAILED') expect(steps.every((each) => each.state === 'SKIPPED')).toBe(true);
    if (state === 'ROLLING_BACK')
      expect([this.weight, ending === null, reason === null]).toEqual([0, false, false]);
    if (step !== null && before.step !== null)
      expect(step - before.step, 'no step is left out or done twice').toBeLessThanOrEqual(1);
    expect(
      steps.filter((each) => each.state === 'SHIFTING' || each.state === 'BAKING').length,
    ).toBeLessThanOrEqual(1);
  }
}

/** Looks each second until it ends, and tells how. */
function run(world: World, situation: Partial<Situation> = {}, seconds = 700): Machine {
  for (let second = 0; second < seconds && !hasEnded(world.machine.state); second++) {
    world.now += 1000;
    const now = { ...fine, ...situation, now: world.now };
    world.do(look(world.machine, now), now);
  }
  return world.machine;
}

test.for(strategies)('a %s that nothing is against succeeds, step by step', (strategy) => {
  const world = new World(begun(strategy, weightsOf[strategy]));
  const { state, steps } = run(world);
  expect(state).toBe('SUCCEEDED');
  expect(steps.map((step) => step.state)).toEqual(steps.map(() => 'PASSED'));
  const shares = world.moves.flatMap(({ weight }) => weight ?? []);
  expect(shares).toEqual(strategy === 'SHADOW' ? [0] : [...weightsOf[strategy], 1]);
  expect(world.candidateIsThere).toBe(strategy !== 'SHADOW');
});

test('a gate that fails takes it back at once, also while it is paused', () => {
  for (const isPaused of [false, true]) {
    const world = new World(begun('CANARY', [0.1]));
    run(world, { verdict: { says: 'WAITING', reason: null } }, 8);
    expect(world.machine.state).toBe('BAKING');
    if (isPaused) world.do(obey(world.machine, 'pause', { ...fine, now: world.now }, 'alice'), fine);
    const { state, reason, steps } = run(world, { verdict: { says: 'FAILING', reason: 'Too slow.' } });
    expect([state, reason, steps[0]?.state]).toEqual(['ROLLED_BACK', 'Too slow.', 'FAILED']);
    expect([world.candidateIsThere, world.othersAreThere]).toEqual([false, true]);
  }
});

test('the candidate stays until nobody can still send to it', () => {
  const world = new World(begun('CANARY', [0.1]));
  run(world, { verdict: { says: 'WAITING', reason: null } }, 8);
  world.do(obey(world.machine, 'abort', { ...fine, now: world.now }, 'alice'), fine);
  expect(world.machine.state).toBe('ROLLING_BACK');
  const at = world.now;
  run(world);
  expect([world.machine.state, world.machine.reason]).toEqual(['ABORTED', 'Aborted by alice.']);
  expect(world.machine.finishedAt! - at).toBeGreaterThanOrEqual(SETTLE_MS);
});

test('one that does not come up FAILS, and no share of the traffic ever moved', () => {
  for (const wrong of [{ hopeless: 'The model could not be loaded.' }, { ready: 1 }]) {
    const world = new World(begun('CANARY', [0.1]));
    expect(run(world, wrong).state).toBe('FAILED');
    expect(world.moves.every(({ weight }) => weight === null)).toBe(true);
  }
});

test('a replica that is back in time is forgiven, one that stays away is not', () => {
  const waiting = { verdict: { says: 'WAITING', reason: null } } as const;
  const world = new World(begun('CANARY', [0.1]));
  run(world, waiting, 8);
  run(world, { ...waiting, ready: 0 }, MISSING_MS / 1000 - 1);
  run(world, waiting, 1);
  expect([world.machine.state, world.machine.missingSince]).toEqual(['BAKING', null]);
  expect(run(world, { ...waiting, ready: 0 }).state).toBe('ROLLED_BACK');
});

test('what a whole host has lost is no candidate’s fault', () => {
  const world = new World(begun('CANARY', [0.1]));
  const waiting = { verdict: { says: 'WAITING', reason: null } } as const;
  run(world, waiting, 8);
  run(world, { ...waiting, ready: 0, isStableReady: false }, 60);
  expect(world.machine.state).toBe('BAKING');
});

test('a pause takes no time off the bake, nor off the timeout', () => {
  const world = new World(begun('CANARY', [0.1]));
  const waiting = { verdict: { says: 'WAITING', reason: null } } as const;
  run(world, waiting, 8);
  world.do(obey(world.machine, 'pause', { ...fine, now: world.now }, 'alice'), fine);
  run(world, {}, 1000);
  expect(world.machine.state).toBe('BAKING');
  world.do(obey(world.machine, 'resume', { ...fine, now: world.now }, 'alice'), fine);
  const before = world.now;
  const { state } = run(world);
  expect(state).toBe('SUCCEEDED');
  expect(world.now - before).toBeGreaterThan(5_000);
});

test('it is taken back when its time is over, with what it waited for', () => {
  const world = new World(begun('CANARY', [0.1]));
  const { state, reason } = run(world, { verdict: { says: 'WAITING', reason: '3 of 100 requests.' } });
  expect(state).toBe('ROLLED_BACK');
  expect(reason).toContain('3 of 100 requests.');
});

test('promoting needs all replicas, and skips what is left', () => {
  const world = new World(begun('LINEAR', [0.3, 0.6]));
  run(world, { verdict: { says: 'WAITING', reason: null } }, 8);
  expect(obey(world.machine, 'promote', { ...fine, ready: 1, now: world.now }, 'alice')).toBeUndefined();
  world.do(obey(world.machine, 'promote', { ...fine, now: world.now }, 'alice'), fine);
  const { state, steps, reason } = run(world, { verdict: { says: 'WAITING', reason: null } });
  expect([state, reason]).toEqual(['SUCCEEDED', 'Promoted by alice.']);
  expect(steps.map((step) => step.state)).toEqual(['SKIPPED', 'SKIPPED']);
});

test('nothing can be done to one that has ended, and little to one that goes back', () => {
  const machine = begun('CANARY', [0.1]);
  expect(verbsOf({ ...machine, state: 'ROLLED_BACK' })).toEqual([]);
  expect(verbsOf({ ...machine, state: 'ROLLING_BACK' })).toEqual([]);
  expect(verbsOf({ ...machine, state: 'FINISHING' })).toEqual(['abort', 'rollBack']);
  expect(verbsOf({ ...machine, state: 'WARMING', pausedAt: 1 })).toEqual(['resume', 'abort', 'rollBack']);
  expect(verbsOf({ ...machine, state: 'BAKING' })).toEqual(['pause', 'promote', 'abort', 'rollBack']);
});

const event = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('look' as const),
      ms: fc.integer({ min: 0, max: 20_000 }),
      ready: fc.integer({ min: 0, max: WANTED }),
      isWarming: fc.boolean(),
      isStableReady: fc.boolean(),
      hopeless: fc.option(fc.constant('It crashes.'), { freq: 20 }),
      isDeployed: fc.integer({ min: 0, max: 40 }).map((number) => number > 0),
      says: fc.constantFrom('PASSING' as const, 'WAITING' as const, 'WAITING' as const, 'FAILING' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('verb' as const),
      ms: fc.integer({ min: 0, max: 20_000 }),
      ready: fc.integer({ min: 0, max: WANTED }),
      verb: fc.constantFrom<Verb>('pause', 'resume', 'promote', 'abort', 'rollBack'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), ms: fc.constant(0) }) },
);

test('whatever happens, nothing that must hold is broken, and it ends', () => {
  fc.assert(
    fc.property(fc.constantFrom(...strategies), fc.array(event, { maxLength: 60 }), (strategy, events) => {
      const world = new World(begun(strategy, weightsOf[strategy]));
      for (const happening of events) {
        world.now += happening.ms;
        if (hasEnded(world.machine.state)) break;
        // Another process has nothing but what is written down.
        if (happening.kind === 'restart')
          world.machine = JSON.parse(JSON.stringify(world.machine)) as Machine;
        else if (happening.kind === 'verb') {
          const situation = { ...fine, ready: happening.ready, now: world.now };
          const isAllowed = verbsOf(world.machine).includes(happening.verb);
          const move = obey(world.machine, happening.verb, situation, 'alice');
          if (!isAllowed) expect(move).toBeUndefined();
          world.do(move, situation);
        } else {
          const { says, ...rest } = happening;
          const reason = says === 'FAILING' ? 'A gate.' : null;
          const situation = { ...fine, ...rest, now: world.now, verdict: { says, reason } };
          world.do(look(world.machine, situation), situation);
        }
      }
      // However it stands: once nobody pauses it any more it ends, even if no gate ever says anything.
      if (world.machine.pausedAt !== null)
        world.do(obey(world.machine, 'resume', { ...fine, now: world.now }, 'bob'), fine);
      const { state } = run(world, { verdict: { says: 'WAITING', reason: null } }, 3_000);
      expect(hasEnded(state)).toBe(true);
    }),
    { numRuns: 3_000 },
  );
});
