/** Real processes on a database, a Redis prefix and folders of their own, and the clients that talk to them. */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, afterEach, inject } from 'vitest';
import type { ClientOptions } from 'graphql-ws';
import { tailOf } from '#src/local/child.ts';
import { prepareDataFolder } from '#src/local/data-folder.ts';
import { endReplicas, recordedReplicas } from '#src/local/process-record.ts';
import { openDatabase, type Database } from '#src/platform/database.ts';
import { socketFolder } from '#src/replica/socket-folder.ts';
import {
  postForm,
  postGraphQL,
  subscription,
  webSocketClient,
  type Answer,
  type Asking,
  type UploadFile,
  type Variables,
} from './client.ts';
import { Program } from './program.ts';
import { newFolder, withDatabase } from './services.ts';

export interface InstallationOptions {
  /** More environment variables for the api and the worker. */
  readonly env?: Readonly<Record<string, string>>;
  /** The token of the first ADMIN; without it whoever asks is `local`. */
  readonly adminToken?: string;
  readonly workers?: number;
  readonly apis?: number;
}

/** Who asks, and which api (the first one where nothing is said). */
export interface Call extends Asking {
  readonly api?: Program;
}

const running = new Set<Installation>();

afterEach(({ task }) => {
  if (task.result?.state !== 'fail') return;
  for (const installation of running) process.stderr.write(`${installation.tail()}\n`);
});

afterAll(async () => {
  for (const installation of running) await installation.stop();
});

/** It is stopped after the file's last test; the ends of its logs are printed when a test fails. */
export class Installation {
  readonly dataDir: string;
  readonly apis: readonly Program[];
  readonly workers: readonly Program[];
  /** Those that its programs use, which `env` may say. */
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly redisPrefix: string;
  readonly artifactStore: string;
  /** What the api and the worker are started with, and commands on the same data may be. */
  readonly environment: NodeJS.ProcessEnv;
  readonly #database: string;

