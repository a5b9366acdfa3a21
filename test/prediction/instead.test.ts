/** No request fails by a candidate's doing, nor by a route of a moment ago: who answers then, and who is counted. */
import { describe, expect, test } from 'vitest';
import { local } from '#src/access/access.ts';
import { ReplicaLoad } from '#src/deployment/replica-load.ts';
import type { ArmRoute, DeploymentRoute, ReplicaRoute, RouteTable } from '#src/deployment/routing.ts';
import type { Inferred } from '#src/inference/replica-client.ts';
import {
  ReplicaFailed,
  ReplicaRejected,
  ReplicaTimeout,
  ReplicaUnreachable,
} from '#src/inference/replica-errors.ts';
import type { Recorded, Recorder } from '#src/metric/recorder.ts';
import type { Config } from '#src/platform/config.ts';
import type { LogEntry } from '#src/prediction/log.entry.ts';
import { Predictor, type PredictInput } from '#src/prediction/prediction.ts';
import type { Signature } from '#src/signature/signature.ts';
import type { NamedTensor } from '#src/tensor/tensor.ts';

const signature: Signature = {
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 1], nullable: false }],
  outputs: [{ name: 'y', datatype: 'FP32', shape: [-1], nullable: false }],
  columns: [{ name: 'x', input: 'x', index: 0, datatype: 'FP32', nullable: false }],
  classes: null,
  positiveClass: null,
  task: 'REGRESSION',
  labelOutput: null,
  probabilitiesOutput: null,
  valueOutput: 'y',
};

/** What a replica answers: a value, values of the wrong number, or a failure. */
type Doing = number | number[] | Error;

function replica(doing: Doing, load = new ReplicaLoad()): ReplicaRoute {
  const y = (values: number[]): NamedTensor => ({
    name: 'y',
    datatype: 'FP32',
    shape: [values.length],
    data: Float32Array.from(values),
  });
  const infer = async (): Promise<Inferred> => {
    if (doing instanceof Error) throw doing;
    return { outputs: [y([doing].flat())], queueMs: 0, computeMs: 0.1, batchSize: 1 };
  };
  return { id: String(doing), launch: 1, load, shunUntil: 0, client: { infer } } as unknown as ReplicaRoute;
}

const busy = (): ReplicaLoad => {
  const load = new ReplicaLoad();
  const now = performance.now();
  for (let at = now - 5_000; at < now; at += 100) {
    load.begin(at);
    load.answered(at + 100, at, 100);
  }
  for (let ahead = 0; ahead < 100; ahead++) load.begin(now);
  return load;
};

function arm(
  id: string,
  number: number,
  weight: number,
  replicas: readonly ReplicaRoute[],
  role: ArmRoute['role'] = 'STABLE',
): ArmRoute {
  const shares = weight > 0 ? [[0, 1_000_000]] : [];
  const version = { id: `version ${number}`, number, signature };
  return { id, name: id, role, weight, shares, version, signature, replicas } as unknown as ArmRoute;
}

interface Given {
  readonly candidate: readonly ReplicaRoute[];
  readonly stable: readonly ReplicaRoute[];
  readonly invalidOutputs?: 'FAIL' | 'RETURN';
  readonly isRunning?: boolean;
}

/** All places are the candidate's. */
function routeOf({ candidate, stable, invalidOutputs = 'FAIL', isRunning = true }: Given): DeploymentRoute {
  return {
    id: 'd',
    projectId: 'p',
    label: 'p/d',
    state: 'LIVE',
    stateReason: null,
    invalidOutputs,
    arms: [arm('candidate', 2, 1, candidate, 'CANDIDATE'), arm('stable', 1, 0, stable)],
    rollout: isRunning
      ? {
          id: 'r',
          step: 1,
          strategy: 'CANARY',
          stableArmId: 'stable',
          candidateArmId: 'candidate',
          mirrorShare: 0,
          tolerance: null,
          measures: true,
        }
      : null,
  };
}

