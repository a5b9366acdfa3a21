/** The demo of a first start: one real model in two versions, deployed. Made through the api's public door, like anybody's. */
import { openAsBlob, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';

interface SeedOptions {
  /** The api's URL, without `/graphql`. */
  readonly url: string;
  /** Where the api wants a token. */
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly log: (line: string) => void;
}
export type SeedDemo = (options: SeedOptions) => Promise<void>;

const folder = join(import.meta.dirname, 'demo');
const [project, model] = ['demo', 'breast-cancer'];

const description = z.object({
  description: z.string(),
  signature: z.record(z.string(), z.unknown()),
  versions: z.array(
    z.object({
      file: z.string(),
      message: z.string(),
      metrics: z.array(z.object({ name: z.string(), value: z.number() })),
      metadata: z.record(z.string(), z.unknown()),
    }),
  ),
});

/** What there is of the demo. */
const present = z.object({
  project: z
    .object({
      model: z
        .object({
          id: z.string(),
          alias: z.object({ name: z.string() }).nullable(),
          versions: z.object({
            edges: z.array(
              z.object({
                node: z.object({
                  id: z.string(),
                  number: z.int(),
                  status: z.string(),
                  statusReason: z.string().nullable(),
                }),
              }),
            ),
          }),
        })
        .nullable(),
      deployment: z
        .object({ id: z.string(), state: z.string(), arms: z.array(z.object({ ready: z.boolean() })) })
        .nullable(),
    })
    .nullable(),
});

const presentQuery = `query Demo($project: String!, $model: String!) {
  project(name: $project) {
    model(name: $model) { id alias(name: "champion") { name } versions(first: 20) { edges { node { id number status statusReason } } } }
    deployment(name: $model) { id state arms { ready } }
  }
}`;

/** The mutation `name` with its one input; the file, where there is one, is the input's only one. */
const mutation = (name: string): string => {
  const type = `${name[0]?.toUpperCase()}${name.slice(1)}Input`;
  return `mutation Seed($input: ${type}!) { result: ${name}(input: $input) { __typename ... on Error { code message hint } } }`;
};

const result = z.object({
  result: z.object({
    code: z.string().optional(),
    message: z.string().optional(),
    hint: z.string().nullish(),
  }),
});

const response = z.object({
  data: z.unknown(),
  errors: z.array(z.object({ message: z.string() })).optional(),
});

class Door {
  readonly #options: SeedOptions;

  constructor(options: SeedOptions) {
    this.#options = options;
  }

  async #post(body: string | FormData): Promise<unknown> {
    const { url, token, signal } = this.#options;
    const headers = new Headers({ accept: 'application/json' });
    if (typeof body === 'string') headers.set('content-type', 'application/json');
    if (token) headers.set('authorization', `Bearer ${token}`);
    const answer = await fetch(`${url}/graphql`, {
      method: 'POST',
      body,
      headers,
      ...(signal ? { signal } : {}),
    });
    const { data, errors } = response.parse(await answer.json());
    if (errors) throw new Error(errors.map(({ message }) => message).join(' '));
    return data;
  }

  async look(): Promise<z.infer<typeof present>['project']> {
    const body = { query: presentQuery, variables: { project, model } };
    return present.parse(await this.#post(JSON.stringify(body))).project;
  }

  /** Runs a mutation; a file goes along as the specification of GraphQL multipart requests says. */
  async change(name: string, input: Record<string, unknown>, file?: string): Promise<void> {
    const variables = { input: file ? { ...input, files: [null] } : input };
    const operations = JSON.stringify({ query: mutation(name), variables });
    let body: string | FormData = operations;
    if (file) {
      body = new FormData();
      body.set('operations', operations);
      body.set('map', JSON.stringify({ 0: ['variables.input.files.0'] }));
      body.set('0', await openAsBlob(join(folder, file)), file);
    }
    const { code, message } = result.parse(await this.#post(body)).result;
    // A conflict: it has come into being meanwhile; the next look shows it.
    if (code !== undefined && code !== 'CONFLICT') throw new Error(`${name}: ${message ?? code}`);
  }
}

type Present = Awaited<ReturnType<Door['look']>>;

/**
 * The next step towards the whole demo: something to do, a moment to wait, or nothing more. It depends on what is there
 * alone, so a start that was killed anywhere is carried on; what somebody has stopped or replaced is left as it is.
 */
function nextStep(door: Door, now: Present): (() => Promise<void>) | 'wait' | 'done' {
  const demo = description.parse(JSON.parse(readFileSync(join(folder, `${model}.json`), 'utf8')));
  if (!now)
    return () => door.change('createProject', { name: project, description: 'What the first start brings.' });
  if (!now.model) {
    return () => door.change('createModel', { project, name: model, description: demo.description });
  }
  const versions = now.model.versions.edges.map(({ node }) => node);
  const newest = Math.max(0, ...versions.map(({ number }) => number));
  const missing = demo.versions[newest];
  if (missing) {
    const { file, ...rest } = missing;
    const input = { model: now.model.id, signature: demo.signature, ...rest };
    return () => door.change('createVersion', input, file);
  }
  if (now.deployment) return deploymentStep(now.deployment);
  const version = versions.find(({ number }) => number === newest);
  if (!version || version.status === 'PENDING' || version.status === 'INGESTING') return 'wait';
  if (version.status !== 'READY')
    throw new Error(version.statusReason ?? `Version ${newest} is ${version.status}.`);
  if (!now.model.alias) {
    const alias = { model: now.model.id, name: 'champion', version: version.id };
    return () => door.change('setAlias', alias);
  }
  const champion = `${project}/${model}@champion`;
  return () => door.change('createDeployment', { project, name: model, version: champion, replicas: 1 });
}

function deploymentStep(deployment: NonNullable<NonNullable<Present>['deployment']>): 'wait' | 'done' {
  const { state, arms } = deployment;
  if (state === 'FAILED')
    throw new Error('Its deployment has failed; see it in GraphiQL, or the log of the worker.');
  if (state === 'STOPPING' || state === 'STOPPED') return 'done';
  return (state === 'LIVE' || state === 'DEGRADED') && arms.every(({ ready }) => ready) ? 'done' : 'wait';
}

const limit = 120_000;

/**
 * Brings the demo into being, or what is missing of it, and waits until it answers.
 * @throws Error with what stands in the way; calling it again carries on.
 */
export const seedDemo: SeedDemo = async (options) => {
  const door = new Door(options);
  const last = Date.now() + limit;
  let announced = false;
  for (;;) {
    const step = nextStep(door, await door.look());
    if (step === 'done') return;
    if (Date.now() > last) throw new Error('Its deployment is not live after two minutes.');
    if (step === 'wait') {
      await delay(100, undefined, options.signal ? { signal: options.signal } : {});
      continue;
    }
    if (!announced) options.log('Setting up the demo.');
    announced = true;
    await step();
  }
};
