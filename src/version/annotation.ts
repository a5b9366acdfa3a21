/** What people write beside a version and may change later: metadata, reported metrics. */
import { checkName, checkStorable, shown } from '../name/name.ts';
import { ValidationError } from '../platform/errors.ts';

const MAX_METADATA_BYTES = 65_536;
const MAX_METADATA_DEPTH = 16;
export const MAX_METRICS = 200;

export interface ReportedMetric {
  readonly name: string;
  readonly value: number;
}

/**
 * Metadata as JSON text: an object of at most 64 KiB that is at most 16 levels deep.
 * @throws ValidationError at `path`; the depth is checked first, so nothing here recurses further.
 */
export function checkMetadata(path: readonly string[], metadata: unknown): string | null {
  if (metadata === null || metadata === undefined) return null;
  if (typeof metadata !== 'object' || Array.isArray(metadata)) {
    throw ValidationError.of(path, 'a JSON object', shown(JSON.stringify(metadata)));
  }
  if (isDeeper(metadata, MAX_METADATA_DEPTH)) {
    throw ValidationError.of(path, `at most ${MAX_METADATA_DEPTH} levels`, `more than ${MAX_METADATA_DEPTH}`);
  }
  checkStorable(path, metadata);
  const text = JSON.stringify(metadata);
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_METADATA_BYTES) {
    throw ValidationError.of(path, `at most ${MAX_METADATA_BYTES} bytes of JSON`, `${bytes} bytes`);
  }
  return text;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => isDeeper(part, levels - 1));
}

/**
 * Metrics in the order of their names.
 * @throws ValidationError at `path` for more than 200, or a name that is none or there twice.
 */
export function checkMetrics(path: readonly string[], metrics: readonly ReportedMetric[]): ReportedMetric[] {
  if (metrics.length > MAX_METRICS) {
    throw ValidationError.of(path, `at most ${MAX_METRICS} metrics`, String(metrics.length));
  }
  const seen = new Set<string>();
  const checked = metrics.map((metric, index) => {
    const at = [...path, String(index), 'name'];
    const name = checkName(at, metric.name);
    if (seen.has(name)) throw ValidationError.of(at, 'each name once', shown(name));
    seen.add(name);
    checkStorable([...path, index, 'value'], metric.value);
    return { name, value: metric.value };
  });
  return checked.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
