/** How often candidates answered as the stable arm did. */
import { listAgreements, type Agreement } from '#src/rollout/agreement.ts';
import { predictionOf } from '#src/prediction/logged.ts';
import { parsePredictionId } from '#src/prediction/prediction-id.ts';
import { ArmType } from './arm.ts';
import { builder } from './builder.ts';
import { DeploymentType } from './deployment.ts';
import { PredictionType } from './logged-prediction.ts';
import { RolloutType } from './rollout.ts';

const TimeRangeInput = builder.inputType('TimeRange', {
  description: 'A time.',
  fields: (t) => ({
    from: t.field({ type: 'DateTime', required: true, description: 'Its beginning.' }),
    to: t.field({ type: 'DateTime', required: true, description: 'Its end, later.' }),
  }),
});

const AgreementType = builder.objectRef<Agreement>('ArmAgreement').implement({
  description: 'How often a candidate answered as the stable arm did, on the same requests.',
  fields: (t) => ({
    rollout: t.field({
      type: RolloutType,
      description: 'The rollout that it was the candidate of.',
      resolve: async ({ rolloutId }, _args, { loaders }) => (await loaders.rollout.load(rolloutId))!,
    }),
    candidate: t.field({
      type: ArmType,
      description: 'The arm that the copies went to; one that is out of service too.',
      resolve: async ({ candidateArmId }, _args, { loaders }) => (await loaders.arm.load(candidateArmId))!,
    }),
    requests: t.expose('requests', { type: 'BigInt', description: 'Requests whose answers were compared.' }),
    disagreements: t.expose('disagreements', {
      type: 'BigInt',
      description: 'Those that it answered otherwise.',
    }),
    dropped: t.expose('dropped', {
      type: 'BigInt',
      description: 'Copies that were not made, or given up, so that no caller waits.',
    }),
    rate: t.exposeFloat('rate', {
      nullable: true,
      description: '`disagreements` over `requests`; null without any.',
    }),
    interval95: t.field({
      type: ['Float'],
      nullable: true,
      description: 'Within which the rate lies with 95 % confidence (Wilson), looked at once.',
      resolve: ({ interval95 }) => interval95 && [...interval95],
    }),
    examples: t.field({
      type: [PredictionType],
      description:
        'Predictions of the stable arm with which it disagreed, 20 at most; those that are no longer in the log are left out.',
      resolve: async ({ examples }, _args, { loaders }) => {
        const found = await Promise.all(
          examples.map(async (example) => {
            const { requestId, row } = parsePredictionId(example) ?? {};
            const request =
              requestId === undefined ? undefined : await loaders.predictionRequest.load(requestId);
            return request && row! < request.rows ? [predictionOf(request, row!)] : [];
          }),
        );
        return found.flat();
      },
    }),
  }),
});

builder.objectField(DeploymentType, 'agreement', (t) =>
  t.field({
    type: [AgreementType],
    description:
      "How the candidates of its rollouts answered the stable arm's requests, newest rollout first, 20 at most.",
    args: {
      range: t.arg({
        type: TimeRangeInput,
        required: true,
        description: 'When, to the minute; 31 days at most.',
      }),
    },
    complexity: { field: 5, multiplier: 20 },
    resolve: (deployment, { range }, { platform }) => listAgreements(platform, deployment.id, range),
  }),
);
