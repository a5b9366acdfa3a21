/** Mirrored requests: after the answer, bounded, counted, and never anybody's failure. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { ArmRoute, DeploymentRoute, ReplicaRoute, RolloutRoute } from '#src/deployment/routing.ts';
import { ReplicaLoad } from '#src/deployment/replica-load.ts';
import type { Inferred } from '#src/inference/replica-client.ts';
import {
  ReplicaFailed,
  ReplicaRejected,
  ReplicaTimeout,
  ReplicaUnreachable,
} from '#src/inference/replica-errors.ts';
import type { Recorded } from '#src/metric/recorder.ts';
import { Mirror, type Answered } from '#src/prediction/mirror.ts';
import type { Signature } from '#src/signature/signature.ts';
import type { NamedTensor } from '#src/tensor/tensor.ts';

beforeAll(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
});
afterAll(() => {
  vi.useRealTimers();
});

/** Time passes, until nothing is left to be done. */
const settled = async (): Promise<void> => void (await vi.runAllTimersAsync());

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
const valued = (...values: number[]): NamedTensor => ({
  name: 'y',
  datatype: 'FP32',
  shape: [values.length],
  data: Float32Array.from(values),
});
const inferred = (...outputs: NamedTensor[]): Inferred => ({
  outputs,
  queueMs: 0,
  computeMs: 1,
  batchSize: 1,
});
const REQUEST = '0192f0c1-2345-7000-8000-0123456789ab';
const config = { MAX_ROWS: 100, OVERLOAD_WAIT_MS: 50, PREDICT_TIMEOUT_MS: 1_000 };

interface Setting {
  /** What the candidate's replica does; it is asked with the inputs. */
  readonly infer?: (inputs: readonly NamedTensor[]) => Promise<Inferred>;
  readonly replica?: Partial<ReplicaRoute> | null;
  readonly role?: ArmRoute['role'];
  readonly takes?: Signature;
  readonly rollout?: Partial<RolloutRoute>;
  readonly random?: () => number;
}

function setUp({ infer, replica = {}, role = 'CANDIDATE', takes = signature, rollout, random }: Setting) {
  const verdicts: [string, string | undefined][] = [];
  const records: Recorded[] = [];
  let inFlight = 0;
  const recorder = {
    enter: () => void inFlight++,
    leave: () => void inFlight--,
    mirrored: (_arm: unknown, verdict: string, example?: string) => void verdicts.push([verdict, example]),
    record: (request: Recorded) => void records.push(request),
  };
  const asked = vi.fn<(inputs: readonly NamedTensor[]) => Promise<Inferred>>(
    infer ?? (async () => inferred(valued(1))),
  );
  const candidate = {
    id: 'candidate',
    name: 'candidate',
    role,
    signature: takes,
    replicas:
      replica === null
        ? []
        : [{ load: new ReplicaLoad(), shunUntil: 0, client: { infer: asked }, ...replica }],
  } as unknown as ArmRoute;
  const stable = {
    id: 'stable',
    name: 'stable',
    role: 'STABLE',
    signature,
    replicas: [],
  } as unknown as ArmRoute;
  const running: RolloutRoute = {
    id: 'rollout',
    step: 0,
    strategy: 'CANARY',
    stableArmId: 'stable',
    candidateArmId: 'candidate',
    mirrorShare: 1,
    tolerance: 0.5,
    measures: true,
    ...rollout,
  };
  const route = { id: 'd', arms: [stable, candidate], rollout: running } as unknown as DeploymentRoute;
  const mirror = new Mirror(recorder, config, random ?? (() => 0));
  const offer = (change: Partial<Answered> = {}): void =>
    mirror.offer({
      route,
      rollout: running,
      arm: stable,
      asked: { rows: [{ x: 1 }] },
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: Float32Array.of(1) }],
      outputs: [valued(1)],
      rows: 1,
      requestId: REQUEST,
      ...change,
    });
  return { mirror, offer, asked, verdicts, records, inFlight: () => inFlight };
}

/** What comes of one request. */
async function verdictOf(setting: Setting): Promise<[string, string | undefined]> {
  const { offer, verdicts } = setUp(setting);
  offer();
  await settled();
  return verdicts[0]!;
}

