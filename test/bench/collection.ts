/** Freeing what nobody holds any more: 100,000 stored files of which 1 % are free, while others upload. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { openPlatform } from '#src/app.ts';
import { loadConfig } from '#src/platform/config.ts';
import { createLogger } from '#src/platform/logger.ts';
import type { Platform } from '#src/platform/platform.ts';
import { sweepBlobs } from '#src/version/blob.ts';
import { post, type GraphqlRequest } from './graphql.ts';
import { surroundings, type Stack } from './stack.ts';
import { median, spreadOf, type Figure } from './table.ts';

const FILES = 100_000;
const FREE_PERCENT = 1;
const MOST_SECONDS = 10;

const digestOf = (index: number): string => createHash('sha256').update(String(index)).digest('hex');

/** Files of a few bytes with their rows, held by a version of the demo. */
async function seed(platform: Platform): Promise<void> {
  const folder = join(platform.config.ARTIFACT_STORE, 'sha256');
  for (let part = 0; part < 256; part++)
    mkdirSync(join(folder, part.toString(16).padStart(2, '0')), { recursive: true });
  const digests = Array.from({ length: FILES }, (_, index) => digestOf(index));
  for (const [index, digest] of digests.entries())
    writeFileSync(join(folder, digest.slice(0, 2), digest), String(index));
  await sql`insert into blob (digest, bytes) select unnest(${digests}::text[]), 5`.execute(platform.db);
  await sql`
    insert into version_artifact (version_id, project_id, role, path, digest, blob_digest, bytes, media_type)
    select v.id, v.project_id, 'SERVING', 'seed/' || d.n, d.digest, d.digest, 5, 'application/octet-stream'
    from (select id, project_id from version limit 1) v, unnest(${digests}::text[]) with ordinality as d(digest, n)`.execute(
    platform.db,
  );
}

/** Lets go of one in a hundred, and makes all of them be looked at. */
async function release(platform: Platform, round: number): Promise<void> {
  await sql`
    update version_artifact set blob_digest = null
    where path like 'seed/%' and substr(path, 6)::integer % ${100 / FREE_PERCENT} = ${round}`.execute(
    platform.db,
  );
  await sql`delete from blob_candidate`.execute(platform.db);
  await sql`
    insert into blob_candidate (digest, at) select digest, now() - interval '1 hour' from blob`.execute(
    platform.db,
  );
}

/** Small versions one after the other until told to stop; how long each took, in milliseconds. */
async function uploads(url: string, model: string, signal: AbortSignal): Promise<number[]> {
  const took: number[] = [];
  for (let index = 0; !signal.aborted; index++) {
    const form = new FormData();
    const request: GraphqlRequest = {
      query: `mutation Upload($input: CreateVersionInput!) { createVersion(input: $input) { __typename } }`,
      variables: { input: { model, files: [null] } },
    };
    form.set('operations', JSON.stringify(request));
    form.set('map', JSON.stringify({ 0: ['variables.input.files.0'] }));
    // Some of what is being freed, too.
    form.set('0', new Blob([String(index)]), `${index}.bin`);
    const from = performance.now();
    const answer = await fetch(`${url}/graphql`, { method: 'POST', body: form });
    const text = await answer.text();
    if (!text.includes('"Version"')) throw new Error(text);
    took.push(performance.now() - from);
  }
  return took;
}

export async function collection(stack: Stack, rounds: number): Promise<Figure[]> {
  const { DATABASE_URL: _, REDIS_URL: __, ...env } = surroundings(stack.dataDir);
  const config = loadConfig({
    ...env,
    DATABASE_URL: stack.databaseUrl,
    REDIS_URL: stack.redisUrl,
    ARTIFACT_STORE: join(stack.dataDir, 'artifacts'),
  });
  const { platform, close } = await openPlatform(config, createLogger('bench', 'warn'));
  const { made } = await post<{ made: { id: string } }>(stack.url, {
    query:
      'mutation { made: createModel(input: { project: "demo", name: "collection" }) { ... on Model { id } } }',
  });
  const seconds: number[] = [];
  const waits: number[] = [];
  try {
    await seed(platform);
    for (let round = 0; round < rounds; round++) {
      await release(platform, round);
      const stop = new AbortController();
      const uploading = uploads(stack.url, made.id, stop.signal);
      const from = performance.now();
      // The worker's own sweep may take a part of it.
      await sweepBlobs(platform);
      await allLookedAt(platform);
      seconds.push((performance.now() - from) / 1000);
      stop.abort();
      waits.push(...(await uploading));
    }
  } finally {
    await close();
  }
  const sorted = waits.toSorted((a, b) => a - b);
  return [
    {
      what: 'Freeing 1 % of 100,000 stored files, all of them looked at, while others upload',
      measured: `${median(seconds).toFixed(1)} s (uploads meanwhile: p99 ${(sorted[Math.floor(sorted.length * 0.99)] ?? 0).toFixed(0)} ms, most ${(sorted.at(-1) ?? 0).toFixed(0)} ms of ${sorted.length})`,
      spread: spreadOf(seconds, 1),
      cpu: '',
      limit: '',
      target: `≤ ${MOST_SECONDS} s`,
      met: Math.max(...seconds) <= MOST_SECONDS,
    },
  ];
}

/** Whoever took a batch has it until it is freed. */
async function allLookedAt({ db }: Platform): Promise<void> {
  for (;;) {
    const { rows } = await sql<{ left: boolean }>`
      select exists (select from blob_candidate where at < now() - interval '30 minutes') as left`.execute(
      db,
    );
    if (!rows[0]?.left) return;
  }
}
