/** Rollouts under traffic, watched as a person would. */
import { SteadyLoad, type Answer } from '#test/fault/full/steady-load.ts';
import { breastCancerSignature, fixtureFile } from '#test/helpers/models.ts';
import { done } from '#test/helpers/registry.ts';
import { patients } from './patients.ts';
import { PROJECT, type Stack } from '#test/helpers/stack.ts';

export interface Rolling {
  readonly id: string;
  readonly state: string;
  readonly reason: string | null;
  readonly weight: number;
  readonly pausedAt: string | null;
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly currentStep: number | null;
  readonly allowed: readonly string[];
  readonly by: { readonly name: string };
  readonly from: { readonly number: number };
  readonly to: { readonly number: number };
  readonly steps: readonly { readonly weight: number; readonly state: string; readonly samples: number }[];
  readonly gates: readonly {
    readonly gate: { readonly metric: string };
    readonly state: string;
    readonly observed: number | null;
    readonly baseline: number | null;
    readonly samples: number;
    readonly alwaysValidP: number | null;
    readonly explanation: string;
  }[];
}

export const rollingFields = `id state reason weight pausedAt startedAt finishedAt currentStep allowed by { name }
  from { number } to { number } steps { weight state samples }
  gates { gate { metric } state observed baseline samples alwaysValidP explanation }`;

const ended = ['SUCCEEDED', 'ROLLED_BACK', 'FAILED', 'ABORTED'];
export const hasEnded = ({ state }: Rolling): boolean => ended.includes(state);

/** Begins a rollout. @throws Error when it is refused. */
export const begin = (stack: Stack, input: Record<string, unknown>): Promise<Rolling> =>
  done<Rolling>(stack, 'startRollout', input, rollingFields);

/** Watches a rollout until it is as wanted. */
export async function rolling(
  stack: Stack,
  id: string,
  isWanted: (rollout: Rolling) => boolean,
): Promise<Rolling> {
  const query = `subscription ($id: ID!) { rollout(id: $id) { ${rollingFields} } }`;
  return (await stack.until<{ rollout: Rolling }>(query, { id }, ({ rollout }) => isWanted(rollout))).rollout;
}

/** A gate that needs few requests, so that a test need not be long. */
export const gate = (metric: string, threshold: number, more: object = {}): object => ({
  metric,
  threshold,
  minSamples: 20,
  ...more,
});

/** Makes fixtures of `breast-cancer` the versions of a model; their global ids, by the fixture's name. */
export async function registerVersions<K extends string>(
  stack: Stack,
  model: string,
  names: readonly K[],
): Promise<Record<K, string>> {
  const ids: [K, string][] = [];
  for (const name of names) {
    const columns =
      name === 'v7-signature' ? breastCancerSignature.columns.slice(0, -1) : breastCancerSignature.columns;
    const files = [fixtureFile(`breast-cancer/${name}.onnx`)];
    ids.push([
      name,
      (await stack.createModelVersion(model, files, { ...breastCancerSignature, columns })).id,
    ]);
  }
  return Object.fromEntries(ids) as Record<K, string>;
}

/** Traffic for a deployment of `breast-cancer`, by the clock, over the Open Inference Protocol. */
export function traffic(
  stack: Stack,
  deployment: string,
  perSecond: number,
  onAnswer?: (answer: Answer) => void,
): SteadyLoad {
  const origins = stack.apis.map(({ url }) => url);
  return new SteadyLoad(
    origins,
    `/v2/models/${PROJECT}/${deployment}/infer`,
    patients(),
    perSecond,
    onAnswer,
  );
}
