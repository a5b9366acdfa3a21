/** From `npm start` on an empty folder to the first prediction, against PostgreSQL alone on an empty folder. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '#src/local/port.ts';
import { startPostgres } from '#src/local/postgres.ts';
import { endRecorded, endReplicas } from '#src/local/process-record.ts';
import { postText } from './graphql.ts';
import { predictRequest } from './predict.ts';
import { root, surroundings, temporaryFolder } from './stack.ts';
import { median, spreadOf, type Figure } from './table.ts';

const TARGET_SECONDS = 10;
const LIMIT_MS = 120_000;

async function withFolder<T>(use: (dataDir: string) => Promise<T>): Promise<T> {
  const dataDir = temporaryFolder();
  try {
    return await use(dataDir);
  } finally {
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Asks again and again until a prediction comes. */
async function firstPrediction(url: string): Promise<void> {
  const limit = performance.now() + LIMIT_MS;
  while (performance.now() < limit) {
    const answer = await postText(url, predictRequest()).catch(() => '');
    if (answer.includes('"label":')) return;
    await delay(20);
  }
  throw new Error('npm start: no prediction within two minutes.');
}

/** Seconds to the first prediction. */
const npmStart = (): Promise<number> =>
  withFolder(async (dataDir) => {
    const port = await freePort();
    const env = { ...surroundings(dataDir), PORT: String(port) };
    const from = performance.now();
    const npm = spawn('npm', ['start'], { cwd: root, env, stdio: 'ignore', detached: true });
    const ended = once(npm, 'exit');
    try {
      await firstPrediction(`http://127.0.0.1:${port}`);
      return (performance.now() - from) / 1000;
    } finally {
      // As Ctrl-C does: to everybody in the foreground.
      process.kill(-(npm.pid as number), 'SIGINT');
      await ended;
      // Nothing, unless it went wrong.
      await endRecorded(dataDir);
      await endReplicas(dataDir);
    }
  });

/** Seconds until PostgreSQL answers: `initdb` and the start. */
const postgresAlone = (): Promise<number> =>
  withFolder(async (dataDir) => {
    mkdirSync(`${dataDir}/run`);
    const from = performance.now();
    const postgres = await startPostgres({ dataDir, env: surroundings(dataDir) });
    const seconds = (performance.now() - from) / 1000;
    await postgres.stop();
    return seconds;
  });

export async function start(rounds: number): Promise<Figure[]> {
  const [ours, limit]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    ours.push(await npmStart());
    limit.push(await postgresAlone());
  }
  return [
    {
      what: 'From `npm start`, empty data folder, to the first prediction',
      measured: `${median(ours).toFixed(1)} s`,
      spread: spreadOf(ours, 1),
      cpu: '',
      limit: `PostgreSQL alone, empty folder: ${median(limit).toFixed(1)} s`,
      target: `≤ ${TARGET_SECONDS} s`,
      met: median(ours) <= TARGET_SECONDS,
    },
  ];
}
