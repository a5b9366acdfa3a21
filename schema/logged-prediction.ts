/** The prediction log: what answered, with what, and why. */
import { predictionPayloads } from '#src/platform/database.types.ts';
import { checkCharacters, sought } from '#src/name/name.ts';
import {
  keyOf,
  listPredictions,
  predictionOf,
  type LoggedPrediction,
  type PredictionFilter,
} from '#src/prediction/logged.ts';
import { parsePredictionId } from '#src/prediction/prediction-id.ts';
import { armBehind } from '#src/prediction/provenance.ts';
import { toCursor } from '#src/paging/paging.ts';
import type { Actor } from '#src/access/access.ts';
import { ActorType } from './actor.ts';
import { builder } from './builder.ts';
import { connectionOf, pageArgs, pageCost } from './connection.ts';
import type { Loaders } from './context.ts';
import { DeploymentType } from './deployment.ts';
import { idOf } from './global-id.ts';
import { originOf, VersionOriginType } from './lineage.ts';
import { Tag, TagInput } from './tag.ts';
import { VersionType } from './version.ts';

const PayloadEnum = builder.enumType('PredictionPayload', {
  description: 'Whether inputs and outputs of a prediction were kept.',
  values: Object.fromEntries(
    predictionPayloads.map((payload) => [
      payload,
      {
        description: {
          LOGGED: 'They were.',
          NOT_SAMPLED: "The request was not in the deployment's sample (`logging.sampleRate`).",
          TOO_LARGE: 'They were larger than a sixteenth of PREDICTION_LOG_BYTES_PER_SECOND.',
        }[payload],
      },
    ]),
  ) as Record<(typeof predictionPayloads)[number], { description: string }>,
});

/** Of rows that refer to it: versions and deployments are kept, also when they are deleted or stopped. */
const versionOf = async ({ request }: LoggedPrediction, { version }: Loaders) =>
  (await version.load(request.versionId))!;
const deploymentOf = async ({ request }: LoggedPrediction, { deployment }: Loaders) =>
  (await deployment.load(request.deploymentId))!;
const payloadOf = async ({ request }: LoggedPrediction, { payload }: Loaders) =>
  request.payload === 'LOGGED' ? (await payload.load(request.id))[0] : undefined;

/** Who put its arm into service, and when: with a rollout, or as the deployment was created. */
async function broughtBy(
  prediction: LoggedPrediction,
  loaders: Loaders,
): Promise<{ readonly by: Actor; readonly at: Date }> {
  const { request } = prediction;
  const arm = armBehind(await loaders.armOrigins.load(request.deploymentId), request);
  const rollout = arm?.rolloutId ? await loaders.rollout.load(arm.rolloutId) : undefined;
  if (rollout) return { by: { name: rollout.byName, kind: rollout.byKind }, at: rollout.startedAt };
  const { createdByName: name, createdByKind: kind, createdAt: at } = await deploymentOf(prediction, loaders);
  return { by: { name, kind }, at };
}

/** A regression's number is its value, any other's the probability. */
const isValue = async (prediction: LoggedPrediction, loaders: Loaders): Promise<boolean> =>
  (await versionOf(prediction, loaders)).signature?.valueOutput !== null;
const numberOf = ({ request, row }: LoggedPrediction): number | null => {
  const number = request.answerNumbers?.[row] ?? null;
  return number !== null && Number.isFinite(number) ? number : null;
};

export const ProvenanceType = builder.objectRef<LoggedPrediction>('Provenance').implement({
  description: 'Why a prediction came from where it came from.',
  fields: (t) => ({
    weightAtTheTime: t.float({
      description: "The arm's share of the traffic when it was predicted, 0 to 1.",
      resolve: ({ request }) => request.weight,
    }),
    step: t.int({
      nullable: true,
      description:
        'Which step the rollout that ran then was at, from 0; null where none ran, or it had not begun.',
      resolve: ({ request }) => request.rolloutStep,
    }),
    actorWhoDeployed: t.field({
      type: ActorType,
      description: 'Who put the version into service there: with a rollout, or with the deployment.',
      resolve: async (prediction, _args, { loaders }) => (await broughtBy(prediction, loaders)).by,
    }),
    deployedAt: t.field({
      type: 'DateTime',
      description: 'When that was.',
      resolve: async (prediction, _args, { loaders }) => (await broughtBy(prediction, loaders)).at,
    }),
    versionAuthor: t.field({
      type: ActorType,
      description: 'Who made the version.',
      resolve: async (prediction, _args, { loaders }) => {
        const { authorName: name, authorKind: kind } = await versionOf(prediction, loaders);
        return { name, kind };
      },
    }),
    origin: t.field({
      type: VersionOriginType,
      description: "Where the version's bytes came from.",
      resolve: async (prediction, _args, { loaders }) =>
        originOf(await versionOf(prediction, loaders), loaders),
    }),
  }),
});

