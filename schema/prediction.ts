import type { Predicted } from '#src/prediction/prediction.ts';
import { ModelError } from '#src/prediction/prediction.errors.ts';
import {
  ConflictError,
  DeadlineExceededError,
  ForbiddenError,
  NotFoundError,
  NotReadyError,
  OverloadedError,
  ValidationError,
} from '#src/platform/errors.ts';
import type { TensorInput as TensorValue } from '#src/tensor/parse.ts';
import { jsonData } from '#src/tensor/json.ts';
import { rowResults, type ClassProbability, type RowResult } from '#src/tensor/results.ts';
import type { NamedTensor } from '#src/tensor/tensor.ts';
import { builder } from './builder.ts';
import { refOf } from './global-id.ts';
import { DatatypeEnum } from './signature.ts';
import { TagInput } from './tag.ts';
import { VersionType } from './version.ts';

const finite = (value: number | string | null): number | null => (typeof value === 'number' ? value : null);

const LatencyType = builder.objectRef<Predicted['latency']>('PredictionLatency').implement({
  description: 'Where the time went.',
  fields: (t) => ({
    totalMs: t.exposeFloat('totalMs', { description: 'All of it, as the api saw it, in milliseconds.' }),
    queueMs: t.exposeFloat('queueMs', { description: 'Waiting in the replica, in milliseconds.' }),
    computeMs: t.exposeFloat('computeMs', { description: 'The run of the model, in milliseconds.' }),
    batchSize: t.exposeInt('batchSize', {
      description: 'Rows in that run, those of other requests included.',
    }),
  }),
});

const ClassProbabilityType = builder.objectRef<ClassProbability>('ClassProbability').implement({
  description: 'A class and its probability.',
  fields: (t) => ({
    class: t.exposeString('class', { description: "The class's name." }),
    probability: t.float({
      nullable: true,
      description: 'Its probability; null where the model answered NaN or an infinity.',
      resolve: ({ probability }) => finite(probability),
    }),
  }),
});

const TensorType = builder.objectRef<NamedTensor>('NamedTensor').implement({
  description: 'A tensor that came out.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name.' }),
    datatype: t.expose('datatype', { type: DatatypeEnum, description: 'Type of its elements.' }),
    shape: t.intList({
      description: 'Its dimensions, outermost first.',
      resolve: (tensor) => [...tensor.shape],
    }),
    data: t.field({
      type: 'Tensor',
      description: 'Its values, flat, in row-major order.',
      resolve: (tensor) => jsonData(tensor),
    }),
  }),
});

interface Row {
  readonly id: string;
  readonly result: RowResult;
}

const RowType = builder.objectRef<Row>('PredictedRow').implement({
  description: 'The prediction for one row.',
  fields: (t) => ({
    predictionId: t.exposeID('id', {
      description:
        'Names this prediction: `<requestId>:<row>`. `node` takes it; the log has it about a second later.',
    }),
    label: t.string({
      nullable: true,
      description: 'The class; null where the version has none.',
      resolve: ({ result }) => result.label,
    }),
    probability: t.float({
      nullable: true,
      description:
        'Probability of the positive class where there are two classes, else of the label; null where there is none.',
      resolve: ({ result }) => finite(result.probability),
    }),
    probabilities: t.field({
      type: [ClassProbabilityType],
      nullable: true,
      description: "Every class's probability, in the signature's order; null where the version has none.",
      resolve: ({ result }) => result.probabilities,
    }),
    value: t.float({
      nullable: true,
      description: 'The number that a regression predicts; null for other tasks.',
      resolve: ({ result }) => finite(result.value),
    }),
    outputs: t.field({
      type: 'JSON',
      description: "This row of every output, by the output's name.",
      resolve: ({ result }) => result.outputs,
    }),
  }),
});

const PayloadType = builder.objectRef<Predicted>('PredictPayload').implement({
  description: 'What the model answered.',
  fields: (t) => ({
    requestId: t.exposeID('requestId', { description: 'Names this request (UUIDv7).' }),
    version: t.expose('version', { type: VersionType, description: 'The version that answered.' }),
    arm: t.exposeString('arm', { description: 'The arm that answered.' }),
    rows: t.field({
      type: [RowType],
      description: 'A prediction per row, in the order of the request.',
      resolve: ({ requestId, signature, tensors, rowCount }) =>
        rowResults(signature, tensors, rowCount).map((result, index) => ({
          id: `${requestId}:${index}`,
          result,
        })),
    }),
    tensors: t.field({
      type: [TensorType],
      description: 'The outputs as they came.',
      resolve: ({ tensors }) => [...tensors],
    }),
    latency: t.expose('latency', { type: LatencyType, description: 'Where the time went.' }),
    warnings: t.stringList({
      description: 'What to know about the answer.',
      resolve: ({ warnings }) => [...warnings],
    }),
  }),
});

const TensorInput = builder.inputType('TensorInput', {
  description: 'A tensor that goes in.',
  fields: (t) => ({
    name: t.string({ required: true, description: "The input's name." }),
    shape: t.intList({ description: 'Its dimensions; without them, as `data` is nested.' }),
    datatype: t.field({
      type: DatatypeEnum,
      description: "Type of its elements; without it the signature's.",
    }),
    data: t.field({ type: 'Tensor', required: true, description: 'Its values.' }),
  }),
});

const PredictInputType = builder.inputType('PredictInput', {
  description: 'What to predict: either rows or tensors.',
  fields: (t) => ({
    deployment: t.id({ required: true, description: "The deployment's global id, or `project/name`." }),
    rows: t.field({ type: ['Row'], description: 'Rows by column names.' }),
    tensors: t.field({ type: [TensorInput], description: 'Every input of the version as a tensor.' }),
    outputs: t.stringList({ description: 'Outputs to compute; without it all.' }),
    routingKey: t.string({
      description:
        'Requests with the same key (1 to 256 characters, such as a user) are answered by the same arm, as long as its share does not shrink past the key.',
    }),
    labels: t.field({
      type: [TagInput],
      description: 'To find it by in the log, such as the campaign that it is for.',
    }),
    idempotencyKey: t.string({
      description:
        'Names this request: asked again within a day with the same key, it is answered as the first time, by the same ' +
        'requestId, and not run again. 1 to 200 visible ASCII characters. A request that failed may be tried again with its ' +
        'key; another request with the key is a ConflictError.',
    }),
    timeoutMs: t.int({ description: 'Longest to wait, in milliseconds; without it PREDICT_TIMEOUT_MS.' }),
  }),
});

builder.mutationField('predict', (t) =>
  t.field({
    type: PayloadType,
    description:
      'Asks a deployment. Counted in its metrics, and logged as `logging` of the deployment says. Needs READER.',
    errors: {
      types: [
        ValidationError,
        NotFoundError,
        NotReadyError,
        OverloadedError,
        DeadlineExceededError,
        ModelError,
        ForbiddenError,
        ConflictError,
      ],
    },
    args: { input: t.arg({ type: PredictInputType, required: true, description: 'What to predict.' }) },
    resolve: (_root, { input }, { services, viewer }) =>
      services.predictor.predict(viewer, {
        ...input,
        tensors: input.tensors as readonly TensorValue[] | null | undefined,
        deployment: refOf(['deployment'], 'Deployment', input.deployment),
      }),
  }),
);
