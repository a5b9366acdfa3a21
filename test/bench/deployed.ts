/** Fixture models in service beside the demo, and rows for them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { NamedTensor } from '#src/tensor/tensor.ts';
import { postForm } from '#test/helpers/client.ts';
import { post } from './graphql.ts';
import { root, type Stack } from './stack.ts';

export const models = join(root, 'test/fixtures/models');

interface Predictions {
  readonly v2: { readonly requests: { readonly request: { readonly inputs: NamedTensor[] } }[] };
}

/** The first request of a fixture's version 2, its one row repeated. */
export function inputOf(model: string, rows: number): NamedTensor {
  const file = join(models, model, 'predictions.json');
  const { v2 } = JSON.parse(readFileSync(file, 'utf8')) as Predictions;
  const [input] = v2.requests[0]!.request.inputs as [NamedTensor];
  const row = Array.from(input.data as ArrayLike<number>);
  const data = Float32Array.from({ length: rows * row.length }, (_, at) => row[at % row.length]!);
  return { ...input, shape: [rows, ...input.shape.slice(1)], data };
}

const mutation = (name: string, rest: string): string =>
  `mutation ($input: ${name[0]!.toUpperCase()}${name.slice(1)}Input!) { result: ${name}(input: $input) { ${rest} ... on Error { message } } }`;

interface Created {
  readonly id?: string;
  readonly message?: string;
  readonly secret?: string;
}

/** @throws Error with the api's own words. */
export async function create(stack: Stack, name: string, input: object, rest: string): Promise<Created> {
  const { result } = await post<{ result: Created }>(stack.url, {
    query: mutation(name, rest),
    variables: { input },
  });
  if (result.message !== undefined) throw new Error(result.message);
  return result;
}

/** Makes a fixture's file version 1 of a new model of the demo's project. */
export async function registerFixture(stack: Stack, path: string, name: string): Promise<void> {
  const { id } = await create(stack, 'createModel', { project: 'demo', name }, '... on Model { id }');
  const file = { name: 'model.onnx', content: readFileSync(join(models, path)) };
  const query = mutation('createVersion', '... on Version { id }');
  const variables = { input: { model: id, files: [null], message: path } };
  const { body } = await postForm<{ result: Created }>(
    stack.url,
    { query, variables },
    { 'variables.input.files.0': file },
  );
  if (!body.data?.result.id) throw new Error(JSON.stringify(body));
  const version = `{ version(ref: "demo/${name}:1") { state: status reason: statusReason } }`;
  await until(stack, version, 'version', 'READY');
}

/** Deploys a version of the demo's project, and waits until it is LIVE. */
export async function deploy(
  stack: Stack,
  input: { readonly name: string; readonly version: string } & Readonly<Record<string, unknown>>,
): Promise<void> {
  await create(stack, 'createDeployment', { project: 'demo', ...input }, '... on Deployment { id }');
  const query = `{ project(name: "demo") { deployment(name: "${input.name}") { state: state reason: stateReason } } }`;
  await until(stack, query, 'project', 'LIVE');
}

/** Both, under the same name. */
export async function deployFixture(
  stack: Stack,
  path: string,
  input: { readonly name: string } & Readonly<Record<string, unknown>>,
): Promise<void> {
  await registerFixture(stack, path, input.name);
  await deploy(stack, { version: `demo/${input.name}:1`, ...input });
}

interface Progress {
  readonly state?: string;
  readonly reason?: string | null;
  readonly deployment?: Progress;
}

async function until(stack: Stack, query: string, field: string, wanted: string): Promise<void> {
  for (;;) {
    const data = await post<Record<string, Progress>>(stack.url, { query });
    const { state, reason } = data[field]?.deployment ?? data[field] ?? {};
    if (state === wanted) return;
    if (['REJECTED', 'FAILED', 'QUARANTINED'].includes(state ?? ''))
      throw new Error(`${state}: ${reason ?? ''}`);
    await delay(50);
  }
}
