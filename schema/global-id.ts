/** Global ids: `Type:uuid` in base64, as the relay plugin makes them; a prediction is named by `<request>:<row>`. */
import { shown } from '#src/name/name.ts';
import { ValidationError } from '#src/platform/errors.ts';
import { isId } from '#src/platform/id.ts';
import { parsePredictionId } from '#src/prediction/prediction-id.ts';

const a = (type: string): string => `${/^[AEIOU]/.test(type) ? 'an' : 'a'} ${type}`;

function decode(id: string): { type: string; id: string } | undefined {
  // Node skips what is no base64, and whatever stands behind its end.
  if (Buffer.from(id, 'base64').toString('base64').replace(/=+$/, '') !== id.replace(/=+$/, ''))
    return undefined;
  const text = Buffer.from(id, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  const [type, inner] = [text.slice(0, colon), text.slice(colon + 1)];
  return colon > 0 && (type === 'Prediction' ? isPredictionId(inner) : isId(inner))
    ? { type, id: inner }
    : undefined;
}

/** `<request>:<row>` */
const isPredictionId = (id: string): boolean => parsePredictionId(id) !== undefined;

/**
 * The inner id of a global id of one type.
 * @throws ValidationError at `path` for anything else, naming the type that was found.
 */
export function idOf(path: readonly string[], type: string, globalId: string): string {
  const decoded = decode(globalId);
  if (decoded?.type === type) return decoded.id;
  throw ValidationError.of(
    path,
    `the id of ${a(type)}`,
    decoded ? `the id of ${a(decoded.type)}` : shown(globalId),
  );
}

/**
 * Type and inner id of a global id of one of some types.
 * @throws ValidationError at `path` for anything else, naming the type that was found.
 */
export function idOfOne<T extends string>(
  path: readonly string[],
  types: readonly T[],
  globalId: string,
): { type: T; id: string } {
  const decoded = decode(globalId);
  const type = types.find((known) => known === decoded?.type);
  if (decoded && type !== undefined) return { type, id: decoded.id };
  throw ValidationError.of(
    path,
    `the id of ${types.slice(0, -1).map(a).join(', ')} or ${a(types.at(-1) ?? '')}`,
    decoded ? `the id of ${a(decoded.type)}` : shown(globalId),
  );
}

/** The inner id where it is a global id of that type, else the text as it is: a reference by name. */
export function refOf(path: readonly string[], type: string, ref: string): string {
  // Behind the id of a version may stand steps to its ancestors.
  const [, id = ref, steps = ''] = /^([A-Za-z0-9+/]+=*)([~^].*)?$/s.exec(ref) ?? [];
  const decoded = decode(id);
  if (!decoded) return ref;
  if (decoded.type === type) return `${decoded.id}${steps}`;
  throw ValidationError.of(path, a(type), `the id of ${a(decoded.type)}`);
}

const nodeTypes = [
  'Project',
  'Model',
  'Version',
  'Operation',
  'Deployment',
  'LedgerEvent',
  'ResumableUpload',
  'Prediction',
  'Rollout',
];

/** For `node` and `nodes`: what is no node's id is the id of nothing, which is answered with null. */
export function nodeIdOf(globalId: string): { typename: string; id: string } {
  // As `predict` answers it.
  if (isPredictionId(globalId)) return { typename: 'Prediction', id: globalId };
  const decoded = decode(globalId);
  const isNode = decoded !== undefined && nodeTypes.includes(decoded.type);
  return isNode ? { typename: decoded.type, id: decoded.id } : { typename: 'Project', id: '' };
}