export const PredictionType = builder.objectRef<LoggedPrediction>('Prediction');
builder.node(PredictionType, {
  description: 'One row of a request, as it was answered, or failed. It is there about a second later.',
  belongsTo: ({ request }) => ({ project: request.projectId, role: 'READER' }),
  id: { resolve: ({ id }) => id, description: 'Global id. `node` also takes a `predictionId` as it is.' },
  loadManyWithoutCache: (ids, { loaders }) =>
    Promise.all(
      ids.map(async (id) => {
        const { requestId, row } = parsePredictionId(id) ?? {};
        const request = requestId === undefined ? undefined : await loaders.predictionRequest.load(requestId);
        return request && row! < request.rows ? predictionOf(request, row!) : undefined;
      }),
    ),
  fields: (t) => ({
    requestId: t.id({
      description: 'Names the request that it was a row of (UUIDv7).',
      resolve: ({ request }) => request.id,
    }),
    row: t.exposeInt('row', { description: 'Which row of the request, from 0.' }),
    deployment: t.field({
      type: DeploymentType,
      description: 'The deployment that was asked.',
      resolve: (prediction, _args, { loaders }) => deploymentOf(prediction, loaders),
    }),
    version: t.field({
      type: VersionType,
      description: 'The version that answered; deleted ones too.',
      resolve: (prediction, _args, { loaders }) => versionOf(prediction, loaders),
    }),
    arm: t.string({ description: 'The arm that answered.', resolve: ({ request }) => request.arm }),
    at: t.field({
      type: 'DateTime',
      description: 'When it was answered, to the millisecond.',
      resolve: ({ request }) => request.at,
    }),
    latencyMs: t.float({
      description: 'Milliseconds that the request took, as the api saw it.',
      resolve: ({ request }) => request.latencyMs,
    }),
    error: t.string({
      nullable: true,
      description: 'Code of the error that it ended with, such as MODEL_FAILED; null where it was answered.',
      resolve: ({ request }) => request.error,
    }),
    labels: t.field({
      type: [Tag],
      description: 'What the caller gave along to find it by, by key.',
      resolve: ({ request }) => request.labels ?? [],
    }),
    label: t.string({
      nullable: true,
      description: 'The class that was predicted; null where there is none. Kept of every prediction.',
      resolve: ({ request, row }) => request.answerLabels?.[row] ?? null,
    }),
    probability: t.float({
      nullable: true,
      description:
        'Probability of the positive class where there are two classes, else of the label; null where there is none. Kept of every prediction.',
      resolve: async (prediction, _args, { loaders }) =>
        (await isValue(prediction, loaders)) ? null : numberOf(prediction),
    }),
    value: t.float({
      nullable: true,
      description: 'The number that a regression predicted; null for other tasks. Kept of every prediction.',
      resolve: async (prediction, _args, { loaders }) =>
        (await isValue(prediction, loaders)) ? numberOf(prediction) : null,
    }),
    payload: t.field({
      type: PayloadEnum,
      description: 'Whether `inputs` and `outputs` were kept, or why not.',
      resolve: ({ request }) => request.payload,
    }),
    inputs: t.field({
      type: 'JSON',
      nullable: true,
      description:
        'What went in, by column, or by input where the version names no columns; redacted ones are not there, a missing ' +
        'value is "NaN". null where `payload` is not LOGGED.',
      resolve: async (prediction, _args, { loaders }) =>
        (await payloadOf(prediction, loaders))?.inputs(prediction.row) ?? null,
    }),
    outputs: t.field({
      type: 'JSON',
      nullable: true,
      description: 'What came out, by output. null where `payload` is not LOGGED, or `error` tells why.',
      resolve: async (prediction, _args, { loaders }) =>
        (await payloadOf(prediction, loaders))?.outputs(prediction.row) ?? null,
    }),
    why: t.field({
      type: ProvenanceType,
      description: 'Who and what is behind it.',
      resolve: (prediction) => prediction,
    }),
  }),
});

const PredictionConnection = builder.connectionObject(
  { type: PredictionType, name: 'PredictionConnection', description: 'A page of predictions.' },
  { name: 'PredictionEdge', description: 'A prediction in a page.' },
);

const FilterInput = builder.inputType('PredictionFilter', {
  description: 'Which predictions: all that is given must hold.',
  fields: (t) => ({
    arm: t.string({ description: 'Answered by the arm of this name.' }),
    version: t.id({ description: 'Answered by the version of this global id.' }),
    slowerThanMs: t.float({ description: 'Took more milliseconds than that.' }),
    failed: t.boolean({ description: 'true: ended with an error; false: was answered.' }),
    label: t.field({ type: TagInput, description: 'Was asked with this label.' }),
  }),
});

/** As text is kept; what PostgreSQL cannot hold is nowhere, and finds nothing. */
const storable = (text: string): string => sought(text.toWellFormed());

function filterOf(given: typeof FilterInput.$inferInput | null | undefined): PredictionFilter {
  const { arm, version, slowerThanMs, failed, label } = given ?? {};
  for (const text of [arm, label?.key, label?.value]) if (text) checkCharacters(['filter'], text, 1_000);
  return {
    arm: arm ? storable(arm) : undefined,
    versionId: version ? idOf(['filter', 'version'], 'Version', version) : undefined,
    slowerThanMs: slowerThanMs ?? undefined,
    failed: failed ?? undefined,
    label: label ? { key: storable(label.key), value: storable(label.value) } : undefined,
  };
}

builder.objectField(DeploymentType, 'predictions', (t) =>
  t.field({
    type: PredictionConnection,
    description:
      'What it has predicted, newest request first, the rows of a request in their order. A page looks at 20,000 requests at ' +
      'most: behind a filter that lets little pass it may hold fewer than asked for, even none, and still have a next page.',
    args: {
      first: t.arg.int({ defaultValue: 20, description: pageArgs.first }),
      after: t.arg.string({ description: pageArgs.after }),
      filter: t.arg({ type: FilterInput, description: 'Which; without it all.' }),
    },
    complexity: pageCost,
    resolve: async (deployment, { first, after, filter }, { platform }) => {
      const page = await listPredictions(platform, deployment, { first, after }, filterOf(filter));
      const { edges, pageInfo } = connectionOf(page, keyOf);
      return page.end === null
        ? { edges, pageInfo }
        : { edges, pageInfo: { ...pageInfo, endCursor: toCursor(page.end) } };
    },
  }),
);
