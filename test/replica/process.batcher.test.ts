import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Abandoned, Batcher } from '#src/replica/process/batcher.ts';
import type { Run } from '#src/replica/process/runner.ts';
import type { NamedTensor } from '#src/tensor/tensor.ts';

const never = () => false;
const input = (values: readonly number[], width = 1): NamedTensor[] => [
  { name: 'x', datatype: 'FP32', shape: [values.length / width, width], data: Float32Array.from(values) },
];
const numbers = (outputs: readonly NamedTensor[]) => outputs.map(({ data }) => [...data]);

/** Doubles its input; fails on a row of 13. Keeps what it was given. */
function doubling() {
  const runs: NamedTensor[][] = [];
  const run: Run = async (inputs, outputs) => {
    await Promise.resolve();
    runs.push([...inputs]);
    const [x] = inputs as [NamedTensor];
    if ([...x.data].includes(13)) throw new Error('thirteen');
    const data = (x.data as Float32Array).map((value) => value * 2);
    return outputs.map((name) => ({ name, datatype: 'FP32', shape: x.shape, data }));
  };
  return { runs, run };
}

function batcherOf(run: Run): Batcher {
  const batcher = new Batcher(run, { maxRows: 256, maxDelayMs: 0 });
  batcher.sharedRows = 256;
  return batcher;
}

/** Sums over the rows: its output does not have one for each. */
const summing: Run = (inputs) => {
  const sum = (inputs[0]!.data as Float32Array).reduce((total, value) => total + value, 0);
  return Promise.resolve([{ name: 'sum', datatype: 'FP32', shape: [1], data: Float32Array.of(sum) }]);
};

test('one turn is one run, and every caller gets its own rows', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.integer({ min: 20, max: 99 }), { maxLength: 40 }), { maxLength: 12 }),
      async (calls) => {
        const { run, runs } = doubling();
        const batcher = batcherOf(run);
        const answers = await Promise.all(calls.map((values) => batcher.submit(input(values), ['y'], never)));
        answers.forEach(({ outputs }, index) =>
          expect(numbers(outputs)).toEqual([calls[index]!.map((value) => value * 2)]),
        );
        const rows = calls.flat().length;
        expect(runs.length).toBeLessThanOrEqual(Math.ceil(rows / (256 - 40)) + 1);
      },
    ),
    { numRuns: 50 },
  );
});

test('a run that fails is tried again one by one: only the guilty fails', async () => {
  const { run, runs } = doubling();
  const batcher = batcherOf(run);
  const calls = [[1], [13], [2, 3]].map((values) => batcher.submit(input(values), ['y'], never));
  const [one, two, three] = await Promise.allSettled(calls);
  expect(two).toMatchObject({ status: 'rejected', reason: { message: 'thirteen' } });
  expect(one).toMatchObject({ status: 'fulfilled', value: { batchSize: 1 } });
  expect(three).toMatchObject({ status: 'fulfilled', value: { batchSize: 2 } });
  expect(runs).toHaveLength(4);
});

test('what differs in outputs or inner shape, and what is large, runs apart', async () => {
  const { run, runs } = doubling();
  const batcher = batcherOf(run);
  const large = Array.from({ length: 250 }, () => 1);
  await Promise.all([
    batcher.submit(input([1]), ['y'], never),
    batcher.submit(input([1]), ['z'], never),
    batcher.submit(input([1, 2], 2), ['y'], never),
    batcher.submit(input(large), ['y'], never),
    batcher.submit(input(large), ['y'], never),
    batcher.submit(input([5]), ['y'], never),
  ]);
  // The last one joins the first large one, which the oldest began.
  expect(runs.map(([x]) => x!.shape)).toEqual([
    [252, 1],
    [1, 1],
    [1, 2],
    [250, 1],
  ]);
});

test('rows that influence one another run apart', async () => {
  const { run, runs } = doubling();
  const batcher = new Batcher(run, { maxRows: 256, maxDelayMs: 0 });
  await Promise.all([1, 2].map((value) => batcher.submit(input([value]), ['y'], never)));
  expect(runs).toHaveLength(2);
});

test('an output without a row for each row is asked for one by one', async () => {
  const batcher = batcherOf(summing);
  const answers = await Promise.all(
    [
      [1, 2],
      [3, 4],
    ].map((values) => batcher.submit(input(values), ['sum'], never)),
  );
  expect(answers.map(({ outputs }) => numbers(outputs))).toEqual([[[3]], [[7]]]);
});

test('what nobody waits for any more is not run', async () => {
  const { run, runs } = doubling();
  const batcher = batcherOf(run);
  let isGone = false;
  const first = batcher.submit(input([1]), ['y'], never);
  const left = batcher.submit(input([2]), ['z'], () => isGone);
  const leaving = (async () => {
    await first;
    isGone = true;
  })();
  await expect(left).rejects.toBeInstanceOf(Abandoned);
  await leaving;
  expect(runs).toHaveLength(1);
});

test('a shared run has no more rows than the deployment allows, whatever is worth it', async () => {
  const { run, runs } = doubling();
  const batcher = new Batcher(run, { maxRows: 2, maxDelayMs: 0 });
  batcher.sharedRows = 256;
  expect(batcher.sharedRows).toBe(2);
  await Promise.all([1, 2, 3].map((value) => batcher.submit(input([value]), ['y'], never)));
  expect(runs.map(([x]) => x!.shape[0])).toEqual([2, 1]);
});

describe('where a run may wait for company', () => {
  /** Far longer than a test may take: whoever waits for it to pass fails. */
  const FOR_EVER_MS = 3_600_000;

  /** A batcher whose first run is told of when it begins, and lasts until it is let go. */
  function held(maxDelayMs: number) {
    const { run, runs } = doubling();
    const begun = Promise.withResolvers<void>();
    const letGo = Promise.withResolvers<void>();
    const batcher = new Batcher(
      async (inputs, outputs) => {
        begun.resolve();
        await letGo.promise;
        return run(inputs, outputs);
      },
      { maxRows: 256, maxDelayMs },
    );
    batcher.sharedRows = 256;
    return { batcher, runs, begun: begun.promise, letGo: letGo.resolve };
  }
  const submit = (batcher: Batcher, value: number) => batcher.submit(input([value]), ['y'], never);

  test('a lone request never does', async () => {
    const { run } = doubling();
    const batcher = new Batcher(run, { maxRows: 256, maxDelayMs: FOR_EVER_MS });
    batcher.sharedRows = 256;
    for (const value of [1, 2, 3])
      expect(numbers((await submit(batcher, value)).outputs)).toEqual([[value * 2]]);
  });

  test('it begins as soon as as many are there as shared the last one', async () => {
    const { batcher, runs, begun, letGo } = held(FOR_EVER_MS);
    const first = [1, 2, 3].map((value) => submit(batcher, value));
    await begun;
    const next = [submit(batcher, 4)];
    letGo();
    await Promise.all(first);
    next.push(submit(batcher, 5), submit(batcher, 6));
    await Promise.all(next);
    expect(runs.map(([x]) => x!.shape[0])).toEqual([3, 3]);
  });

  test('it begins when its time is over, whoever is missing', async () => {
    const { batcher, runs, begun, letGo } = held(5);
    const first = [1, 2, 3].map((value) => submit(batcher, value));
    await begun;
    const late = submit(batcher, 4);
    letGo();
    await Promise.all([...first, late]);
    expect(runs.map(([x]) => x!.shape[0])).toEqual([3, 1]);
  });
});
