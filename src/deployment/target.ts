/** Where a deployment's replicas run, and what may be asked of them there. */
import { protocolRoot } from '../inference/external-server.ts';
import { shown } from '../name/name.ts';
import type { DeploymentTarget } from '../platform/database.types.ts';
import { ValidationError } from '../platform/errors.ts';
import type { Batching } from '../replica/process/launch.ts';
import type { Resources } from './shape.ts';

export interface GivenTarget {
  readonly target: DeploymentTarget;
  readonly externalUrl: string | null;
  readonly arms?: readonly unknown[] | undefined;
  readonly replicas: number;
  readonly resources: Resources;
  readonly batching: Batching;
}

/** What is meant where nothing is said. */
export const defaultResources: Resources = { threads: 1, memoryLimitBytes: null };
export const defaultBatching: Batching = { maxRows: 256, maxDelayMs: 0 };

/**
 * @param hosts that may be named; none: all.
 * @throws ValidationError for what cannot be honoured there.
 */
export function checkTarget(
  { target, externalUrl: endpoint, arms, replicas, resources, batching }: GivenTarget,
  hosts: readonly string[],
): void {
  if (target === 'LOCAL') {
    if (endpoint !== null)
      throw ValidationError.of(['externalUrl'], 'none, unless the target is EXTERNAL', shown(endpoint));
    return;
  }
  if (endpoint === null || protocolRoot(endpoint) === undefined) {
    throw ValidationError.of(
      ['externalUrl'],
      "the URL of a model, such as http://triton:8000/v2/models/fraud or …/fraud/versions/3, without user, '?' and '#'",
      endpoint === null ? 'none' : shown(endpoint),
    );
  }
  const { host, hostname } = new URL(endpoint);
  if (hosts.length > 0 && !hosts.includes(host) && !hosts.includes(hostname)) {
    throw ValidationError.of(['externalUrl'], `a host of EXTERNAL_HOSTS: ${hosts.join(', ')}`, shown(host));
  }
  if (arms !== undefined)
    throw ValidationError.of(['arms'], 'none: an EXTERNAL deployment has one version', `${arms.length} arms`);
  if (replicas !== 1) {
    const expected = '1: how many there are is up to the EXTERNAL server';
    throw ValidationError.of(['replicas'], expected, String(replicas));
  }
  refuseOther('resources', resources, defaultResources);
  refuseOther('batching', batching, defaultBatching);
}

/** @throws ValidationError: the processes of an EXTERNAL one are not ours. */
function refuseOther<T extends object>(name: string, given: T, usual: T): void {
  const isUsual = Object.entries(usual).every(([key, value]) => given[key as keyof T] === value);
  if (!isUsual) throw ValidationError.of([name], 'nothing: that is up to the EXTERNAL server', 'something');
}
