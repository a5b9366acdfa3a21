/** Where a prediction goes: never to an arm or a replica that is not ready, and in the shares that are wanted. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PLACES, placeOf, reshare } from '#src/deployment/arm-shares.ts';
import { ReplicaLoad } from '#src/deployment/replica-load.ts';
import { armAt, drawReplica, type ArmRoute, type ReplicaRoute } from '#src/deployment/routing.ts';

const replica = (id: string, shunUntil = 0): ReplicaRoute =>
  ({ id, launch: 1, load: new ReplicaLoad(), shunUntil }) as unknown as ReplicaRoute;

/** Arms with so many ready replicas each. */
function armsOf(parts: readonly { readonly weight: number; readonly ready: number }[]): ArmRoute[] {
  const shares = reshare(parts.map(({ weight }) => ({ weight, shares: [] })));
  return parts.map(
    ({ weight, ready }, index) =>
      ({
        id: `arm ${index}`,
        weight,
        shares: shares[index],
        replicas: Array.from({ length: ready }, (_none, at) => replica(`${index}:${at}`)),
      }) as unknown as ArmRoute,
  );
}

const parts = fc
  .array(fc.record({ part: fc.integer({ min: 0, max: 20 }), ready: fc.nat(3) }), {
    minLength: 1,
    maxLength: 5,
  })
  .filter((arms) => arms.some(({ part }) => part > 0))
  .map((arms) => {
    const sum = arms.reduce((total, { part }) => total + part, 0);
    return arms.map(({ part, ready }) => ({ weight: part / sum, ready }));
  });

describe('for all weights and replicas', () => {
  test('an arm with a ready replica answers, one without a weight only where nobody else is up, a SHADOW never', () => {
    fc.assert(
      fc.property(parts, fc.nat(PLACES - 1), fc.option(fc.nat(4)), (given, place, shadow) => {
        const arms = armsOf(given).map((arm, index): ArmRoute => ({
          ...arm,
          role: index === shadow ? 'SHADOW' : 'CANDIDATE',
        }));
        const arm = armAt(arms, place);
        const up = arms.filter(({ role, replicas }) => role !== 'SHADOW' && replicas.length > 0);
        expect(arm !== undefined).toBe(up.length > 0);
        if (!arm) return;
        expect(up).toContain(arm);
        expect(arm.weight > 0).toBe(up.some(({ weight }) => weight > 0));
        expect(armAt(arms, place)).toBe(arm);
      }),
      { numRuns: 1_000 },
    );
  });

  test('shares are those of the arms that are ready', () => {
    const asked = 4_000;
    fc.assert(
      fc.property(parts, (given) => {
        const arms = armsOf(given);
        const total = arms.reduce((sum, { weight, replicas }) => sum + (replicas.length > 0 ? weight : 0), 0);
        const counts = new Map<string, number>();
        for (let index = 0; index < asked; index++) {
          // Evenly spread places instead of random ones: nothing is left to chance.
          const id = armAt(arms, Math.floor(((index + 0.5) / asked) * PLACES))?.id;
          if (id !== undefined) counts.set(id, (counts.get(id) ?? 0) + 1);
        }
        if (arms.some(({ weight, replicas }) => weight > 0 && replicas.length === 0)) return;
        for (const { id, weight } of arms)
          expect(Math.abs((counts.get(id) ?? 0) / asked - weight / total)).toBeLessThan(0.005);
      }),
      { numRuns: 100 },
    );
  });

  test('a key is answered by the same arm, however often it asks', () => {
    fc.assert(
      fc.property(parts, fc.string(), (given, key) => {
        const arms = armsOf(given);
        const first = armAt(arms, placeOf('deployment', key));
        for (let again = 0; again < 5; again++) expect(armAt(arms, placeOf('deployment', key))).toBe(first);
      }),
    );
  });
});

describe('of the replicas of an arm', () => {
  test('none that could not be reached lately, nor the one that just failed', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 5 }), fc.nat(5), (shunned, failed) => {
        const replicas = shunned.map((is, index) => replica(`${index}`, is ? 100 : 0));
        const drawn = drawReplica(replicas, 50, replicas[failed] ?? null);
        const usable = replicas.filter((one, index) => one.shunUntil <= 50 && index !== failed);
        if (usable.length === 0) expect(drawn).toBeUndefined();
        else expect(usable).toContain(drawn);
      }),
    );
  });
  test('the less busy one of two', () => {
    const [busy, idle] = [replica('busy'), replica('idle')];
    busy.load.begin(0);
    for (let turn = 0; turn < 50; turn++) expect(drawReplica([busy, idle], 0, null)).toBe(idle);
  });
});

describe('load', () => {
  /** A replica that takes 50 ms a request, one after the other; `ahead` are in it. */
  const busyWith = (ahead: number): ReplicaLoad => {
    const load = new ReplicaLoad();
    for (let at = 0; at < 1_000; at += 50) {
      load.begin(at);
      load.answered(at + 50, at, 50);
    }
    for (let count = 0; count < ahead; count++) load.begin(1_000);
    return load;
  };
  test('what one more would wait is what lies ahead of it', () => {
    expect(busyWith(0).expectedMs()).toBeCloseTo(50);
    expect(busyWith(3).expectedMs()).toBeCloseTo(200);
  });
  test('a burst may be too long for a moment; what stays too long is refused, until it is short again', () => {
    const load = busyWith(4);
    expect([1_000, 1_200, 1_250].map((now) => load.overloadMs(now, 100))).toEqual([0, 0, 0]);
    expect(load.overloadMs(1_251, 100)).toBe(100);
    load.end();
    expect(load.overloadMs(1_260, 100)).toBe(0);
    load.begin(1_260);
    // Still: it was not short yet.
    expect(load.overloadMs(1_260, 100)).toBe(100);
    for (let left = 4; left > 1; left--) load.end();
    expect(load.overloadMs(1_300, 100)).toBe(0);
    for (let more = 1; more < 5; more++) load.begin(1_300);
    expect(load.overloadMs(1_300, 100)).toBe(0);
  });
  test('what is far too long is refused at once', () => {
    expect(busyWith(15).overloadMs(1_000, 100)).toBe(0);
    expect(busyWith(16).overloadMs(1_000, 100)).toBe(700);
  });
  test('many small requests at once are no overload', () => {
    const load = new ReplicaLoad();
    for (let at = 0; at < 100; at++) {
      load.begin(at);
      load.answered(at + 0.1, at, 0.05);
    }
    for (let count = 0; count < 64; count++) load.begin(100);
    expect(load.overloadMs(1_000, 50)).toBe(0);
  });
  test('silence counts as a stall only while there is work', () => {
    const load = new ReplicaLoad();
    expect(load.isStalled(10_000)).toBe(false);
    load.begin(10_000);
    expect([load.isStalled(10_900), load.isStalled(11_100)]).toEqual([false, true]);
    load.answered(11_200, 10_000, 100);
    load.begin(20_000);
    // A run takes 100 ms here, so twenty of them.
    expect([load.isStalled(21_500), load.isStalled(22_100)]).toEqual([false, true]);
  });
});
