/** What an event says, as one plain sentence. */
import type { Actor } from '../access/access.ts';
import type { LedgerEventType } from '../platform/database.types.ts';

type Data = Readonly<Record<string, unknown>>;
type Sentence = (by: string, data: Data, actor: Actor) => string;

const MAX_REASON = 200;

/**
 * One sentence of what happened, such as `alice moved fraud@champion from 11 to 12.` Events of the past may lack what
 * later ones tell, so nothing is taken for granted: what is missing is left out.
 */
export function summaryOf(type: LedgerEventType, actor: Actor, data: Data): string {
  // A newer version of the program may have written a type that this one does not know.
  if (!Object.hasOwn(sentences, type)) return `${actor.name}: ${type}.`;
  return `${sentences[type](actor.name, data, actor)}.`;
}

/** A name or a number in the data. */
function told(data: Data, key: string): string | undefined {
  const value = data[key];
  return typeof value === 'number' || (typeof value === 'string' && value !== '') ? String(value) : undefined;
}

/** `project demo`, or `a project` where it has no name. */
function thing(kind: string, data: Data, key = 'name'): string {
  const name = told(data, key);
  return name === undefined ? `${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind}` : `${kind} ${name}`;
}

function version(data: Data): string {
  const [model, number] = [told(data, 'model'), told(data, 'number')];
  if (number === undefined) return model === undefined ? 'a version' : `a version of ${model}`;
  return model === undefined ? `version ${number}` : `${model}:${number}`;
}

function alias(data: Data): string {
  const [model, name] = [told(data, 'model'), told(data, 'name')];
  return model === undefined || name === undefined ? thing('alias', data) : `${model}@${name}`;
}

/** Why, as the end of a sentence: one line, without its full stop. */
function because(data: Data): string {
  const reason = told(data, 'reason')?.replaceAll(/\s+/g, ' ').trim().replace(/\.$/, '');
  if (!reason) return '';
  const characters = [...reason];
  return `: ${characters.length > MAX_REASON ? `${characters.slice(0, MAX_REASON).join('')}…` : reason}`;
}

/** `tags, metadata and metrics`: what of a version was changed. */
function annotations(data: Data): string {
  const changed = ['tags', 'metadata', 'metrics'].filter((key) => data[key] !== undefined);
  const last = changed.pop();
  if (last === undefined) return '';
  return `the ${changed.length > 0 ? `${changed.join(', ')} and ` : ''}${last} of `;
}

/** `with fraud:12 and fraud:13`: what a deployment runs. */
function served(data: Data): string {
  const arms: unknown[] = Array.isArray(data['arms']) ? data['arms'] : [];
  const versions = arms
    .filter((arm) => typeof arm === 'object' && arm !== null)
    .map((arm) => version(arm as Data));
  const last = versions.pop();
  if (last === undefined) return '';
  return ` with ${versions.length > 0 ? `${versions.join(', ')} and ` : ''}${last}`;
}

