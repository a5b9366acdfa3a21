/** Predicting, with every field of the answer. */
import type { Call, Installation } from './installation.ts';
import type { Answer, Variables } from './client.ts';

export interface Tensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: readonly unknown[];
}

export interface PredictedRow {
  readonly predictionId: string;
  readonly label: string | null;
  readonly probability: number | null;
  readonly probabilities: readonly { readonly class: string; readonly probability: number | null }[] | null;
  readonly value: number | null;
  readonly outputs: Readonly<Record<string, unknown>>;
}

export interface Prediction {
  readonly __typename: 'PredictPayload';
  readonly requestId: string;
  readonly arm: string;
  readonly version: { readonly id: string };
  readonly rows: readonly PredictedRow[];
  readonly tensors: readonly Tensor[];
  readonly warnings: readonly string[];
  readonly latency: Readonly<Record<'totalMs' | 'queueMs' | 'computeMs' | 'batchSize', number>>;
}

export interface Issue {
  readonly path: readonly string[];
  readonly expected: string | null;
  readonly found: string | null;
  readonly message: string;
}

/** An expected error; the fields behind `hint` are there where the type has them. */
export interface Refusal {
  readonly __typename: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
  readonly issues?: readonly Issue[];
  readonly what?: string;
  readonly retryAfterMs?: number | null;
  readonly timeoutMs?: number;
}

const query = `mutation ($input: PredictInput!) {
  result: predict(input: $input) {
    __typename
    ... on PredictPayload {
      requestId arm warnings version { id } latency { totalMs queueMs computeMs batchSize }
      rows { predictionId label probability value outputs probabilities { class probability } }
      tensors { name datatype shape data }
    }
    ... on Error { code message hint }
    ... on ValidationError { issues { path expected found message } }
    ... on NotFoundError { what }
    ... on NotReadyError { retryAfterMs }
    ... on DeadlineExceededError { timeoutMs }
  }
}`;

/** Whatever the api answers. */
export function sendPredict(
  installation: Installation,
  input: Variables,
  call?: Call,
): Promise<Answer<{ readonly result: Prediction | Refusal }>> {
  return installation.gql(query, { input }, call);
}

export async function resultOf(
  installation: Installation,
  input: Variables,
  call?: Call,
): Promise<Prediction | Refusal> {
  const { body, status } = await sendPredict(installation, input, call);
  if (!body.data) throw new Error(`predict answers HTTP ${status}: ${JSON.stringify(body)}`);
  return body.data.result;
}

/** The prediction. @throws Error when it is refused. */
export async function predict(
  installation: Installation,
  input: Variables,
  call?: Call,
): Promise<Prediction> {
  const result = await resultOf(installation, input, call);
  if (result.__typename === 'PredictPayload') return result as Prediction;
  throw new Error(`predict answers ${JSON.stringify(result)}.`);
}

/** The refusal of a prediction. @throws Error when it is answered. */
export async function refusal(installation: Installation, input: Variables, call?: Call): Promise<Refusal> {
  const result = await resultOf(installation, input, call);
  if (result.__typename !== 'PredictPayload') return result as Refusal;
  throw new Error(`predict answers ${JSON.stringify(result)}.`);
}
