import { ConflictError, NotReadyError } from '#src/platform/errors.ts';
import { rollBack, steer } from '#src/rollout/rollout.ts';
import type { Verb } from '#src/rollout/rollout.state.ts';
import { startRollout } from '#src/rollout/start.ts';
import { builder } from './builder.ts';
import { expected } from './errors.ts';
import { GateInput, gateOf } from './gate.ts';
import { refOf } from './global-id.ts';
import { RolloutStrategyEnum, RolloutType } from './rollout.ts';

const RolloutStepInput = builder.inputType('RolloutStepInput', {
  description: 'A share of the traffic, and for how long it is watched.',
  fields: (t) => ({
    weight: t.float({
      required: true,
      description:
        "The candidate's share of the traffic. CANARY: one step of at most 0.5. LINEAR: 0.1 to 0.5 more at each step, below 1. ALL_AT_ONCE: 1. SHADOW: 0.",
    }),
    bakeSeconds: t.int({ required: true, description: 'Seconds that it is watched, 0 to 3600.' }),
  }),
});
const StartRolloutInput = builder.inputType('StartRolloutInput', {
  description: 'How to move a deployment to another version.',
  fields: (t) => ({
    deployment: t.id({ required: true, description: 'Its global id, or `project/name`.' }),
    version: t.field({
      type: 'VersionRef',
      required: true,
      description:
        'What shall answer: a version of the project that is READY, and takes and answers what the present one does.',
    }),
    strategy: t.field({ type: RolloutStrategyEnum, description: "How; the deployment's own without it." }),
    steps: t.field({
      type: [RolloutStepInput],
      description:
        'Without them, CANARY: 0.1 for 300 s. LINEAR: 0.25, 0.5 and 0.75 for 120 s each. ALL_AT_ONCE: 60 s. SHADOW: 300 s.',
    }),
    gates: t.field({
      type: [GateInput],
      description:
        'What to judge it by, 1 to 10. Without them: errors, invalid outputs, p95 latency, disagreement on mirrored requests and the distribution of answers, as far as the strategy and the model have them; `Rollout.gates` shows which.',
    }),
    mirrorShare: t.float({
      description:
        "Share of the stable arm's requests that are copied to the candidate too, 0 to 1. Without it 0.1, with SHADOW 1, with ALL_AT_ONCE 0.",
    }),
    timeoutSeconds: t.int({
      description:
        'Seconds within which it must be through: 30 more than the steps bake, 604800 at most. Without it four times what the steps bake, an hour at least.',
    }),
    expectedVersion: t.field({
      type: 'VersionRef',
      description: 'The version that you believe answers now; where another one does, nothing is begun.',
    }),
  }),
});
const RollBackInput = builder.inputType('RollBackInput', {
  description: 'A deployment to take back to an earlier version.',
  fields: (t) => ({
    deployment: t.id({ required: true, description: 'Its global id, or `project/name`.' }),
    to: t.field({
      type: 'VersionRef',
      description: 'Which version shall answer again; the one before the last rollout without it.',
    }),
  }),
});

const change = [...expected.change, ConflictError];

builder.mutationFields((t) => ({
  startRollout: t.field({
    type: RolloutType,
    description:
      'Begins to move a deployment to another version: watch subscription `rollout`. All other arms are out of service once it has SUCCEEDED, except after a SHADOW. Needs OPERATOR.',
    errors: { types: [...expected.create, NotReadyError] },
    args: { input: t.arg({ type: StartRolloutInput, required: true, description: 'What, and how.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      startRollout(platform, viewer, {
        deployment: refOf(['deployment'], 'Deployment', input.deployment),
        version: refOf(['version'], 'Version', input.version),
        strategy: input.strategy ?? null,
        steps: input.steps,
        gates: input.gates?.map(gateOf) ?? null,
        mirrorShare: input.mirrorShare,
        timeoutSeconds: input.timeoutSeconds,
        expectedVersion:
          (input.expectedVersion ?? null) === null
            ? null
            : refOf(['expectedVersion'], 'Version', input.expectedVersion!),
      }),
  }),
  rollBack: t.field({
    type: RolloutType,
    description:
      'Takes a deployment back: the rollout that runs, else to the version before the last rollout, or to another one, with all of the traffic as soon as it is ready. Needs OPERATOR.',
    errors: { types: [...expected.create, NotReadyError] },
    args: { input: t.arg({ type: RollBackInput, required: true, description: 'Which, and to what.' }) },
    resolve: (_root, { input }, { platform, viewer }) =>
      rollBack(platform, viewer, {
        deployment: refOf(['deployment'], 'Deployment', input.deployment),
        to: (input.to ?? null) === null ? null : refOf(['to'], 'Version', input.to!),
      }),
  }),
}));

/** Adds the mutation of a verb that needs nothing but the rollout. */
function addVerb(verb: Verb, description: string): void {
  const name = `${verb}Rollout`;
  const input = builder.inputType(`${name.charAt(0).toUpperCase()}${name.slice(1)}Input`, {
    description: `A rollout to ${verb}.`,
    fields: (t) => ({
      rollout: t.id({
        required: true,
        description: 'Its global id, or `project/name` of its deployment: the one that runs there.',
      }),
    }),
  });
  builder.mutationField(name, (t) =>
    t.field({
      type: RolloutType,
      description: `${description} Needs OPERATOR.`,
      errors: { types: change },
      args: { input: t.arg({ type: input, required: true, description: 'Which.' }) },
      resolve: (_root, args, { platform, viewer }) =>
        steer(platform, viewer, refOf(['rollout'], 'Rollout', args.input.rollout), verb),
    }),
  );
}

addVerb(
  'pause',
  'Holds a rollout at its share of the traffic, until it is resumed; a gate still takes it back.',
);
addVerb('resume', 'Lets a paused rollout go on where it was.');
addVerb(
  'promote',
  'Gives all of the traffic to the candidate now, whatever the gates say and the steps that are left; of a SHADOW too.',
);
addVerb('abort', 'Gives all of the traffic back to what answered before, at once.');
