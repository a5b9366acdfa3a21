/** Who is asked first, and who is asked instead. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PLACES, reshare } from '#src/deployment/arm-shares.ts';
import {
  armServing,
  ownerOf,
  type ArmRoute,
  type DeploymentRoute,
  type ReplicaRoute,
} from '#src/deployment/routing.ts';
import { armFor, armInstead, armOf, isJudged } from '#src/prediction/choice.ts';

const replica = (shunUntil = 0): ReplicaRoute => ({ shunUntil }) as unknown as ReplicaRoute;

interface Given {
  readonly candidate: number;
  readonly ready: { readonly stable: number; readonly candidate: number };
  readonly role: 'CANDIDATE' | 'SHADOW';
  readonly isRunning: boolean;
}

function routeOf({ candidate, ready, role, isRunning }: Given): DeploymentRoute {
  const weights = role === 'SHADOW' ? [1, 0] : [1 - candidate, candidate];
  const shares = reshare(weights.map((weight) => ({ weight, shares: [] })));
  const arm = (index: number, id: 'stable' | 'candidate'): ArmRoute =>
    ({
      id,
      name: id,
      role: id === 'stable' ? 'STABLE' : role,
      weight: weights[index],
      shares: shares[index],
      version: { number: index + 1 },
      replicas: Array.from({ length: ready[id] }, () => replica()),
    }) as unknown as ArmRoute;
  const rollout = isRunning ? { stableArmId: 'stable', candidateArmId: 'candidate' } : null;
  return {
    label: 'p/d',
    arms: [arm(0, 'stable'), arm(1, 'candidate')],
    rollout,
  } as unknown as DeploymentRoute;
}

const given: fc.Arbitrary<Given> = fc.record({
  candidate: fc.constantFrom(0, 0.1, 0.5, 1),
  ready: fc.record({ stable: fc.nat(2), candidate: fc.nat(2) }),
  role: fc.constantFrom('CANDIDATE' as const, 'SHADOW' as const),
  isRunning: fc.boolean(),
});
const place = fc.nat(PLACES - 1);

describe('for all rollouts', () => {
  test("a candidate's places are its own, also where it is down; nobody else's are where others are up", () => {
    fc.assert(
      fc.property(given, place, (state, at) => {
        const route = routeOf(state);
        const owner = ownerOf(route.arms, at)!;
        const arm = armFor(route, at)!;
        if (isJudged(route, owner)) expect(arm).toBe(owner);
        else if (route.arms.some(({ role, replicas }) => role !== 'SHADOW' && replicas.length > 0))
          expect(arm.replicas.length).toBeGreaterThan(0);
      }),
    );
  });

  test('a shadow is never asked: first, instead, or by its version', () => {
    fc.assert(
      fc.property(given, place, (state, at) => {
        const route = routeOf({ ...state, role: 'SHADOW' });
        expect(armFor(route, at)?.id).toBe('stable');
        const stable = route.arms[0]!;
        expect(armInstead(route, at, { replicas: stable.replicas, armId: 'stable' })).toBeUndefined();
        expect(armServing(route.arms, 2)).toBeUndefined();
        expect(() => armOf(route, 2)).toThrow('Version 2 at p/d was not found.');
      }),
    );
  });

  test('who is asked instead has a replica that was not tried; of a rollout it is the stable arm', () => {
    fc.assert(
      fc.property(given, place, (state, at) => {
        const route = routeOf({ ...state, role: 'CANDIDATE' });
        const [stable, candidate] = route.arms as [ArmRoute, ArmRoute];
        const instead = armInstead(route, at, { replicas: candidate.replicas, armId: candidate.id });
        expect(instead).toBe(stable.replicas.length > 0 ? stable : undefined);
        // One more has come up since.
        const renewed = { ...candidate, replicas: [...candidate.replicas, replica()] };
        const others = { ...route, arms: [{ ...stable, replicas: [replica(Infinity)] }, renewed] };
        expect(armInstead(others, at, { replicas: candidate.replicas, armId: null })).toBe(renewed);
      }),
    );
  });
});
