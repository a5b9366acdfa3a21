/** What differs between two versions. */
import { isDeepStrictEqual } from 'node:util';
import type { Platform } from '../platform/platform.ts';
import { compareSignatures, type Change, type SignatureComparison } from '../signature/compatibility.ts';
import { findVersions, listArtifacts, listMetrics, type ArtifactRow } from './version.queries.ts';
import type { ListedVersion, VersionRow } from './version.row.ts';

export const changeKinds = ['ADDED', 'REMOVED', 'CHANGED', 'SAME'] as const;
export type ChangeKind = (typeof changeKinds)[number];

export interface MetricChange {
  readonly name: string;
  readonly before: number | null;
  readonly after: number | null;
}

export interface ArtifactChange {
  readonly path: string;
  readonly change: ChangeKind;
  readonly bytesBefore: bigint | null;
  readonly bytesAfter: bigint | null;
}

export interface VersionDiff {
  readonly from: VersionRow;
  readonly to: VersionRow;
  readonly metadata: readonly Change[];
  readonly tags: readonly Change[];
  /** null where one of them has none (yet). */
  readonly signature: SignatureComparison | null;
  readonly metrics: readonly MetricChange[];
  readonly artifacts: readonly ArtifactChange[];
}

/** Compares two versions that the viewer may see. */
export async function diffVersions(
  platform: Platform,
  fromVersion: ListedVersion,
  toVersion: ListedVersion,
): Promise<VersionDiff> {
  const ids = [fromVersion.id, toVersion.id];
  const [rows, metrics, artifacts] = await Promise.all([
    findVersions(platform.db, ids),
    listMetrics(platform.db, ids),
    listArtifacts(platform.db, ids, 'UPLOADED'),
  ]);
  const [from, to] = ids.map((id) => rows.find((row) => row.id === id)) as [VersionRow, VersionRow];
  const of = <T extends { readonly versionId: string }>(all: readonly T[], { id }: VersionRow) =>
    all.filter(({ versionId }) => versionId === id);
  return {
    from,
    to,
    metadata: jsonChanges('', from.metadata ?? {}, to.metadata ?? {}),
    tags: tagChanges(from, to),
    signature: from.signature && to.signature ? compareSignatures(from.signature, to.signature) : null,
    metrics: metricChanges(of(metrics, from), of(metrics, to)),
    artifacts: artifactChanges(of(artifacts, from), of(artifacts, to)),
  };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Not what every object inherits: people may call a key `constructor`. */
const own = (object: Record<string, unknown>, key: string): unknown =>
  Object.hasOwn(object, key) ? object[key] : undefined;

/** Differences of JSON objects, as deep as both sides are objects; keys that hold a dot are quoted in the path. */
export function jsonChanges(
  path: string,
  before: Record<string, unknown>,
  after: Record<string, unknown>,
): Change[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted();
  return keys.flatMap((key): Change[] => {
    const [was, is] = [own(before, key), own(after, key)];
    if (isDeepStrictEqual(was, is)) return [];
    const step = /^[^."]+$/.test(key) ? key : JSON.stringify(key);
    const at = path === '' ? step : `${path}.${step}`;
    return isObject(was) && isObject(is) ? jsonChanges(at, was, is) : [{ path: at, before: was, after: is }];
  });
}

function tagChanges(from: VersionRow, to: VersionRow): Change[] {
  const [before, after] = both(from.tags, to.tags, ({ key }) => key);
  return keysOf(before, after).flatMap((path): Change[] => {
    const [was, is] = [before.get(path)?.value, after.get(path)?.value];
    return was === is ? [] : [{ path, before: was, after: is }];
  });
}

function both<T>(from: readonly T[], to: readonly T[], keyOf: (item: T) => string) {
  const mapOf = (items: readonly T[]): ReadonlyMap<string, T> =>
    new Map(items.map((item) => [keyOf(item), item]));
  return [mapOf(from), mapOf(to)] as const;
}

function keysOf(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].toSorted();
}

type Metrics = readonly { readonly name: string; readonly value: number }[];

/** Those of either side, the equal ones too: a comparison shows them. */
function metricChanges(from: Metrics, to: Metrics): MetricChange[] {
  const [before, after] = both(from, to, ({ name }) => name);
  return keysOf(before, after).map((name) => ({
    name,
    before: before.get(name)?.value ?? null,
    after: after.get(name)?.value ?? null,
  }));
}

function artifactChanges(from: readonly ArtifactRow[], to: readonly ArtifactRow[]): ArtifactChange[] {
  const [before, after] = both(from, to, ({ path }) => path);
  return keysOf(before, after).map((path) => {
    const [was, is] = [before.get(path), after.get(path)];
    return {
      path,
      change: kindOf(was, is),
      bytesBefore: was?.bytes ?? null,
      bytesAfter: is?.bytes ?? null,
    };
  });
}

function kindOf(was: ArtifactRow | undefined, is: ArtifactRow | undefined): ChangeKind {
  if (!was) return 'ADDED';
  if (!is) return 'REMOVED';
  return was.digest === is.digest ? 'SAME' : 'CHANGED';
}