  constructor({ env = {}, adminToken, workers = 1, apis = 1 }: InstallationOptions) {
    this.dataDir = newFolder();
    prepareDataFolder(this.dataDir);
    const name = `test-${randomBytes(6).toString('hex')}`;
    this.#database = name.replace('-', '_');
    this.databaseUrl = env['DATABASE_URL'] ?? withDatabase(inject('databaseUrl'), this.#database);
    this.redisUrl = env['REDIS_URL'] ?? inject('redisUrl');
    this.redisPrefix = name;
    this.artifactStore = join(this.dataDir, 'artifacts');
    const { PATH, HOME, TMPDIR } = process.env;
    const environment: NodeJS.ProcessEnv = {
      PATH,
      HOME,
      TMPDIR,
      DATABASE_URL: this.databaseUrl,
      REDIS_URL: this.redisUrl,
      REDIS_PREFIX: name,
      DATA_DIR: this.dataDir,
      ARTIFACT_STORE: this.artifactStore,
      DATABASE_POOL: '4',
      HOST_ID: name,
      // How fast predictions are depends on what else the machine does.
      OVERLOAD_WAIT_MS: '10000',
      ...env,
    };
    this.environment = environment;
    if (adminToken !== undefined) {
      environment['ADMIN_TOKEN_FILE'] = join(this.dataDir, 'admin-token');
      writeFileSync(environment['ADMIN_TOKEN_FILE'], `${adminToken}\n`, { mode: 0o600 });
    }
    const programs = (role: 'api' | 'worker', count: number): Program[] =>
      Array.from({ length: count }, () => new Program(role, this.dataDir, environment));
    this.apis = programs('api', apis);
    this.workers = programs('worker', workers);
    running.add(this);
  }

  get api(): Program {
    return this.apis[0] as Program;
  }

  get worker(): Program {
    return this.workers[0] as Program;
  }

  async start(): Promise<void> {
    await this.createDatabase(inject('templateDatabase'));
    await this.startPrograms();
  }

  /** Without a template it holds nothing, no tables either. */
  async createDatabase(template = 'template1'): Promise<void> {
    await asAdministrator((db) =>
      sql`CREATE DATABASE ${sql.id(this.#database)} TEMPLATE ${sql.id(template)}`.execute(db),
    );
  }

  async startPrograms(): Promise<void> {
    await Promise.all([...this.apis, ...this.workers].map((program) => program.start()));
  }

  /** Sends one operation as JSON. */
  gql<T = unknown>(
    query: string,
    variables?: Variables,
    { api = this.api, ...asking }: Call = {},
  ): Promise<Answer<T>> {
    return postGraphQL<T>(api.url, query, variables, asking);
  }

  /** The data that an operation answers. @throws Error for any GraphQL error. */
  async data<T>(query: string, variables?: Variables, call?: Call): Promise<T> {
    const { status, body } = await this.gql<T>(query, variables, call);
    if (status !== 200 || body.errors || !body.data)
      throw new Error(`HTTP ${status}: ${JSON.stringify(body)}`);
    return body.data;
  }

  /** Sends one operation with files, each under the path of its variable, such as `variables.input.files.0`. */
  upload<T = unknown>(
    operations: { readonly query: string; readonly variables: Variables },
    files: Readonly<Record<string, UploadFile>>,
    { api = this.api, ...asking }: Call = {},
  ): Promise<Answer<T>> {
    return postForm<T>(api.url, operations, files, asking);
  }

  /** What a subscription yields; ends the socket when the loop is left. @throws Error for any GraphQL error. */
  subscribe<T>(
    query: string,
    variables: Variables = {},
    { api = this.api, ...asking }: Call = {},
    options: Partial<ClientOptions> = {},
  ): AsyncGenerator<T, void, void> {
    return subscription<T>(webSocketClient(api.url, asking, options), query, variables);
  }

  /** The first value of a subscription that is as wanted. @throws Error when it ends without. */
  async until<T>(
    query: string,
    variables: Variables,
    isWanted: (value: T) => boolean,
    call?: Call,
  ): Promise<T> {
    let last: T | undefined;
    for await (const value of this.subscribe<T>(query, variables, call)) {
      last = value;
      if (isWanted(value)) return value;
    }
    throw new Error(`The subscription ended with ${JSON.stringify(last)}.`);
  }

  /** A connection pool on its database, for what the public door does not show; the caller closes it. */
  openDatabase(): Database {
    return openDatabase({ url: this.databaseUrl, pool: 2 });
  }

  /** The end of every log, for a test that failed. */
  tail(): string {
    const logs = new Set([...this.apis, ...this.workers].map(({ log }) => log));
    const stderr = recordedReplicas(this.dataDir).map(({ file }) => file.replace(/\.json$/, '/stderr'));
    return [...logs, ...stderr].map((log) => `── ${basename(log)}\n${tailOf(log, 25)}`).join('\n');
  }

  /** Ends everything. @throws Error when a process had to be killed, or is left. */
  async stop(): Promise<void> {
    if (!running.delete(this)) return;
    const stopped = await Promise.allSettled(
      [...this.apis, ...this.workers].map((program) => program.stop()),
    );
    await endReplicas(this.dataDir);
    const left = processesOf(this.dataDir);
    for (const { pid } of left) process.kill(pid, 'SIGKILL');
    const tail = this.tail();
    rmSync(socketFolder(this.dataDir), { recursive: true, force: true });
    rmSync(this.dataDir, { recursive: true, force: true, maxRetries: 5 });
    // Fails when somebody is still connected.
    await asAdministrator((db) => sql`DROP DATABASE IF EXISTS ${sql.id(this.#database)}`.execute(db));
    const faults = stopped.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []));
    for (const { command } of left) faults.push(`A process is left: ${command}`);
    if (faults.length > 0) throw new Error(`${faults.join('\n')}\n${tail}`);
  }
}

async function asAdministrator(work: (db: Database['db']) => Promise<unknown>): Promise<void> {
  const database = openDatabase({ url: inject('databaseUrl'), pool: 1 });
  try {
    await work(database.db);
  } finally {
    await database.close();
  }
}

/** Running processes that have a file of a folder among their arguments. */
function processesOf(folder: string): { pid: number; command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [
          { pid: Number(pid), command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') },
        ];
      } catch {
        return [];
      }
    })
    .filter(({ command }) => command.includes(folder));
}
