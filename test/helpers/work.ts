/** The usual work, waited for as a user would: on subscriptions. */
import type { Call, Installation } from './installation.ts';
import type { Answer, UploadFile, Variables } from './client.ts';

export interface Work {
  readonly id: string;
  readonly kind: string;
  readonly status: string;
  readonly attempts: number;
  readonly error: { readonly code: string; readonly message: string; readonly hint: string | null } | null;
}

export interface CreatedVersion {
  readonly __typename: string;
  readonly id: string;
  readonly number: number;
  readonly status: string;
  readonly statusReason: string | null;
  readonly operation: { readonly id: string };
}

export interface Deployed {
  readonly id: string;
  readonly state: string;
  readonly stateReason: string | null;
  readonly arms: readonly {
    readonly replicas: readonly { readonly state: string; readonly restarts: number }[];
  }[];
}

const errors = `... on Error { __typename code message hint }
  ... on ValidationError { issues { path expected found message } }
  ... on ForbiddenError { needs }`;
const versionFields = '__typename id number status statusReason operation { id }';
const deploymentFields = 'id state stateReason arms { replicas { state restarts } }';
const workFields = 'id kind status attempts error { code message hint }';

/** @throws Error unless the mutation answered the thing itself. */
function succeeded<T>(what: string, type: string, result: T & { readonly __typename: string }): T {
  if (result.__typename === type) return result;
  throw new Error(`${what} answers ${JSON.stringify(result)}.`);
}

/** Makes a project and answers its id. */
export async function createProject(stack: Installation, name: string, call?: Call): Promise<string> {
  const query = `mutation ($input: CreateProjectInput!) { result: createProject(input: $input) { ...on Project { __typename id } ${errors} } }`;
  const { result } = await stack.data<{ result: { __typename: string; id: string } }>(
    query,
    { input: { name } },
    call,
  );
  return succeeded('createProject', 'Project', result).id;
}

/** Registers a model and answers its id. */
export async function createModel(
  stack: Installation,
  project: string,
  name: string,
  call?: Call,
): Promise<string> {
  const query = `mutation ($input: CreateModelInput!) { result: createModel(input: $input) { ...on Model { __typename id } ${errors} } }`;
  const variables = { input: { project, name } };
  const { result } = await stack.data<{ result: { __typename: string; id: string } }>(query, variables, call);
  return succeeded('createModel', 'Model', result).id;
}

/** Uploads files as a version; whatever the api answers. */
export function sendVersion(
  stack: Installation,
  model: string,
  files: readonly UploadFile[],
  signature?: Variables,
  call?: Call,
): Promise<Answer<{ readonly result: CreatedVersion }>> {
  const query = `mutation ($input: CreateVersionInput!) { result: createVersion(input: $input) { ...on Version { ${versionFields} } ${errors} } }`;
  const input = { model, files: files.map(() => null), signature };
  const places = Object.fromEntries(files.map((file, index) => [`variables.input.files.${index}`, file]));
  return stack.upload({ query, variables: { input } }, places, call);
}

/** Uploads files as a version, which waits for its ingest then. @throws Error unless it was taken. */
export async function createVersion(
  stack: Installation,
  model: string,
  files: readonly UploadFile[],
  signature?: Variables,
  call?: Call,
): Promise<CreatedVersion> {
  const { status, body } = await sendVersion(stack, model, files, signature, call);
  if (!body.data) throw new Error(`createVersion answers HTTP ${status}: ${JSON.stringify(body)}`);
  return succeeded('createVersion', 'Version', body.data.result);
}

/** Watches work until it is in one of these states. */
export async function workIn(
  stack: Installation,
  id: string,
  statuses: string | readonly string[],
  call?: Call,
): Promise<Work> {
  const query = `subscription ($id: ID!) { operation(id: $id) { ${workFields} } }`;
  const isIn = (value: { operation: Work }): boolean => [statuses].flat().includes(value.operation.status);
  return (await stack.until(query, { id }, isIn, call)).operation;
}

/** Watches work until it has ended, however. */
export function workDone(stack: Installation, id: string, call?: Call): Promise<Work> {
  return workIn(stack, id, ['SUCCEEDED', 'FAILED', 'CANCELLED'], call);
}

/** Asks work to stop; how it is then. */
export async function cancelOperation(stack: Installation, operation: string, call?: Call): Promise<Work> {
  const query = `mutation ($input: CancelOperationInput!) { result: cancelOperation(input: $input) { ...on Operation { __typename ${workFields} } ${errors} } }`;
  const variables = { input: { operation } };
  const { result } = await stack.data<{ result: Work & { __typename: string } }>(query, variables, call);
  return succeeded('cancelOperation', 'Operation', result);
}

/** A version as it is now. */
export async function versionNow(stack: Installation, id: string, call?: Call): Promise<CreatedVersion> {
  const query = `query ($id: VersionRef!) { version(ref: $id) { ${versionFields} } }`;
  return (await stack.data<{ version: CreatedVersion }>(query, { id }, call)).version;
}

/** Uploads files as a version and waits until its ingest has ended, however. */
export async function ingested(
  stack: Installation,
  model: string,
  files: readonly UploadFile[],
  signature?: Variables,
): Promise<CreatedVersion> {
  const { id, operation } = await createVersion(stack, model, files, signature);
  if (operation) await workDone(stack, operation.id);
  return versionNow(stack, id);
}

/** Asks for a deployment and answers its id, without waiting. */
export async function createDeployment(stack: Installation, input: Variables, call?: Call): Promise<string> {
  const query = `mutation ($input: CreateDeploymentInput!) { result: createDeployment(input: $input) { ...on Deployment { __typename id } ${errors} } }`;
  const { result } = await stack.data<{ result: { __typename: string; id: string } }>(query, { input }, call);
  return succeeded('createDeployment', 'Deployment', result).id;
}

/** Watches a deployment until it is in one of these states. */
export async function deploymentIn(
  stack: Installation,
  id: string,
  states: string | readonly string[],
  call?: Call,
): Promise<Deployed> {
  const query = `subscription ($id: ID!) { deployment(id: $id) { ${deploymentFields} } }`;
  const isIn = (value: { deployment: Deployed }): boolean => [states].flat().includes(value.deployment.state);
  return (await stack.until(query, { id }, isIn, call)).deployment;
}

/** Asks to take a deployment out of service; its id, or `project/name`. */
export async function undeploy(stack: Installation, deployment: string, call?: Call): Promise<Deployed> {
  const query = `mutation ($input: UndeployInput!) { result: undeploy(input: $input) { ...on Deployment { __typename ${deploymentFields} } ${errors} } }`;
  const variables = { input: { deployment } };
  const { result } = await stack.data<{ result: Deployed & { __typename: string } }>(query, variables, call);
  return succeeded('undeploy', 'Deployment', result);
}

/** Takes a deployment out of service and waits until it is STOPPED. */
export async function stopped(stack: Installation, deployment: string): Promise<void> {
  const { id } = await undeploy(stack, deployment);
  await deploymentIn(stack, id, ['STOPPED']);
}

/** Makes a token; its secret is `secret`. */
export async function createToken(
  stack: Installation,
  input: Variables,
  call?: Call,
): Promise<{ readonly secret: string; readonly token: { readonly id: string } }> {
  const query = `mutation ($input: CreateTokenInput!) { result: createToken(input: $input) { ...on CreatedToken { __typename secret token { id } } ${errors} } }`;
  const { result } = await stack.data<{
    result: { __typename: string; secret: string; token: { id: string } };
  }>(query, { input }, call);
  return succeeded('createToken', 'CreatedToken', result);
}
