import { requireRole } from '#src/access/access.ts';
import { resolveDeployment } from '#src/deployment/deployment.ts';
import { steps, withGap, type ErrorCounts, type MetricFrame, type MetricPoint } from '#src/metric/frame.ts';
import type { LatencyQuantiles } from '#src/metric/window.ts';
import { ValidationError } from '#src/platform/errors.ts';
import { builder } from './builder.ts';
import { refOf } from './global-id.ts';
import { liveSource } from './live/live-source.ts';

const StepEnum = builder.enumType('Step', {
  description: 'How long a step is.',
  values: { SECOND: { description: 'One second.' }, MINUTE: { description: 'One minute.' } } satisfies Record<
    (typeof steps)[number],
    { description: string }
  >,
});

const ErrorCountsType = builder.objectRef<ErrorCounts>('ErrorCounts').implement({
  description: 'Failed requests by whose fault it was.',
  fields: (t) => ({
    client: t.field({ type: 'BigInt', description: "The caller's bad input.", resolve: (e) => e.client }),
    model: t.field({
      type: 'BigInt',
      description: 'The model failed, or answered NaN or an infinity.',
      resolve: (e) => e.model,
    }),
    server: t.field({
      type: 'BigInt',
      description: 'No replica could be reached, or not in time.',
      resolve: (e) => e.server,
    }),
    shed: t.field({
      type: 'BigInt',
      description: 'Refused, to protect what was accepted.',
      resolve: (e) => e.shed,
    }),
  }),
});

const LatencyType = builder.objectRef<LatencyQuantiles>('LatencyQuantiles').implement({
  description:
    'How long requests took, in milliseconds, to 1 % (the maximum is exact); null without requests.',
  fields: (t) => ({
    p50: t.exposeFloat('p50', { nullable: true, description: 'Half of them took at most this, in ms.' }),
    p90: t.exposeFloat('p90', { nullable: true, description: '90 % took at most this, in ms.' }),
    p95: t.exposeFloat('p95', { nullable: true, description: '95 % took at most this, in ms.' }),
    p99: t.exposeFloat('p99', { nullable: true, description: '99 % took at most this, in ms.' }),
    max: t.exposeFloat('max', { nullable: true, description: 'The longest, in ms.' }),
  }),
});

const PointType = builder.objectRef<MetricPoint>('MetricPoint').implement({
  description: 'One arm over one step.',
  fields: (t) => ({
    at: t.expose('at', { type: 'DateTime', description: 'Start of the step.' }),
    seconds: t.exposeInt('seconds', { description: 'Length of the step in seconds.' }),
    arm: t.exposeString('arm', { description: "The arm's name." }),
    requests: t.field({
      type: 'BigInt',
      description: 'Requests that ended in the step.',
      resolve: (p) => p.requests,
    }),
    errors: t.expose('errors', { type: ErrorCountsType, description: 'Those that failed.' }),
    requestsPerSecond: t.exposeFloat('requestsPerSecond', { description: 'Requests per second.' }),
    errorRate: t.exposeFloat('errorRate', {
      description: 'Share of requests that the model or the server failed, 0 to 1.',
    }),
    latencyMs: t.expose('latencyMs', {
      type: LatencyType,
      description: 'How long they took, in milliseconds.',
    }),
    rowsPerSecond: t.exposeFloat('rowsPerSecond', { description: 'Rows per second.' }),
    inFlight: t.exposeInt('inFlight', { description: "Requests under way at the step's end." }),
    partial: t.exposeBoolean('partial', {
      description: 'Whether counts of this step are known to be missing.',
    }),
  }),
});

const FrameType = builder.objectRef<MetricFrame>('MetricFrame').implement({
  description: 'All arms of a deployment over one step.',
  fields: (t) => ({
    at: t.expose('at', { type: 'DateTime', description: 'Start of the step.' }),
    closedAt: t.expose('closedAt', {
      type: 'DateTime',
      description: 'When the api closed the step, about 1.5 s after its end; what came later is not in it.',
    }),
    gapBefore: t.exposeBoolean('gapBefore', {
      description: 'Whether frames before this one were left out, because you read too slowly.',
    }),
    arms: t.field({ type: [PointType], description: 'By name.', resolve: (frame) => [...frame.arms] }),
  }),
});

const MAX_BACKFILL = 120;

builder.subscriptionField('deploymentMetrics', (t) =>
  t.field({
    type: FrameType,
    description: 'Live metrics: first the past, then one frame a step, also without traffic.',
    args: {
      deployment: t.arg.id({ required: true, description: "The deployment's global id, or `project/name`." }),
      step: t.arg({ type: StepEnum, defaultValue: 'SECOND', description: 'How long a step is.' }),
      backfillSeconds: t.arg.int({
        defaultValue: 60,
        description: 'How much of the past to begin with, 0 to 120 seconds.',
      }),
    },
    subscribe: async (_root, args, { platform, viewer, services: { live } }) => {
      const backfillSeconds = args.backfillSeconds ?? 60;
      if (backfillSeconds < 0 || backfillSeconds > MAX_BACKFILL) {
        throw ValidationError.of(['backfillSeconds'], `0 to ${MAX_BACKFILL}`, String(backfillSeconds));
      }
      const ref = refOf(['deployment'], 'Deployment', args.deployment);
      const deployment = await resolveDeployment(platform, viewer, ['deployment'], ref);
      requireRole(viewer, deployment.projectId, 'READER', 'Deployment');
      await live.ready;
      const options = { step: args.step ?? 'SECOND', backfillSeconds };
      return liveSource({
        past: () => live.past(deployment.id, options),
        live: (signal) => live.frames(deployment.id, { ...options, backfillSeconds: 0, signal }),
        at: (frame) => frame.at.getTime(),
        markGap: withGap,
      });
    },
    resolve: (frame: MetricFrame) => frame,
  }),
);