/** `Version fraud:12`: names keep their letters as they are. */
function atStart(text: string): string {
  return text.includes(':') ? `Version ${text}` : `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

const deployment = (data: Data): string => atStart(thing('deployment', data));

function aliasMoved(by: string, data: Data): string {
  const [from, to] = [told(data, 'from'), told(data, 'to')];
  const target = to === undefined ? '' : ` to ${to}`;
  return from === undefined
    ? `${by} set ${alias(data)}${target}`
    : `${by} moved ${alias(data)} from ${from}${target}`;
}

function tokenCreated(by: string, data: Data): string {
  const role = told(data, 'role');
  return `${by} created ${thing('token', data)}${role === undefined ? '' : ` of role ${role}`}`;
}

/** `alice scaled deployment scoring to 3 replicas of fraud:12 and fraud:13` */
function scaled(by: string, data: Data): string {
  const replicas = told(data, 'replicas');
  const count = replicas === undefined ? '' : ` to ${replicas} ${replicas === '1' ? 'replica' : 'replicas'}`;
  return `${by} scaled ${thing('deployment', data)}${count}${served(data).replace(' with', ' of')}`;
}

/** What an event tells of its rollout, beside the deployment. */
function rolloutOf(data: Data): Data {
  const about = data['rollout'];
  return typeof about === 'object' && about !== null ? (about as Data) : {};
}

/** `the rollout of scoring to version 3` */
function rollout(data: Data): string {
  const name = told(data, 'name');
  const on = name === undefined ? '' : ` of ${name}`;
  const number = told(rolloutOf(data), 'number');
  return `the rollout${on}${number === undefined ? '' : ` to version ${number}`}`;
}

/** A rollout's own reason, not the deployment's. */
function why(data: Data): string {
  return because(rolloutOf(data));
}

/** `The rollout of scoring to version 3 has 25 % of the traffic` */
function shifted(data: Data): string {
  const { weight } = rolloutOf(data);
  const share =
    typeof weight === 'number' ? ` has ${Number((weight * 100).toFixed(2))} % of the traffic` : ' moves on';
  return `${atStart(rollout(data))}${share}`;
}

const sentences: Record<LedgerEventType, Sentence> = {
  PROJECT_CREATED: (by, data) => `${by} created ${thing('project', data)}`,
  TOKEN_CREATED: tokenCreated,
  TOKEN_REVOKED: (by, data) => `${by} revoked ${thing('token', data)}`,
  MODEL_CREATED: (by, data) => `${by} created ${thing('model', data)}`,
  MODEL_UPDATED: (by, data) => `${by} changed ${thing('model', data)}`,
  MODEL_DELETED: (by, data) => `${by} deleted ${thing('model', data)}`,
  VERSION_CREATED: (by, data) =>
    data['origin'] === 'RESTORED'
      ? `${by} created ${version(data)} from an earlier version`
      : `${by} created ${version(data)}`,
  VERSION_INGESTING: (_by, data) => `${atStart(version(data))} is being inspected`,
  VERSION_READY: (_by, data) => `${atStart(version(data))} is ready`,
  VERSION_QUARANTINED: (_by, data) => `${atStart(version(data))} was quarantined${because(data)}`,
  VERSION_RELEASED: (by, data) => `${by} released ${version(data)} from quarantine${because(data)}`,
  VERSION_REJECTED: (_by, data) => `${atStart(version(data))} was rejected${because(data)}`,
  VERSION_UPDATED: (by, data) => `${by} changed ${annotations(data)}${version(data)}`,
  VERSION_ARCHIVED: (by, data) => `${by} archived ${version(data)}`,
  VERSION_UNARCHIVED: (by, data) => `${by} unarchived ${version(data)}`,
  VERSION_DELETED: (by, data) => `${by} deleted ${version(data)}`,
  ALIAS_MOVED: aliasMoved,
  ALIAS_PROTECTED: (by, data) => `${by} protected ${alias(data)}`,
  ALIAS_UNPROTECTED: (by, data) => `${by} unprotected ${alias(data)}`,
  ALIAS_DELETED: (by, data) => `${by} deleted ${alias(data)}`,
  DEPLOYMENT_CREATED: (by, data) => `${by} created ${thing('deployment', data)}${served(data)}`,
  DEPLOYMENT_SCALED: scaled,
  DEPLOYMENT_UPDATED: (by, data) => `${by} changed ${thing('deployment', data)}`,
  DEPLOYMENT_PROVISIONING: (_by, data) => `${deployment(data)} is starting`,
  DEPLOYMENT_LIVE: (_by, data) => `${deployment(data)} is live`,
  DEPLOYMENT_DEGRADED: (_by, data) => `${deployment(data)} is degraded${because(data)}`,
  DEPLOYMENT_FAILED: (_by, data) => `${deployment(data)} failed${because(data)}`,
  DEPLOYMENT_STOPPING: (by, data, { kind }) =>
    kind === 'SYSTEM' ? `${deployment(data)} is stopping` : `${by} stopped ${thing('deployment', data)}`,
  DEPLOYMENT_STOPPED: (_by, data) => `${deployment(data)} has stopped`,
  ROLLOUT_STARTED: (by, data) => `${by} began ${rollout(data)}${why(data)}`,
  ROLLOUT_SHIFTED: (_by, data) => shifted(data),
  ROLLOUT_PAUSED: (by, data) => `${by} paused ${rollout(data)}`,
  ROLLOUT_RESUMED: (by, data) => `${by} resumed ${rollout(data)}`,
  ROLLOUT_PROMOTED: (by, data) => `${by} promoted ${rollout(data)}`,
  ROLLOUT_ROLLING_BACK: (_by, data) => `${atStart(rollout(data))} is taken back${why(data)}`,
  ROLLOUT_ROLLED_BACK: (_by, data) => `${atStart(rollout(data))} was taken back${why(data)}`,
  ROLLOUT_ABORTED: (_by, data) => `${atStart(rollout(data))} was aborted${why(data)}`,
  ROLLOUT_FAILED: (_by, data) => `${atStart(rollout(data))} failed${why(data)}`,
  ROLLOUT_SUCCEEDED: (_by, data) => `${atStart(rollout(data))} succeeded`,
  OPERATION_CANCEL_REQUESTED: (by, data) => `${by} asked ${thing('operation', data, 'kind')} to stop`,
};