interface Outcome {
  readonly by: string | undefined;
  readonly value: number | undefined;
  readonly warnings: readonly string[];
  readonly error: string | undefined;
  readonly counted: readonly (readonly [arm: string, outcome: string, invalid: boolean])[];
  readonly logged: readonly LogEntry[];
}

/** @param renewed what PostgreSQL has by now. */
async function ask(
  route: DeploymentRoute,
  input: Partial<PredictInput> = {},
  renewed: DeploymentRoute = route,
): Promise<Outcome> {
  const counted: Outcome['counted'][number][] = [];
  const logged: LogEntry[] = [];
  let inFlight = 0;
  const recorder = {
    enter: () => void inFlight++,
    leave: () => void inFlight--,
    record: ({ armId, outcome, invalid }: Recorded) => void counted.push([armId, outcome, invalid === true]),
    mirrored: () => undefined,
  } as unknown as Recorder;
  let known = route;
  const routes = {
    get: () => known,
    find: async () => known,
    renew: async () => (known = renewed),
  } as unknown as RouteTable;
  const config = { MAX_ROWS: 10, PREDICT_TIMEOUT_MS: 1_000, OVERLOAD_WAIT_MS: 50 } as Config;
  const predictor = new Predictor(routes, recorder, { record: (entry) => void logged.push(entry) }, config);
  const rest = { counted, logged };
  const nothing = { by: undefined, value: undefined, warnings: [], error: undefined };
  try {
    const {
      arm: by,
      tensors,
      warnings,
    } = await predictor.predict(local, {
      deployment: 'd',
      rows: [{ x: 1 }],
      ...input,
    });
    return { ...nothing, ...rest, by, value: Number(tensors[0]!.data[0]), warnings };
  } catch (error) {
    return { ...nothing, ...rest, error: (error as { code?: string }).code ?? String(error) };
  } finally {
    expect(inFlight).toBe(0);
  }
}

const gone = new ReplicaUnreachable('gone', false);

describe("the candidate's place is taken by the stable arm", () => {
  test.each<[string, readonly ReplicaRoute[], string, boolean, RegExp]>([
    ['NaN', [replica(NaN)], 'model', true, /"y" holds NaN/],
    ['a wrong shape', [replica([1, 2, 3])], 'model', true, /\[3\] for 1 rows/],
    ['a model that fails', [replica(new ReplicaFailed(500, 'broken'))], 'model', false, /failed: broken/],
    ['replicas that are gone', [replica(gone), replica(gone)], 'server', false, /None of its replicas/],
    ['no replica', [], 'server', false, /None of its replicas/],
    ['a server that refuses', [replica(new ReplicaRejected(401, 'who?'))], 'server', false, /None of/],
    [
      'one that has not answered in time',
      [replica(new ReplicaTimeout(9_000, true))],
      'server',
      false,
      /in time/,
    ],
    ['overload', [replica(2, busy())], 'shed', false, /too many requests/],
    ['overload elsewhere', [replica(new ReplicaRejected(429, 'busy'))], 'shed', false, /too many requests/],
  ])('for %s', async (_what, candidate, outcome, invalid, why) => {
    for (const invalidOutputs of ['FAIL', 'RETURN'] as const) {
      const route = routeOf({ candidate, stable: [replica(1)], invalidOutputs });
      const answer = await ask(route);
      expect(answer).toMatchObject({ by: 'stable', value: 1, error: undefined });
      expect(answer.counted).toEqual([
        ['candidate', outcome, invalid],
        ['stable', 'ok', false],
      ]);
      expect(answer.warnings).toEqual([expect.stringMatching(why)]);
      expect(answer.warnings[0]).toMatch(
        /^Arm candidate \(version 2\) could not answer, arm stable \(version 1\)/,
      );
      expect(answer.logged).toMatchObject([
        { arm: { id: 'stable' }, error: null, rollout: { id: 'r', step: 1 }, rows: 1 },
      ]);
      for (const { replicas } of route.arms) for (const one of replicas) one.shunUntil = 0;
    }
  });
});

