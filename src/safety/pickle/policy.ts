/** Whether a name that a pickle looks up is one of a model's, one of an attacker's, or unknown. */
import { allowed, neverCalled } from './allowlist.ts';
import { deniedModules, deniedNames, exempt, hiddenModules } from './denylist.ts';
import { currentModule, fixImports } from './module-names.ts';
import type { QualifiedName } from './module-names.ts';

export type Judgement = 'allowed' | 'unknown' | 'denied';

function isDeniedModule(module: string): boolean {
  for (let dot = module.indexOf('.'); dot !== -1; dot = module.indexOf('.', dot + 1)) {
    if (deniedModules.has(module.slice(0, dot))) return true;
  }
  return deniedModules.has(module);
}

/**
 * Protocol 4 looks dotted names up step by step, so that a module may be reached through another that imports it, and
 * anything at all through an object's internals.
 */
function reachesBeyond(name: string): boolean {
  const parts = name.split('.');
  const isInternal = (part: string) => part.startsWith('__') && part.endsWith('__');
  if (parts.length > 1 && parts.some(isInternal)) return true;
  return parts.some((part) => hiddenModules.has(part) || hiddenModules.has(part.replace(/^_+/, '')));
}

function isDenied({ module, name }: QualifiedName): boolean {
  if (exempt.has(`${module}.${name}`)) return false;
  const canonical = currentModule(module);
  if (isDeniedModule(module) || isDeniedModule(canonical)) return true;
  if (isDeniedModule(`${canonical}.${name}`)) return true;
  const [first = ''] = name.split('.');
  if (deniedNames.get(canonical)?.has(first)) return true;
  return reachesBeyond(name);
}

/** What Python 3 looks a name up as. @param protocol of the pickle at this point. */
export function resolve(written: QualifiedName, protocol: number): QualifiedName {
  return protocol < 3 ? fixImports(written) : written;
}

/**
 * Judges a name. Denied is what is denied under any of its names, whatever the protocol: a loader may turn the
 * renaming on or off.
 */
export function judge(written: QualifiedName, protocol: number): Judgement {
  const renamed = fixImports(written);
  if (isDenied(written) || isDenied(renamed)) {
    // A name of Python 2 may be another's in Python 3 and the reverse (`copy_reg`): what Python 3 makes of it counts.
    const resolved = resolve(written, protocol);
    if (!exempt.has(`${resolved.module}.${resolved.name}`)) return 'denied';
  }
  const { module, name } = resolve(written, protocol);
  return allowed.has(`${currentModule(module)} ${name}`) ? 'allowed' : 'unknown';
}

/**
 * Whether an allowed name is one that models only refer to, such as a metric: called with whatever arguments, it may
 * call methods of theirs, and with several of those an attacker gets far.
 */
export function isNeverCalled({ module, name }: QualifiedName): boolean {
  return neverCalled.has(`${currentModule(module)} ${name}`);
}
