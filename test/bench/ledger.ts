/** 1,000 followers of a project's ledger, while 200 changes a second are committed. */
import { setTimeout as delay } from 'node:timers/promises';
import { changePublisher } from '#src/events.ts';
import { appendTo } from '#src/ledger/ledger.ts';
import { openDatabase } from '#src/platform/database.ts';
import { newId } from '#src/platform/id.ts';
import { openRedis } from '#src/platform/redis.ts';
import { startChild } from './child.ts';
import type { FollowersOrder, FollowersReport } from './followers.process.ts';
import { post } from './graphql.ts';
import { cpuSeconds, familyCpuSeconds } from './process-usage.ts';
import type { Stack } from './stack.ts';
import type { Figure } from './table.ts';

const FOLLOWERS = 1_000;
const CHANGES_PER_SECOND = 200;
const WARM_UP_SECONDS = 3;

interface Writer {
  /** One after the other at an even pace, whatever each takes. The last event's number. */
  write(seconds: number): Promise<number>;
  close(): Promise<void>;
}

const alice = { name: 'alice', kind: 'USER' } as const;

/** Commits as the api does: a transaction with its event, then the hint. */
function openWriter(stack: Stack, projectId: string): Writer {
  const database = openDatabase({ url: stack.databaseUrl, pool: 4 });
  const redis = openRedis({ url: stack.redisUrl, mode: 'fast' });
  const { announce } = changePublisher(redis, 'modelarium');
  const [alias, modelId] = [newId(), newId()];
  let last = 0;
  async function change(to: number): Promise<void> {
    const data = { model: 'fraud', name: 'champion', from: to - 1, to, version: newId(), protected: true };
    const subject = { type: 'Alias', id: alias } as const;
    const { sequence } = await database.db
      .transaction()
      .execute((tx) => appendTo(tx, projectId, alice)({ type: 'ALIAS_MOVED', subject, modelId, data }));
    announce('ledger', projectId);
    last = Math.max(last, Number(sequence));
  }
  return {
    write: async (seconds) => {
      const changes: Promise<void>[] = [];
      const from = performance.now();
      for (let made = 0; made < seconds * CHANGES_PER_SECOND; made++) {
        const due = from + (made * 1000) / CHANGES_PER_SECOND;
        if (due > performance.now()) await delay(due - performance.now());
        changes.push(change(made + 1));
      }
      await Promise.all(changes);
      return last;
    },
    close: async () => {
      redis.disconnect();
      await database.close();
    },
  };
}

async function createProject(stack: Stack): Promise<string> {
  const name = `ledger-${Date.now()}`;
  const { createProject: created } = await post<{ createProject: { id: string } }>(stack.url, {
    query: `mutation { createProject(input: {name: "${name}"}) { ... on Project { id } ... on Error { code message } } }`,
  });
  return created.id;
}

interface Followed extends FollowersReport {
  readonly expected: number;
  /** Shares of a core, by process. */
  readonly cores: Readonly<Record<string, number>>;
}

async function follow(stack: Stack, seconds: number): Promise<Followed> {
  const project = await createProject(stack);
  const innerId = Buffer.from(project, 'base64').toString().split(':')[1] ?? '';
  const child = startChild('followers.process.ts');
  const ask = async (order: FollowersOrder): Promise<FollowersReport> => {
    const report = await child.ask<FollowersReport>(order);
    if (report.failures.length > 0) throw new Error(report.failures.slice(0, 3).join('; '));
    return report;
  };
  const writer = openWriter(stack, innerId);
  const used = () => ({
    api: cpuSeconds([stack.pid('api')]),
    PostgreSQL: familyCpuSeconds(stack.pid('postgres')),
    followers: cpuSeconds([child.pid]),
    writer: cpuSeconds([process.pid]),
  });
  try {
    await ask({ type: 'begin', url: stack.url, count: FOLLOWERS, project, after: 0 });
    const warm = await writer.write(WARM_UP_SECONDS);
    await ask({ type: 'reach', sequence: warm });
    const [before, from] = [used(), performance.now()];
    const last = await writer.write(seconds);
    const after = used();
    const elapsed = (performance.now() - from) / 1000;
    const report = await ask({ type: 'reach', sequence: last });
    const share = (name: keyof typeof before) => [name, (after[name] - before[name]) / elapsed] as const;
    const names = Object.keys(before) as (keyof typeof before)[];
    return {
      ...report,
      expected: (last - warm) * FOLLOWERS,
      cores: Object.fromEntries(names.map(share)),
    };
  } finally {
    await writer.close();
    await child.end();
  }
}

/** The milliseconds within which a share of all came. */
function quantile(latencies: readonly number[], share: number): number {
  const rank = share * latencies.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  return latencies.findIndex((count) => (seen += count) > rank);
}

export async function ledger(stack: Stack, seconds: number): Promise<Figure[]> {
  const { events, expected, outOfOrder, latencies, cores, bytes } = await follow(stack, seconds);
  const who = `${FOLLOWERS.toLocaleString('en')} followers of a ledger, ${CHANGES_PER_SECOND} changes a second`;
  const delivered = (100 * events) / expected;
  const [p50, p99] = [quantile(latencies, 0.5), quantile(latencies, 0.99)];
  const most = latencies.findLastIndex((count) => count > 0);
  const one = { spread: `${seconds} s`, cpu: '', limit: '' };
  const api = cores['api'] ?? Number.NaN;
  const others = Object.entries(cores)
    .filter(([name]) => name !== 'api')
    .map(([name, share]) => `${name} ${(100 * share).toFixed(0)} %`);
  return [
    {
      what: `${who}: events delivered, each once and in order`,
      measured: `${delivered.toFixed(delivered === 100 ? 0 : 3)} % (${events.toLocaleString('en')}; ${outOfOrder} out of order)`,
      ...one,
      target: '100 %',
      met: events === expected && outOfOrder === 0,
    },
    {
      what: `${who}: p99 from the change to the client`,
      measured: `${p99} ms (p50 ${p50} ms, most ${most} ms)`,
      ...one,
      target: '≤ 200 ms',
      met: p99 <= 200,
    },
    {
      what: `${who}: CPU of the api`,
      measured: `${(100 * api).toFixed(1)} % of a core (${((1e6 * api * seconds) / events).toFixed(2)} µs and ${(bytes / events).toFixed(0)} bytes an event)`,
      ...one,
      cpu: others.join(', '),
      target: '',
      met: undefined,
    },
  ];
}