const failing = (error: Error): Setting => ({
  infer: async () => {
    throw error;
  },
});

describe('when', () => {
  test('not before the answer is on its way, and a few together', async () => {
    const { offer, asked } = setUp({});
    offer();
    offer();
    await Promise.resolve();
    expect(asked).not.toHaveBeenCalled();
    await settled();
    expect(asked).toHaveBeenCalledTimes(2);
  });
  test('forty-eight do not wait for more', async () => {
    const { offer, asked } = setUp({});
    for (let request = 0; request < 48; request++) offer();
    expect(asked).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toHaveBeenCalledTimes(48);
    await settled();
  });
});

describe('what comes of it', () => {
  test.each<[string, Setting, string, number | null]>([
    ['the same answer', {}, 'agreed', null],
    ['another one within the tolerance', { infer: async () => inferred(valued(1.4)) }, 'agreed', null],
    ['another one beyond it', { infer: async () => inferred(valued(1.6)) }, 'disagreed', 0],
    ['NaN', { infer: async () => inferred(valued(NaN)) }, 'disagreed', 0],
    ['too many rows', { infer: async () => inferred(valued(1, 1)) }, 'disagreed', 0],
    ['no such output', { infer: async () => inferred() }, 'disagreed', 0],
    ['the model failed', failing(new ReplicaFailed(500, 'broken')), 'disagreed', 0],
    ['it does not take what the stable arm took', failing(new ReplicaRejected(400, 'no')), 'disagreed', 0],
    ['it sheds', failing(new ReplicaRejected(429, 'busy')), 'dropped', null],
    ['nobody is there', failing(new ReplicaUnreachable('gone', false)), 'dropped', null],
    ['it takes too long', failing(new ReplicaTimeout(1_000, true)), 'dropped', null],
    ['a fault of ours', failing(new TypeError('oops')), 'dropped', null],
    ['it has no replica', { replica: null }, 'dropped', null],
    ['its replica is passed over', { replica: { shunUntil: Infinity } }, 'dropped', null],
  ])('%s', async (_what, setting, verdict, row) => {
    expect(await verdictOf(setting)).toEqual([verdict, row === null ? undefined : `${REQUEST}:${row}`]);
  });

  test('a replica that is overloaded is left alone', async () => {
    const load = new ReplicaLoad();
    const now = performance.now();
    for (let at = now - 5_000; at < now; at += 100) {
      load.begin(at);
      load.answered(at + 100, at, 100);
    }
    for (let ahead = 0; ahead < 100; ahead++) load.begin(now);
    expect(await verdictOf({ replica: { load } })).toEqual(['dropped', undefined]);
  });

  test('a slow candidate with a caller of its own is left alone, a shadow is not', async () => {
    const busy = (): ReplicaLoad => {
      const load = new ReplicaLoad();
      for (let answer = 0; answer < 16; answer++) {
        load.begin(answer * 30);
        load.answered(answer * 30 + 30, answer * 30, 30);
      }
      load.begin(performance.now());
      return load;
    };
    expect(await verdictOf({ replica: { load: busy() } })).toEqual(['dropped', undefined]);
    expect(await verdictOf({ replica: { load: busy() }, role: 'SHADOW' })).toEqual(['agreed', undefined]);
  });

  test('one row at random is compared, and is the example where it differs', async () => {
    const infer = async () => inferred(valued(1, 2, 9));
    const { offer, verdicts } = setUp({ infer, random: () => 0.9 });
    const inputs = [{ name: 'x', datatype: 'FP32' as const, shape: [3, 1], data: Float32Array.of(1, 2, 3) }];
    offer({ inputs, outputs: [valued(1, 2, 3)], rows: 3 });
    await settled();
    expect(verdicts).toEqual([['disagreed', `${REQUEST}:2`]]);
    const other = setUp({ infer, random: () => 0.5 });
    other.offer({ inputs, outputs: [valued(1, 2, 3)], rows: 3 });
    await settled();
    expect(other.verdicts).toEqual([['agreed', undefined]]);
  });
});

