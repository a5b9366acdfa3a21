/** The prediction log beside 10,000 requests a second of 30 columns: CPU of the process that predicts, with and without. */
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { openPlatform } from '#src/app.ts';
import { loadConfig } from '#src/platform/config.ts';
import { newId } from '#src/platform/id.ts';
import { createLogger } from '#src/platform/logger.ts';
import type { Platform } from '#src/platform/platform.ts';
import type { LogEntry } from '#src/prediction/log.entry.ts';
import { openPredictionLog, type PredictionLog } from '#src/prediction/log.ts';
import type { NamedTensor } from '#src/tensor/tensor.ts';
import { findVersions } from '#src/version/version.queries.ts';
import { surroundings, type Stack } from './stack.ts';
import { median, spreadOf, type Figure } from './table.ts';

const PER_SECOND = 10_000;
const TICK_MS = 10;
/** A prediction over GraphQL costs an api about 70 µs: 5 % of that. */
const MOST_MICROS = 3.5;

/** Makes requests as the api does: new objects and tensors for each. */
async function maker({ db }: Platform): Promise<() => LogEntry> {
  const { rows } = await sql<{ id: string; versionId: string }>`
    select d.id, a.version_id from deployment d join arm a on a.deployment_id = d.id limit 1`.execute(db);
  const [placed] = rows;
  const [version] = placed ? await findVersions(db, [placed.versionId]) : [];
  if (!placed || !version?.signature) throw new Error('The demo is not deployed.');
  const { signature } = version;
  const [input] = signature.inputs;
  const outputs = signature.outputs.map(({ name, datatype, shape }): NamedTensor => {
    const ofRow = shape.map((dimension) => Math.abs(dimension));
    const count = ofRow.reduce((product, dimension) => product * dimension, 1);
    const data =
      datatype === 'INT64'
        ? new BigInt64Array(count)
        : datatype === 'BYTES'
          ? ['malignant']
          : new Float32Array(count);
    return { name, datatype, shape: ofRow, data };
  });
  const arm = { name: 'stable', weight: 1, version, signature };
  return () => ({
    deploymentId: placed.id,
    arm,
    rollout: null,
    requestId: newId(),
    rows: 1,
    latencyMs: 1,
    error: null,
    labels: null,
    inputs: [{ name: input!.name, datatype: 'FP32', shape: [1, 30], data: new Float32Array(30).fill(0.5) }],
    outputs,
  });
}

/** Microseconds of CPU a request. */
async function cost(
  log: Pick<PredictionLog, 'record'>,
  make: () => LogEntry,
  seconds: number,
): Promise<number> {
  const from = process.cpuUsage();
  const began = performance.now();
  let made = 0;
  for (const end = began + seconds * 1_000; performance.now() < end; await delay(TICK_MS)) {
    const due = ((performance.now() - began) / 1_000) * PER_SECOND;
    for (; made < due; made++) log.record(make());
  }
  const { user, system } = process.cpuUsage(from);
  return (user + system) / made;
}

export async function predictionLog(stack: Stack, rounds: number, seconds: number): Promise<Figure[]> {
  const { DATABASE_URL: _, REDIS_URL: __, ...env } = surroundings(stack.dataDir);
  const config = loadConfig({ ...env, DATABASE_URL: stack.databaseUrl, REDIS_URL: stack.redisUrl });
  const { platform, close } = await openPlatform(config, createLogger('bench', 'warn'));
  const log = openPredictionLog(platform, config);
  try {
    const make = await maker(platform);
    const nothing = { record: () => {} };
    for (const each of [nothing, log]) await cost(each, make, seconds);
    const before = await counted(platform);
    const added: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const without = await cost(nothing, make, seconds);
      added.push((await cost(log, make, seconds)) - without);
    }
    const written = (await counted(platform)) - before;
    const micros = median(added);
    return [
      {
        what: `Prediction log: CPU of the api a request, at ${PER_SECOND.toLocaleString('en')} requests of 30 columns a second`,
        measured: `+${micros.toFixed(1)} µs (${(written / rounds / seconds).toFixed(0)} requests a second logged)`,
        spread: spreadOf(added, 1),
        cpu: '',
        limit: 'the same requests, not logged',
        target: `≤ +${MOST_MICROS} µs`,
        met: micros <= MOST_MICROS,
      },
    ];
  } finally {
    await log.close();
    await close();
  }
}

async function counted({ db }: Platform): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*)::integer as count from prediction`.execute(
    db,
  );
  return rows[0]?.count ?? 0;
}
