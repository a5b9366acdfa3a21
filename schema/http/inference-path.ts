/** Paths of the Open Inference Protocol v2 below `/v2`: what they ask for, of which deployment. Pure. */
import { isId } from '#src/platform/id.ts';
import { refOf } from '../global-id.ts';

export const INFERENCE = '/v2';

interface OfModel {
  readonly kind: 'model' | 'ready' | 'infer';
  /** An id, or `project/name`. */
  readonly deployment: string;
  /** As it stands in the path; null where it names none. */
  readonly version: string | null;
}
export type InferencePath =
  | { readonly kind: 'server' | 'live' | 'serverReady' }
  | OfModel
  /** Nothing of ours; `why` where more can be said than that. */
  | { readonly kind: 'unknown'; readonly why: string | null };

const PREFIX = `${INFERENCE}/models/`;
const nothing: InferencePath = { kind: 'unknown', why: null };
const NAMED =
  "A model is a deployment: /v2/models/{project}/{name}, {project}%2F{name} or the deployment's id in their place.";

/** @param path without its query; a slash at its end means nothing. */
export function parseInferencePath(path: string): InferencePath {
  const trimmed = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
  if (trimmed === INFERENCE) return { kind: 'server' };
  if (trimmed === `${INFERENCE}/health/live`) return { kind: 'live' };
  if (trimmed === `${INFERENCE}/health/ready`) return { kind: 'serverReady' };
  if (!trimmed.startsWith(PREFIX)) return nothing;
  try {
    return ofModel(trimmed.slice(PREFIX.length).split('/').map(decodeURIComponent));
  } catch (error) {
    if (error instanceof URIError)
      return { kind: 'unknown', why: 'A percent sign in the path is no escape.' };
    throw error;
  }
}

/**
 * One segment with a slash in it (`demo%2Ffraud`) or an id is the whole reference, two segments are project and name
 * otherwise. Neither a project nor a deployment has a slash in its name, so a path has one reading; only a project
 * that is called like an id needs the encoded form.
 */
function ofModel(segments: readonly string[]): InferencePath {
  const [first = '', second] = segments;
  const ref = refOf(['model'], 'Deployment', first);
  const isWhole = ref.includes('/') || isId(ref);
  if (!isWhole && (second === undefined || second === '')) return { kind: 'unknown', why: NAMED };
  const deployment = isWhole ? ref : `${ref}/${second}`;
  const rest = segments.slice(isWhole ? 1 : 2);
  const hasVersion = rest[0] === 'versions' && rest[1] !== undefined && rest[1] !== '';
  const version = hasVersion ? (rest[1] as string) : null;
  const [action, ...more] = hasVersion ? rest.slice(2) : rest;
  if (more.length > 0) return nothing;
  if (action === undefined) return { kind: 'model', deployment, version };
  return action === 'ready' || action === 'infer' ? { kind: action, deployment, version } : nothing;
}

/** Paths that were met lately, so that a request costs one look-up. */
export class InferencePaths {
  readonly #known = new Map<string, InferencePath>();

  /** @throws ValidationError for the id of something else. */
  of(path: string): InferencePath {
    const known = this.#known.get(path);
    if (known) return known;
    const parsed = parseInferencePath(path);
    // Anybody can make up paths: what is remembered of them stays small.
    if (this.#known.size >= 1024) this.#known.clear();
    if (path.length <= 512) this.#known.set(path, parsed);
    return parsed;
  }
}
