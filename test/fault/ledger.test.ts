/** Followers of a ledger while the api, Redis and PostgreSQL go away and come back: nothing is missed, nothing comes twice. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'graphql-ws';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { openDatabase } from '#src/platform/database.ts';
import { webSocketClient } from '#test/helpers/client.ts';
import { Installation } from '#test/helpers/installation.ts';
import { createProject } from '#test/helpers/work.ts';
import { anEvent, LedgerWriter } from '#test/ledger/writer.ts';
import { OwnService } from './own-services.ts';

const query = `subscription ($project: ID!, $after: BigInt!) {
  ledger(project: $project, after: $after) { sequence }
}`;

/** Follows, and whenever it is cut off comes back with the last number that it has seen. */
class Follower {
  readonly numbers: number[] = [];
  /** How often it has begun. */
  begun = 0;
  readonly #url: string;
  readonly #project: string;
  readonly #after: number;
  readonly #ended: Promise<void>;
  readonly #waiting = new Set<() => void>();
  #client: Client | undefined;
  #closed = false;

  constructor(url: string, project: string, after: number) {
    this.#url = url;
    this.#project = project;
    this.#after = after;
    this.#ended = this.#follow();
  }

  get last(): number {
    return this.numbers.at(-1) ?? this.#after;
  }

  async #follow(): Promise<void> {
    while (!this.#closed) {
      this.#client = webSocketClient(this.#url);
      const variables = { project: this.#project, after: this.last };
      try {
        this.begun++;
        for await (const { data } of this.#client.iterate({ query, variables })) {
          this.numbers.push((data as { ledger: { sequence: number } }).ledger.sequence);
          for (const look of this.#waiting) look();
        }
      } catch {
        await delay(50);
      }
      await this.#client.dispose();
    }
  }

  /** Resolves once it has that number. */
  reached(number: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.last < number) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#client?.dispose();
    await this.#ended;
  }
}

/** Writes one change after the other, whatever becomes of it. */
class Changes {
  last = 0;
  readonly #writer: LedgerWriter;
  readonly #ended: Promise<void>;
  #stopped = false;

  constructor(writer: LedgerWriter) {
    this.#writer = writer;
    this.#ended = this.#write();
  }

  async #write(): Promise<void> {
    while (!this.#stopped) {
      try {
        this.last = await this.#writer.write(anEvent());
      } catch {
        await delay(20);
      }
    }
  }

  /** The number of the last event. */
  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#ended;
    return this.#writer.write(anEvent());
  }
}

const redis = new OwnService('redis');
const postgres = new OwnService('postgres');
let installation: Installation;
let project: string;
let writer: LedgerWriter;
let changes: Changes;
let followers: Follower[];

beforeAll(async () => {
  await Promise.all([redis.start(), postgres.start()]);
  const env = { REDIS_URL: redis.url, DATABASE_URL: postgres.url };
  installation = new Installation({ workers: 0, env });
  await installation.start();
});

beforeEach(async ({ task }) => {
  project = await createProject(installation, `project-${task.id}`);
  const { redisPrefix: prefix } = installation;
  writer = new LedgerWriter(openDatabase({ url: postgres.url, pool: 2 }), project, {
    url: redis.url,
    prefix,
  });
  await writer.write(...Array.from({ length: 500 }, () => anEvent()));
  const { url } = installation.api;
  followers = [0, 0, 100, 501].map((after) => new Follower(url, project, after));
  changes = new Changes(writer);
  // Beyond where the last of them begins: each of them has got something.
  await allReach(501 + 10);
});

afterEach(async () => {
  for (const follower of followers) await follower.close();
  await writer.close();
});

afterAll(async () => {
  await installation?.stop();
  await Promise.all([redis.remove(), postgres.remove()]);
});

const allReach = (number: number) => Promise.all(followers.map((follower) => follower.reached(number)));

async function expectEverything(): Promise<void> {
  const last = await changes.stop();
  await allReach(last);
  for (const [index, after] of [0, 0, 100, 501].entries()) {
    const expected = Array.from({ length: last - after }, (_, i) => after + i + 1);
    expect(followers[index]?.numbers).toEqual(expected);
  }
}

test('kill -9 of the api, again and again', async () => {
  for (let i = 0; i < 3; i++) {
    await installation.api.restart();
    await allReach(changes.last + 10);
  }
  expect(followers.map(({ begun }) => begun).every((begun) => begun >= 4)).toBe(true);
  await expectEverything();
});

test('Redis away, and back with nothing in it', async () => {
  await redis.end('SIGKILL');
  redis.wipe();
  for (let i = 0; i < 3; i++) await allReach(changes.last + 10);
  await redis.start();
  await allReach(changes.last + 10);
  expect(followers.map(({ begun }) => begun)).toEqual([1, 1, 1, 1]);
  await expectEverything();
});

test('PostgreSQL away and back: they wait, and nobody is cut off', async () => {
  await postgres.end('SIGQUIT');
  const { body } = await installation.gql('{ projects { name } }');
  expect(body.errors?.[0]?.extensions?.['code']).toBe('UNAVAILABLE');
  await postgres.start();
  await allReach(changes.last + 10);
  expect(followers.map(({ begun }) => begun)).toEqual([1, 1, 1, 1]);
  await expectEverything();
});
