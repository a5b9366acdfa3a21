/** What is done so that an arm gets the replicas that are wanted of it. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planArm, type Present } from '#src/deployment/reconcile.plan.ts';
import { replicaStates, type ReplicaState } from '#src/platform/database.types.ts';

const replica = (ordinal: number, state: ReplicaState, spec = 1): Present => ({
  id: `replica ${ordinal}`,
  ordinal,
  spec,
  state,
});

test('from nothing: all of them', () => {
  expect(planArm({ replicas: 3, spec: 1 }, [])).toEqual({ add: [0, 1, 2], drain: [] });
});

test('one that ends leaves its place; one that drains still has it', () => {
  const present = [replica(0, 'DRAINING'), replica(2, 'READY')];
  expect(planArm({ replicas: 3, spec: 1 }, present)).toEqual({ add: [1, 3], drain: [] });
});

test('fewer: those that do not answer go first, then the highest places', () => {
  const present = [replica(0, 'BACKING_OFF'), replica(1, 'READY'), replica(2, 'READY'), replica(3, 'READY')];
  expect(planArm({ replicas: 2, spec: 1 }, present)).toEqual({ add: [], drain: ['replica 0', 'replica 3'] });
});

describe('of another spec', () => {
  test('one more is started before one goes', () => {
    const old = [replica(0, 'READY'), replica(1, 'READY')];
    expect(planArm({ replicas: 2, spec: 2 }, old)).toEqual({ add: [2], drain: [] });
    expect(planArm({ replicas: 2, spec: 2 }, [...old, replica(2, 'LOADING', 2)])).toEqual({
      add: [],
      drain: [],
    });
    expect(planArm({ replicas: 2, spec: 2 }, [...old, replica(2, 'READY', 2)])).toEqual({
      add: [3],
      drain: ['replica 0'],
    });
  });
  test('new ones that do not come up never cost an old one that answers', () => {
    const present = [replica(0, 'READY'), replica(1, 'BACKING_OFF', 2)];
    expect(planArm({ replicas: 1, spec: 2 }, present)).toEqual({ add: [], drain: [] });
  });
  test('old ones that do not answer go at once', () => {
    const present = [replica(0, 'READY'), replica(1, 'BACKING_OFF')];
    expect(planArm({ replicas: 2, spec: 2 }, present)).toEqual({ add: [2, 3], drain: ['replica 1'] });
  });
});

const present = fc
  .uniqueArray(fc.nat(9), { maxLength: 8 })
  .chain((ordinals) =>
    fc.tuple(
      ...ordinals.map((ordinal) =>
        fc
          .record({ spec: fc.constantFrom(1, 2, 0), state: fc.constantFrom(...replicaStates) })
          .map(({ spec, state }) => replica(ordinal, state, spec)),
      ),
    ),
  );
const wanted = fc.record({ replicas: fc.integer({ min: 1, max: 6 }), spec: fc.constant(2) });

const ready = (replicas: readonly Present[]): number =>
  replicas.filter(({ state }) => state === 'READY').length;
const active = (replicas: readonly Present[]): Present[] =>
  replicas.filter(({ state }) => state !== 'DRAINING' && state !== 'EXITED');

describe('for all replicas', () => {
  test('never fewer that answer than wanted, unless there were fewer; never more than one beside those wanted', () => {
    fc.assert(
      fc.property(wanted, present, (want, replicas) => {
        const { add, drain } = planArm(want, replicas);
        const left = replicas.filter(({ id }) => !drain.includes(id));
        expect(ready(left)).toBeGreaterThanOrEqual(Math.min(want.replicas, ready(replicas)));
        expect(add.length === 0 || active(left).length + add.length <= want.replicas + 1).toBe(true);
        const taken = replicas.filter(({ state }) => state !== 'EXITED').map(({ ordinal }) => ordinal);
        expect(new Set([...taken, ...add]).size).toBe(taken.length + add.length);
      }),
      { numRuns: 1_000 },
    );
  });

  test('done again and again it ends at what is wanted, and then leaves it alone', () => {
    fc.assert(
      fc.property(wanted, present, (want, replicas) => {
        let now: Present[] = [...replicas];
        let next = 0;
        for (let round = 0; round < 40; round++) {
          const { add, drain } = planArm(want, now);
          if (add.length + drain.length === 0 && now.every(({ state }) => state === 'READY')) break;
          // Those told to end do, new ones become ready.
          now = now
            .filter(({ id, state }) => !drain.includes(id) && state !== 'DRAINING' && state !== 'EXITED')
            .map((one): Present => ({ ...one, state: 'READY' }));
          for (const ordinal of add)
            now.push({ id: `new ${next++}`, ordinal, spec: want.spec, state: 'LOADING' });
        }
        expect(now).toHaveLength(want.replicas);
        expect(now.every(({ spec, state }) => spec === want.spec && state === 'READY')).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
