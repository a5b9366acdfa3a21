/** A rollout's candidate under real traffic: whatever it does, callers are answered, and it is counted. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { rowsOf } from '#test/fault/stack-facts.ts';
import { breastCancerColumns, breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { errorOf, readAnswer, sendInference } from '#test/helpers/open-inference.ts';
import { predict, resultOf, type Prediction } from '#test/helpers/predict.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { fixturePredictions, type FixtureTensor } from '#test/replica/process.harness.ts';
import { loggedBy } from './logged.ts';
import { counted, pidsOf, rollOut, type RolledOut } from './rollouts.ts';
import type { Row } from './served.ts';

let stack: Stack;
const versions: Record<string, string> = {};

beforeAll(async () => {
  stack = await startStack();
  for (const file of ['v2', 'v3', 'v4-wrong', 'v6-nan']) {
    const path = `breast-cancer/${file}.onnx`;
    const { id } = await stack.createModelVersion('cancer', [fixtureFile(path)], breastCancerSignature);
    versions[file] = id;
  }
});

/** All rows of the fixture's requests. */
const patients: Row[] = fixturePredictions('breast-cancer', 'v2').requests.flatMap(({ request }) => {
  const { shape, data } = request.inputs[0] as FixtureTensor;
  const width = breastCancerColumns.length;
  return Array.from({ length: shape[0]! }, (_none, row) =>
    Object.fromEntries(breastCancerColumns.map((name, at) => [name, data[row * width + at]])),
  );
});
/** For these v6-nan answers NaN. */
const large = patients.filter((row) => Number(row['mean radius']) > 17.05);

const ask = (deployment: string, row: Row, more: Row = {}): Promise<Prediction> =>
  predict(stack, { deployment, rows: [row], ...more });

/** So many predictions, some at a time. */
async function askMany(deployment: string, rows: readonly Row[], count: number): Promise<Prediction[]> {
  const answers: Prediction[] = [];
  while (answers.length < count) {
    const some = Array.from({ length: Math.min(8, count - answers.length) }, (_none, at) =>
      ask(deployment, rows[(answers.length + at) % rows.length]!),
    );
    answers.push(...(await Promise.all(some)));
  }
  return answers;
}

/** One at a time, so that none is left out of the mirror for want of room. */
async function askInTurn(deployment: string, rows: readonly Row[]): Promise<Prediction[]> {
  const answers: Prediction[] = [];
  for (const row of rows) answers.push(await ask(deployment, row));
  return answers;
}

describe('a candidate that answers NaN', () => {
  const COUNT = 80;
  let nan: RolledOut;
  let answers: Prediction[];
  let replaced: Prediction[];
  beforeAll(async () => {
    nan = await rollOut(stack, {
      name: 'nan',
      stable: versions['v2']!,
      candidate: versions['v6-nan']!,
      weight: 0.5,
      step: 1,
    });
    answers = await askMany(nan.id, large, COUNT);
    replaced = answers.filter(({ warnings }) => warnings.length > 0);
  });

  test('fails nobody: the stable arm answers, and a warning says why', () => {
    expect(replaced.length).toBeGreaterThan(0);
    expect(replaced.length).toBeLessThan(COUNT);
    expect(new Set(answers.map(({ arm }) => arm))).toEqual(new Set(['stable']));
    for (const { warnings, version, rows } of replaced) {
      expect(warnings).toEqual([
        expect.stringMatching(/^Arm candidate \(version 4\) could not answer, arm stable .*NaN/),
      ]);
      expect(version.id).toBe(versions['v2']);
      expect(rows[0]!.probability).not.toBeNull();
    }
  });

  test('each is counted against it, and answered by the other', async () => {
    const { deploymentId, arms } = nan;
    const candidate = await counted(
      stack,
      deploymentId,
      arms.candidate,
      ({ model }) => model >= replaced.length,
    );
    expect(candidate).toMatchObject({
      ok: 0,
      model: replaced.length,
      invalid: replaced.length,
      compared: 0,
    });
    const stable = await counted(stack, deploymentId, arms.stable, ({ ok }) => ok >= COUNT);
    expect(stable).toMatchObject({ ok: COUNT, requests: COUNT, invalid: 0, compared: 0 });
    const labels = [...stable.labels];
    expect(labels.reduce((sum, [, count]) => sum + count, 0)).toBe(COUNT);
    expect(labels.map(([label]) => label)).toContain('malignant');
  });

  test('the log has the stable arm, with the rollout and its step', async () => {
    const [{ rows, requestId }] = replaced as [Prediction];
    const fields =
      'arm error version { number } why { step weightAtTheTime deployedAt actorWhoDeployed { name } }';
    const { why, ...logged } = await loggedBy<Row & { why: Row }>(stack, rows[0]!.predictionId, fields);
    expect(logged).toEqual({ arm: 'stable', error: null, version: { number: 1 } });
    expect(why).toMatchObject({ step: 1, weightAtTheTime: 0.5, actorWhoDeployed: { name: 'local' } });
    const [row] = await rowsOf<Row>(
      stack,
      sql`select rollout_id, rollout_step from prediction where request_id = ${requestId}`,
    );
    expect(row).toEqual({ rolloutId: nan.rolloutId, rolloutStep: 1 });
  });

  test('what it answers well is its own, and so says the log: also who brought it', async () => {
    const small = patients.filter((row) => !large.includes(row));
    const own = (await askMany(nan.id, small, 40)).find(({ arm }) => arm === 'candidate')!;
    expect(own).toMatchObject({ version: { id: versions['v6-nan'] }, warnings: [] });
    const fields = 'why { step deployedAt actorWhoDeployed { name kind } }';
    const { why } = await loggedBy<{ why: Row }>(stack, own.rows[0]!.predictionId, fields);
    expect(why).toEqual({
      step: 1,
      deployedAt: '2026-11-01T10:00:00.000Z',
      actorWhoDeployed: { name: 'olga', kind: 'TOKEN' },
    });
  });

  test('whoever asks for its version gets what it says', async () => {
    const body = {
      inputs: [
        {
          name: 'input',
          datatype: 'FP32',
          shape: [1, 30],
          data: breastCancerColumns.map((name) => large[0]![name]),
        },
      ],
    };
    const asked = await sendInference(stack, `/v2/models/${PROJECT}/nan/versions/4/infer`, { body });
    expect(errorOf(asked).error).toMatch(/holds NaN/);
    const either = await sendInference(stack, `/v2/models/${PROJECT}/nan/infer`, { body });
    expect(readAnswer(either).modelVersion).toBe('1');
  });
});