describe('which requests', () => {
  test.each<[string, Setting, Partial<Answered>]>([
    ['another arm answered', {}, { arm: { id: 'other' } as ArmRoute }],
    ['the rollout does not look', { rollout: { measures: false } }, {}],
    ['nothing is to be mirrored', { rollout: { mirrorShare: 0 } }, {}],
    ['chance is against it', { rollout: { mirrorShare: 0.1 }, random: () => 0.1 }, {}],
    ['there is no candidate yet', { rollout: { candidateArmId: null } }, {}],
  ])('none where %s', async (_what, setting, change) => {
    const { offer, asked, verdicts } = setUp(setting);
    offer(change);
    await settled();
    expect([asked.mock.calls.length, verdicts]).toEqual([0, []]);
  });

  test('sixty-four at a time; the others are dropped, and the places come free', async () => {
    const waiting: (() => void)[] = [];
    const { offer, asked, verdicts } = setUp({
      infer: () => new Promise((resolve) => waiting.push(() => resolve(inferred(valued(1))))),
    });
    for (let request = 0; request < 68; request++) offer();
    await settled();
    expect([asked.mock.calls.length, verdicts.length]).toEqual([64, 4]);
    waiting.splice(0, 3).forEach((end) => end());
    await settled();
    for (let request = 0; request < 5; request++) offer();
    await settled();
    expect(asked).toHaveBeenCalledTimes(67);
    waiting.forEach((end) => end());
    await settled();
    expect(verdicts.filter(([verdict]) => verdict === 'dropped')).toHaveLength(6);
  });
});

describe('another signature', () => {
  const wider: Signature = {
    ...signature,
    inputs: [{ ...signature.inputs[0]!, nullable: true }],
    outputs: [...signature.outputs, { name: 'more', datatype: 'FP32', shape: [-1], nullable: false }],
  };
  test('what was asked is packed anew', async () => {
    const { offer, asked, verdicts } = setUp({
      takes: wider,
      infer: async () => inferred(valued(1), { ...valued(7), name: 'more' }),
    });
    offer({ asked: { rows: [{ x: 3 }] } });
    await settled();
    expect([...asked.mock.calls[0]![0][0]!.data]).toEqual([3]);
    expect(verdicts).toEqual([['agreed', undefined]]);
  });
  test('what it cannot take is dropped', async () => {
    const { inputs } = signature;
    const other: Signature = { ...signature, inputs: [...inputs, { ...inputs[0]!, name: 'z' }] };
    expect(await verdictOf({ takes: other })).toEqual(['dropped', undefined]);
  });
});

describe('counting', () => {
  test('a shadow has no requests but these; a candidate has its own', async () => {
    for (const role of ['SHADOW', 'CANDIDATE'] as const) {
      const { offer, records, inFlight } = setUp({
        role,
        infer: async () => inferred(valued(1.6)),
      });
      offer();
      await settled();
      expect(records.map(({ armId, outcome, rows, answer }) => ({ armId, outcome, rows, answer }))).toEqual(
        role === 'SHADOW'
          ? [{ armId: 'candidate', outcome: 'ok', rows: 1, answer: expect.closeTo(1.6) }]
          : [],
      );
      expect(inFlight()).toBe(0);
    }
  });
  test.each<[string, Setting, Partial<Recorded>]>([
    ['invalid outputs', { infer: async () => inferred(valued(NaN)) }, { outcome: 'model', invalid: true }],
    ['a model that fails', failing(new ReplicaFailed(500, 'broken')), { outcome: 'model', invalid: false }],
    ['nobody there', failing(new ReplicaUnreachable('gone', false)), { outcome: 'server', invalid: false }],
  ])('of a shadow: %s', async (_what, setting, expected) => {
    const { offer, records, inFlight } = setUp({ ...setting, role: 'SHADOW' });
    offer();
    await settled();
    expect(records).toMatchObject([expected]);
    expect(inFlight()).toBe(0);
  });
});

test('closing gives up what is under way', async () => {
  const replies = vi.fn();
  const client = {
    infer: (_inputs: unknown, _outputs: unknown, { signal }: { signal: AbortSignal }) =>
      new Promise((_resolve, reject) => {
        replies();
        signal.addEventListener('abort', () => reject(signal.reason));
      }),
  };
  const slow = setUp({ replica: { client: client as never } });
  slow.offer();
  await settled();
  slow.mirror.close();
  await settled();
  expect(slow.verdicts).toEqual([['dropped', undefined]]);
});
