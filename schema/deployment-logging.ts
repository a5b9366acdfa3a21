/** How predictions of a deployment are logged. */
import type { Deployment } from '#src/deployment/deployment.ts';
import { updateDeployment } from '#src/deployment/update.ts';
import { builder } from './builder.ts';
import { DeploymentType } from './deployment.ts';
import { expected } from './errors.ts';
import { refOf } from './global-id.ts';
import { RolloutStrategyEnum } from './rollout.ts';

export const LoggingInput = builder.inputType('PredictionLoggingInput', {
  description: 'How to log predictions; what is not given stays as it is, or is the default.',
  fields: (t) => ({
    sampleRate: t.float({
      description: 'Share of the requests whose inputs and outputs are kept, 0 to 1. Default: 1.',
    }),
    redact: t.stringList({
      description:
        'Columns (inputs, where the version names no columns) whose values are not written down. Default: none.',
    }),
    retentionDays: t.int({ description: 'Days that predictions stay: 1, 7, 30, 90 or 365. Default: 30.' }),
  }),
});

const LoggingType = builder.objectRef<Deployment>('PredictionLogging').implement({
  description:
    'How predictions are logged. Every request is, in short; a share of them with inputs and outputs.',
  fields: (t) => ({
    sampleRate: t.exposeFloat('logSampleRate', {
      description: 'Share of the requests whose inputs and outputs are kept, 0 to 1.',
    }),
    redact: t.exposeStringList('logRedact', {
      description:
        'Columns (inputs, where the version names no columns) whose values are not written down. They never leave the api.',
    }),
    retentionDays: t.exposeInt('logRetentionDays', {
      description:
        'Days that a prediction stays; it goes with the end of its day (UTC). Each stays for as long as was said when it was ' +
        'made.',
    }),
    dropped: t.field({
      type: 'BigInt',
      description:
        'Requests that are not in the log, because there were too many (PREDICTION_LOG_PER_SECOND), or because the database ' +
        'was away; to about a second. Of what was too much an unbiased sample was kept.',
      resolve: async ({ id }, _args, { loaders }) => (await loaders.dropped.load(id))[0]?.dropped ?? 0n,
    }),
  }),
});

builder.objectField(DeploymentType, 'logging', (t) =>
  t.field({
    type: LoggingType,
    description: 'How its predictions are logged.',
    resolve: (deployment) => deployment,
  }),
);

const UpdateDeploymentInput = builder.inputType('UpdateDeploymentInput', {
  description: 'What to change of a deployment; what is not given stays.',
  fields: (t) => ({
    deployment: t.id({ required: true, description: 'Its global id, or `project/name`.' }),
    logging: t.field({ type: LoggingInput, description: 'How its predictions are logged from now on.' }),
    follows: t.string({
      description:
        'An alias such as `fraud@champion`: whenever it moves, and at once where it stands for another version, a rollout of `defaultStrategy` begins; whoever may move it then deploys, so protect it where that shall need OPERATOR. null: none is followed any more.',
    }),
    defaultStrategy: t.field({
      type: RolloutStrategyEnum,
      description: 'The strategy of rollouts for which none is named.',
    }),
  }),
});

builder.mutationField('updateDeployment', (t) =>
  t.field({
    type: DeploymentType,
    description:
      'Changes what is written beside a deployment. Logging changes within about a second, for what is predicted from then ' +
      'on. Needs OPERATOR.',
    errors: { types: expected.change },
    args: { input: t.arg({ type: UpdateDeploymentInput, required: true, description: 'Which, and what.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      updateDeployment(platform, viewer, {
        deployment: refOf(['deployment'], 'Deployment', input.deployment),
        logging: input.logging ?? null,
        follows: input.follows,
        defaultStrategy: input.defaultStrategy ?? null,
      }),
  }),
);
