/**
 * The whole product for one test file. Everything that a test does not say otherwise belongs to project `test`.
 *
 *     const stack = await startStack();
 *     const version = await stack.createModelVersion('fraud', [{ name: 'v1.onnx', content }]);
 *     const deployment = await stack.deploy(version.id, { name: 'fraud' });
 */
import { recordedReplicas } from '#src/local/process-record.ts';
import { isAlive } from '#src/platform/process-identity.ts';
import { Installation, type InstallationOptions } from './installation.ts';
import type { UploadFile, Variables } from './client.ts';
import {
  createDeployment,
  createModel,
  createProject,
  deploymentIn,
  ingested,
  type CreatedVersion,
  type Deployed,
} from './work.ts';

export const PROJECT = 'test';

export interface DeployOptions {
  readonly name: string;
  readonly replicas?: number;
  readonly invalidOutputs?: 'FAIL' | 'RETURN';
}

export class Stack extends Installation {
  #project: Promise<string> | undefined;
  readonly #models = new Map<string, Promise<string>>();

  /** The id of project `test`, made when it is first asked for. */
  project(): Promise<string> {
    return (this.#project ??= createProject(this, PROJECT));
  }

  /** The id of a model in project `test`, made when it is first asked for. */
  async model(name: string): Promise<string> {
    await this.project();
    const id = this.#models.get(name) ?? createModel(this, PROJECT, name);
    this.#models.set(name, id);
    return id;
  }

  /** Uploads files as the next version of a model. @throws Error with the reason unless it becomes READY. */
  async createModelVersion(
    model: string,
    files: readonly UploadFile[],
    signature?: Variables,
  ): Promise<CreatedVersion> {
    const version = await ingested(this, await this.model(model), files, signature);
    if (version.status === 'READY') return version;
    throw new Error(`The version is ${version.status}: ${version.statusReason}`);
  }

  /** Puts a version (its id, or `test/model:1`) into service. @throws Error with the reason unless it becomes LIVE. */
  async deploy(version: string, options: DeployOptions): Promise<Deployed> {
    await this.project();
    const id = await createDeployment(this, { project: PROJECT, version, ...options });
    const deployed = await deploymentIn(this, id, ['LIVE', 'FAILED']);
    if (deployed.state === 'LIVE') return deployed;
    throw new Error(`The deployment is ${deployed.state}: ${deployed.stateReason}`);
  }

  /** Pids of the replicas of this host that run. */
  replicaPids(): number[] {
    return recordedReplicas(this.dataDir).flatMap(({ replica }) => (isAlive(replica) ? [replica.pid] : []));
  }
}

/** Starts a stack; it is stopped after the file's last test, and its logs are printed when a test fails. */
export async function startStack(options: InstallationOptions = {}): Promise<Stack> {
  const stack = new Stack(options);
  await stack.start();
  return stack;
}