test('a candidate whose only replica is killed fails nobody', async () => {
  const { id, deploymentId, arms } = await rollOut(stack, {
    name: 'killed',
    stable: versions['v2']!,
    candidate: versions['v3']!,
    weight: 0.5,
  });
  await askMany(id, patients, 16);
  const [pid] = await pidsOf(stack, arms.candidate);
  const answers = askMany(id, patients, 400);
  process.kill(pid!, 'SIGKILL');
  const replaced = (await answers).filter(({ warnings }) => warnings.length > 0);
  expect(replaced.length).toBeGreaterThan(0);
  for (const { arm, warnings } of replaced) {
    expect(arm).toBe('stable');
    expect(warnings).toEqual([expect.stringMatching(/None of its replicas is ready/)]);
  }
  const candidate = await counted(
    stack,
    deploymentId,
    arms.candidate,
    ({ server }) => server >= replaced.length,
  );
  expect(candidate).toMatchObject({ server: replaced.length, model: 0, invalid: 0 });
});

describe('requests that are mirrored', () => {
  const rows = patients.slice(0, 40);
  async function mirrored(name: string, candidate: string, role?: 'SHADOW') {
    const made = await rollOut(stack, {
      name,
      stable: versions['v2']!,
      candidate: versions[candidate]!,
      weight: 0,
      mirrorShare: 1,
      ...(role ? { role } : {}),
    });
    const answers = await askInTurn(made.id, rows);
    expect(new Set(answers.map(({ arm }) => arm))).toEqual(new Set(['stable']));
    const window = await counted(
      stack,
      made.deploymentId,
      made.arms.candidate,
      ({ compared, dropped }) => compared + dropped >= rows.length,
    );
    expect(window.compared).toBeGreaterThan(rows.length / 2);
    return { made, answers, window };
  }

  test('a shadow gets nothing else, counts them as its requests, and never answers', async () => {
    const { made, window } = await mirrored('shadow', 'v4-wrong', 'SHADOW');
    expect(window).toMatchObject({ ok: window.compared, disagreed: window.compared, invalid: 0 });
    expect(window.quantiles().p50).toBeGreaterThan(0);
    expect([...window.labels.values()].reduce((sum, count) => sum + count, 0)).toBe(window.ok);
    const path = `/v2/models/${PROJECT}/shadow`;
    const pinned = await sendInference(stack, `${path}/versions/3/infer`, { body: { inputs: [] } });
    expect(errorOf(pinned)).toEqual({ status: 404, error: expect.stringMatching(/Deployed there: 1\./) });
    expect(JSON.parse((await sendInference(stack, path)).body.toString())).toMatchObject({ versions: ['1'] });
    // Not even where nobody else is up, and nobody comes.
    await stack.worker.kill('SIGTERM');
    for (const pid of await pidsOf(stack, made.arms.stable)) process.kill(pid, 'SIGKILL');
    const refused = await resultOf(stack, { deployment: made.id, rows: [rows[0]] });
    expect(refused.__typename).toBe('NotReadyError');
    await stack.worker.start();
  });

  test('all answers of v4-wrong differ, and examples tell at which predictions', async () => {
    const { answers, window } = await mirrored('wrong', 'v4-wrong');
    expect(window).toMatchObject({ disagreed: window.compared, requests: 0 });
    const ids = answers.map(({ rows: [row] }) => row!.predictionId);
    expect(window.examples.length).toBeGreaterThan(0);
    for (const example of window.examples) expect(ids).toContain(example);
  });

  test('few answers of v3 do', async () => {
    const { window } = await mirrored('few', 'v3');
    expect(window.disagreed).toBeLessThan(window.compared / 4);
    expect([window.requests, window.labels.size]).toEqual([0, 0]);
  });
});
