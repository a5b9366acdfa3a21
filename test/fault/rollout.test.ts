/**
 * Rollouts whose processes are killed in the middle: each ends as it would have, no step is taken twice or left out, and
 * what was seen counts once. All pairs of faults and states are in test/fault/full/rollout.faults.ts.
 */
import { afterAll, beforeAll, test } from 'vitest';
import { survives, type Strikes } from './rollout-proof.ts';
import { World } from './rollout-world.ts';

let world: World;
beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world?.close());

test.for<[name: string, Strikes]>([
  ['worker', { SHIFTING: 'worker', BAKING: 'worker', FINISHING: 'worker' }],
  ['postgres', { COMING_UP: 'postgres', BAKING: 'postgres' }],
  ['redis', { BAKING: 'redis' }],
  ['api', { BAKING: 'api', FINISHING: 'api' }],
  ['replica', { BAKING: 'replica' }],
])('a good version comes to answer all, though it loses its %s', async ([name, strikes]) => {
  await survives(world, name, 'v3', strikes);
});

test('a wrong version takes itself back, though its worker is killed, and then PostgreSQL', async () => {
  await survives(world, 'wrong', 'v4-wrong', { BAKING: 'worker', ROLLING_BACK: 'postgres' });
});
