/**
 * `npm run bench [-- --short] [-- --only NAME]`: the product's figures, each beside its limit, as one Markdown table.
 *
 * It starts a whole Modelarium of its own (PostgreSQL, Redis, api, worker, the demo with its replica) on a temporary
 * folder and ends it again. The load and the subscribers are processes of their own. What is measured and its limit
 * alternate (A B A B …), and a ratio is that of two neighbours: on a shared machine both are disturbed alike.
 * - upload: a 2 GB file by tus and by multipart, first of all, while the api's heap is fresh, against `sha256sum` and `cp`;
 *   peak of its resident memory.
 * - download: a 2 GB file by 8 clients at once, against bare node:http that streams it.
 * - inspection: a torch zip of 500 MB, against reading it.
 * - collection: 100,000 stored files of which 1 % are free.
 * - list: requests answered in a closed loop of 16, against bare node:http that answers the same bytes. Equal queries
 *   that arrive together share an execution (schema/http/fast-path.ts); the long run also shows it with every request
 *   for another page, where none is shared.
 * - inference: the Open Inference Protocol, with a token and counted: one row against the same proxy, or with all
 *   servers on one core against bare node:http there; batches and the way's latency against the raw session in the same run.
 * - predict: the same, against a bare proxy (proxy.ts) with a second process behind a Unix socket.
 * - log: the prediction log in this process, against the same requests that are not logged.
 * - serving: many callers with batching on against off; three times what a model can answer, by the clock; forty deployments.
 * - rollout: predictions with a canary against without; a bad version, from its first answer to its last; a hundred at once.
 * - registry: new versions on stored bytes, versions by reference, search, against bare pg with the same statements or the
 *   best ones by hand; and the page number 1,000 of a model's versions against the first.
 * - live: every frame that every subscriber got, its time since `closedAt`; the api's user and system time.
 * - ledger: every event that every follower got, its time since the change; the api's user and system time.
 * - start: wall time from `npm start` to the first prediction over HTTP, against `initdb` and PostgreSQL alone.
 * CPU is user and system time of the named server processes (/proc/<pid>/stat) over the requests answered.
 */
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { collection } from './collection.ts';
import type { Duration } from './compare.ts';
import { download } from './download.ts';
import { inference } from './inference.ts';
import { inspection } from './inspection.ts';
import { list } from './list.ts';
import { ledger } from './ledger.ts';
import { live } from './live.ts';
import { predict } from './predict.ts';
import { predictionLog } from './prediction-log.ts';
import { registry } from './registry.ts';
import { rollout } from './rollout.ts';
import { serving } from './serving.ts';
import { startStack, type Stack } from './stack.ts';
import { start } from './start.ts';
import { tableOf, type Figure } from './table.ts';
import { uploadFile } from './upload.ts';

interface Extent {
  readonly load: Duration;
  readonly listApart: boolean;
  readonly liveSeconds: number;
  readonly ledgerSeconds: number;
  readonly uploads: number;
  readonly starts: number;
  readonly takenBack: number;
}
const full: Extent = {
  load: { rounds: 9, seconds: 3, warmUpSeconds: 3 },
  listApart: true,
  liveSeconds: 30,
  ledgerSeconds: 30,
  uploads: 5,
  starts: 5,
  takenBack: 10,
};
const short: Extent = {
  load: { rounds: 5, seconds: 1, warmUpSeconds: 2 },
  listApart: false,
  liveSeconds: 10,
  ledgerSeconds: 10,
  uploads: 1,
  starts: 1,
  takenBack: 3,
};

/** On the running stack, in this order. */
const onStack: Record<string, (stack: Stack, extent: Extent) => Promise<Figure[]>> = {
  upload: (stack, { uploads }) => uploadFile(stack, uploads),
  download: (stack, { uploads }) => download(stack, uploads),
  inspection: (stack, { uploads }) => inspection(stack, uploads),
  list: (stack, { load, listApart }) => list(stack, load, listApart),
  predict: (stack, { load }) => predict(stack, load),
  log: (stack, { load }) => predictionLog(stack, load.rounds, load.seconds),
  inference: (stack, { load }) => inference(stack, load),
  serving: (stack, { load }) => serving(stack, load),
  rollout: (stack, { takenBack }) => rollout(stack, takenBack),
  registry: (stack, { load }) => registry(stack, load),
  live: (stack, { liveSeconds }) => live(stack, liveSeconds),
  ledger: (stack, { ledgerSeconds }) => ledger(stack, ledgerSeconds),
  collection: (stack, { starts }) => collection(stack, Math.min(3, starts)),
};
const names = [...Object.keys(onStack), 'start'];

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function measure(wanted: readonly string[], extent: Extent): Promise<Figure[]> {
  const figures: Figure[] = [];
  const ofStack = Object.entries(onStack).filter(([name]) => wanted.includes(name));
  if (ofStack.length > 0) {
    say('Starting a Modelarium to measure.');
    const stack = await startStack();
    // Ctrl-C reaches our own children too; the stack's processes stand apart and are ended here.
    const interrupted = (): void => void stack.stop().finally(() => process.exit(130));
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
    try {
      for (const [name, take] of ofStack) {
        say(`Measuring ${name}.`);
        figures.push(...(await take(stack, extent)));
      }
    } finally {
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
      await stack.stop();
    }
  }
  if (wanted.includes('start')) {
    say('Measuring start.');
    figures.push(...(await start(extent.starts)));
  }
  return figures;
}

const { values } = parseArgs({
  options: { short: { type: 'boolean', default: false }, only: { type: 'string', multiple: true } },
});
const unknown = values.only?.filter((name) => !names.includes(name)) ?? [];
if (unknown.length > 0) {
  say(`--only: expected ${names.join(', ')}, found ${unknown.join(', ')}.`);
  process.exit(1);
}
const figures = await measure(values.only ?? names, values.short ? short : full);
const machine = `Node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model.trim() ?? 'CPU'}`;
process.stdout.write(`${machine}${values.short ? '; short' : ''}\n\n${tableOf(figures)}\n`);
