/** The registry's mutations: each answers with the thing itself or with a refusal, and a test says which it expects. */
import { createHash } from 'node:crypto';
import { fixtureFile } from './models.ts';
import type { Refusal as AnyRefusal } from './predict.ts';
import type { Variables } from './client.ts';
import type { Call, Installation } from './installation.ts';
import type { Stack } from './stack.ts';

/** An expected error; `current` and `needs` are there where the type has them. */
export interface Refusal extends AnyRefusal {
  readonly current?: string | null;
  readonly needs?: string;
}

/** `why`, because a Version has a message of its own, which may be null. */
const refusalFields = `... on Error {
  code why: message hint
  ... on ValidationError { issues { path expected found message } }
  ... on ConflictError { current }
  ... on ForbiddenError { needs }
  ... on NotFoundError { what }
  ... on NotReadyError { retryAfterMs }
  ... on OverloadedError { retryAfterMs }
}`;

const madeBy: Readonly<Record<string, string>> = {
  releaseFromQuarantine: 'Version',
  createUpload: 'ResumableUpload',
  cancelUpload: 'ResumableUpload',
  scale: 'Deployment',
  predict: 'PredictPayload',
  rollBack: 'Rollout',
};
/** `createVersion` makes a Version, `setAlias` an Alias. */
const typeMadeBy = (field: string): string => madeBy[field] ?? field.replace(/^[a-z]+/, '');

export type Attempt<T> = { readonly made: T } | { readonly refusal: Refusal };

/** What comes of a mutation. @throws Error for any GraphQL error. */
export async function attempt<T>(
  installation: Installation,
  field: string,
  input: Variables,
  fields = '__typename',
  call?: Call,
): Promise<Attempt<T>> {
  const type = typeMadeBy(field);
  const inputType = `${field.charAt(0).toUpperCase()}${field.slice(1)}Input`;
  const query = `mutation ($input: ${inputType}!) { result: ${field}(input: $input) { __typename ... on ${type} { ${fields} } ${refusalFields} } }`;
  const { result } = await installation.data<{ result: { __typename: string; why?: string } }>(
    query,
    { input },
    call,
  );
  const { why, ...rest } = result;
  if (why !== undefined) return { refusal: { ...rest, message: why } as unknown as Refusal };
  const { __typename, ...made } = rest;
  return { made: made as T };
}

/** The thing that a mutation answers with. @throws Error when it is refused. */
export async function done<T>(...args: Parameters<typeof attempt>): Promise<T> {
  const result = await attempt<T>(...args);
  if ('made' in result) return result.made;
  throw new Error(`${args[1]} answers ${JSON.stringify(result.refusal)}.`);
}

/** Why a mutation is refused. @throws Error when it is done. */
export async function refused(
  installation: Installation,
  field: string,
  input: Variables,
  call?: Call,
): Promise<Refusal> {
  const result = await attempt(installation, field, input, undefined, call);
  if ('refusal' in result) return result.refusal;
  throw new Error(`${field} is done for ${JSON.stringify(input).slice(0, 500)}.`);
}

/** The one issue of a ValidationError. @throws Error for any other refusal. */
export function issueOf(refusal: Refusal): NonNullable<Refusal['issues']>[number] {
  const [issue, more] = refusal.issues ?? [];
  if (refusal.__typename === 'ValidationError' && issue && !more) return issue;
  throw new Error(`One issue was expected, found ${JSON.stringify(refusal)}.`);
}

/** What is to be seen of a version. */
export interface VersionFacts {
  readonly id: string;
  readonly number: number;
  readonly status: string;
  readonly message: string | null;
  readonly digest: string;
  readonly bytes: number;
  readonly createdAt: string;
  readonly archivedAt: string | null;
  readonly deletedAt: string | null;
  readonly author: { readonly name: string; readonly kind: string };
  readonly metadata: unknown;
  readonly tags: readonly { readonly key: string; readonly value: string }[];
  readonly metrics: readonly { readonly name: string; readonly value: number; readonly source: string }[];
  readonly parents: readonly { readonly id: string; readonly number: number }[];
}

export const versionFields = `id number status message digest bytes createdAt archivedAt deletedAt author { name kind }
  metadata tags { key value } metrics { name value source } parents { id number }`;

/** A version as a reference with its project, or its id, finds it. */
export async function versionAt(installation: Installation, ref: string, call?: Call): Promise<VersionFacts> {
  const query = `query ($ref: VersionRef!) { version(ref: $ref) { ${versionFields} } }`;
  return (await installation.data<{ version: VersionFacts }>(query, { ref }, call)).version;
}

/** Bytes as `createVersion(artifacts:)` names them. */
export interface HeldFile {
  readonly path: string;
  readonly digest: string;
}

/**
 * Uploads a fixture as a version of model `bytes`; a version of the same project that names it then, without a
 * signature, is READY at once.
 */
export async function held(stack: Stack, fixture: string): Promise<HeldFile> {
  const file = fixtureFile(fixture);
  await stack.createModelVersion('bytes', [file]);
  return { path: file.name, digest: createHash('sha256').update(file.content).digest('hex') };
}
