/** Reading the prediction log. Row n of a request is the prediction `<request>:<n>`. */
import type { DeploymentRow } from '../deployment/deployment.queries.ts';
import { numberAfter, toPageRequest, type Page, type PageArgs } from '../paging/paging.ts';
import { ValidationError } from '../platform/errors.ts';
import { isId, timeOfId } from '../platform/id.ts';
import type { Platform } from '../platform/platform.ts';
import type { Signature } from '../signature/signature.ts';
import { unpackTensors } from '../tensor/packed.ts';
import { rowResults } from '../tensor/results.ts';
import type { NamedTensor } from '../tensor/tensor.ts';
import { findVersions } from '../version/version.queries.ts';
import { inputsOf } from './log.entry.ts';
import * as queries from './logged.queries.ts';

export type { PredictionFilter } from './logged.queries.ts';

/** One row of a request. */
export interface LoggedPrediction {
  readonly id: string;
  readonly request: queries.LoggedRequest;
  /** From 0. */
  readonly row: number;
}

export function predictionOf(request: queries.LoggedRequest, row: number): LoggedPrediction {
  return { id: `${request.id}:${row}`, request, row };
}

/** The tensors of a request. */
export interface Payload {
  readonly requestId: string;
  /** One row of the inputs. */
  inputs(row: number): Record<string, unknown> | null;
  /** One row of the outputs. */
  outputs(row: number): Record<string, unknown> | null;
}

/** Payloads of those requests that have one. */
export async function listPayloads({ db }: Pick<Platform, 'db'>, ids: readonly string[]): Promise<Payload[]> {
  const packed = await queries.findPackedPayloads(db, ids);
  const versionIds = [...new Set(packed.map(({ versionId }) => versionId))];
  const versions = versionIds.length === 0 ? [] : await findVersions(db, versionIds);
  const signatures = new Map(versions.map(({ id, signature }) => [id, signature]));
  return packed.flatMap((each) => {
    const signature = signatures.get(each.versionId);
    return signature ? [payloadOf(each, signature)] : [];
  });
}

function payloadOf(
  { requestId, rows, redacted, inputs, outputs }: queries.PackedPayload,
  signature: Signature,
): Payload {
  const given = inputs && unpackTensors(signature.inputs, inputs);
  const answered = outputs && unpackTensors(signature.outputs, outputs);
  return {
    requestId,
    inputs: (row) => given && inputsOf(signature, row, rows, given, redacted ?? []),
    outputs: (row) => answered && outputsOf(signature, answered, row, rows),
  };
}

function outputsOf(
  signature: Signature,
  outputs: readonly NamedTensor[],
  row: number,
  rows: number,
): Record<string, unknown> {
  return rowResults(signature, outputs, rows)[row]?.outputs ?? {};
}

export interface PredictionPage extends Page<LoggedPrediction> {
  /** Where the page ends, when that is behind its last item: there was too much to look at. */
  readonly end: readonly string[] | null;
}

/** Most requests that one page looks at, for those that its filter lets pass. */
const MOST_LOOKED_AT = 20_000;
const DAY_MS = 86_400_000;
/** Looked at first: a few partitions; all of them only where those hold too little. */
const RECENT_MS = 2 * DAY_MS;
const LAST_ROW = 1_000_000_000n;

/**
 * A page of a deployment's predictions, newest request first, its rows in their order. One with a filter that lets little
 * pass may hold fewer than asked for, even none, and still have a next page: it has looked at as much as one page may.
 */
export async function listPredictions(
  platform: Pick<Platform, 'db'>,
  deployment: DeploymentRow,
  args: PageArgs,
  filter: queries.PredictionFilter,
): Promise<PredictionPage> {
  const request = toPageRequest(args, 2);
  const after = positionOf(request);
  const found = await requestsFrom(platform, deployment, filter, after?.requestId, request.first + 1);
  const items = found.requests.flatMap((each) => {
    const from = each.id === after?.requestId ? after.row + 1 : 0;
    const end = Math.min(each.rows, from + request.first + 1);
    return Array.from({ length: Math.max(0, end - from) }, (_, index) => predictionOf(each, from + index));
  });
  const more = items.length > request.first;
  return {
    items: items.slice(0, request.first),
    hasNextPage: more || found.lookedTo !== null,
    hasPreviousPage: request.after !== undefined,
    end: more || found.lookedTo === null ? null : [found.lookedTo, String(LAST_ROW)],
  };
}

export const keyOf = ({ request, row }: LoggedPrediction): string[] => [request.id, String(row)];

function positionOf(
  request: ReturnType<typeof toPageRequest>,
): { requestId: string; row: number } | undefined {
  const requestId = request.after?.[0];
  if (requestId === undefined) return undefined;
  const row = numberAfter(request, 1, LAST_ROW);
  if (row === undefined || !isId(requestId) || Number.isNaN(timeOfId(requestId).getTime()))
    throw ValidationError.of(
      ['after'],
      'a cursor from pageInfo.endCursor of this connection',
      'something else',
    );
  return { requestId, row: Number(row) };
}

/** At most `limit` requests that match, from one on; and where the looking was ended early, if it was. */
async function requestsFrom(
  { db }: Pick<Platform, 'db'>,
  deployment: DeploymentRow,
  filter: queries.PredictionFilter,
  from: string | undefined,
  limit: number,
): Promise<{ requests: queries.LoggedRequest[]; lookedTo: string | null }> {
  // Ids may run ahead of the clock a little.
  const newest = from
    ? { at: timeOfId(from), id: from }
    : { at: new Date(Date.now() + DAY_MS), id: 'ffffffff-ffff-ffff-ffff-ffffffffffff' };
  const { id: deploymentId, projectId, logRetentionDaysUsed: retentions, createdAt } = deployment;
  const longest = Date.now() - (Math.max(...retentions) + 1) * DAY_MS;
  const oldest = Math.max(createdAt.getTime() - DAY_MS, longest);
  const stretch = { deploymentId, projectId, retentions, newest, look: MOST_LOOKED_AT };
  for (const since of [Math.max(oldest, newest.at.getTime() - DAY_MS - RECENT_MS), oldest]) {
    // One more: the request from which a page starts may have no row left.
    const rows = await queries.listRequests(db, filter, {
      ...stretch,
      since: new Date(since),
      limit: limit + 1,
    });
    const requests = rows.filter(({ matched }) => matched);
    const isFull = requests.length > limit;
    const last = rows.at(-1);
    if (!isFull && last?.place === MOST_LOOKED_AT) return { requests, lookedTo: last.id };
    if (isFull || since === oldest) return { requests, lookedTo: null };
  }
  return { requests: [], lookedTo: null };
}