describe('it is not', () => {
  const stable = [replica(1)];
  test.each<[string, Given, Partial<PredictInput>, string, string]>([
    [
      "for a caller's mistake",
      { candidate: [replica(2)], stable },
      { rows: [{ z: 1 }] },
      'VALIDATION',
      'client',
    ],
    [
      'where the time is over',
      { candidate: [replica(new ReplicaTimeout(400, true))], stable },
      { timeoutMs: 400 },
      'DEADLINE_EXCEEDED',
      'server',
    ],
    [
      'where the version is asked for',
      { candidate: [replica(NaN)], stable },
      { version: 2 },
      'MODEL_FAILED',
      'model',
    ],
    [
      'where the stable arm is not up',
      { candidate: [replica(NaN)], stable: [] },
      {},
      'MODEL_FAILED',
      'model',
    ],
    [
      'without a rollout',
      { candidate: [replica(NaN)], stable, isRunning: false },
      {},
      'MODEL_FAILED',
      'model',
    ],
    [
      'where the caller has gone',
      { candidate: [replica(Object.assign(new Error('left'), { name: 'AbortError' }))], stable },
      {},
      '',
      'client',
    ],
  ])('%s', async (_what, given, input, code, outcome) => {
    const { error, counted } = await ask(routeOf(given), input);
    expect(error).toContain(code);
    expect(counted.map((each) => each.slice(0, 2))).toEqual([['candidate', outcome]]);
  });

  test('where invalid outputs are returned and nobody else is up', async () => {
    const route = routeOf({ candidate: [replica(NaN)], stable: [], invalidOutputs: 'RETURN' });
    const { by, warnings, counted } = await ask(route);
    expect([by, warnings]).toEqual(['candidate', [expect.stringContaining('NaN')]]);
    expect(counted).toEqual([['candidate', 'model', true]]);
  });

  test('where both fail: the stable arm’s failure is told, and each is counted', async () => {
    const stableFails = [replica(new ReplicaFailed(500, 'both'))];
    const { error, counted, logged } = await ask(routeOf({ candidate: [replica(NaN)], stable: stableFails }));
    expect(error).toBe('MODEL_FAILED');
    expect(counted).toEqual([
      ['candidate', 'model', true],
      ['stable', 'model', false],
    ]);
    expect(logged).toMatchObject([{ arm: { id: 'stable' }, error: 'MODEL_FAILED', outputs: null }]);
  });
});

describe('a route of a moment ago', () => {
  const before = (): DeploymentRoute => routeOf({ candidate: [replica(gone)], stable: [], isRunning: false });
  test('the arm was retired: who serves now answers, and nobody is blamed', async () => {
    const now: DeploymentRoute = { ...before(), arms: [arm('next', 3, 1, [replica(3)])] };
    const { by, value, warnings, counted } = await ask(before(), {}, now);
    expect([by, value, warnings]).toEqual(['next', 3, []]);
    expect(counted).toEqual([['next', 'ok', false]]);
  });
  test('the arm has another replica by now', async () => {
    const now: DeploymentRoute = { ...before(), arms: [arm('candidate', 2, 1, [replica(4)])] };
    expect(await ask(before(), {}, now)).toMatchObject({
      by: 'candidate',
      value: 4,
      counted: [['candidate', 'ok', false]],
    });
  });
  test('another arm that is known answers, though it has no weight', async () => {
    const route = routeOf({ candidate: [replica(gone)], stable: [replica(1)], isRunning: false });
    expect(await ask(route)).toMatchObject({ by: 'stable', value: 1, warnings: [] });
  });
  test('there is nobody: it fails, once, and is counted once', async () => {
    const { error, counted, logged } = await ask(before());
    expect([error, counted]).toEqual(['NOT_READY', [['candidate', 'server', false]]]);
    expect(logged).toMatchObject([{ error: 'NOT_READY', rollout: null }]);
  });
  test('a shadow is nobody', async () => {
    const now: DeploymentRoute = { ...before(), arms: [arm('shadow', 3, 1, [replica(3)], 'SHADOW')] };
    expect((await ask(before(), {}, now)).error).toBe('NOT_READY');
  });
});
