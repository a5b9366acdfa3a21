/** Names of archive members, and of files beside a model: where a loader would find or put them. */
import type { Rule } from './finding.ts';

export interface NameProblem {
  readonly rule: Rule;
  readonly message: string;
}

/** What is wrong with a member's name, on any platform; undefined: nothing. */
export function nameProblem(name: string): NameProblem | undefined {
  // eslint-disable-next-line no-control-regex -- NUL ends the name for some readers and not for others
  if (/[\u0000-\u001f\u007f]/.test(name)) {
    return { rule: 'archive.path-control', message: 'The name of a member contains control characters.' };
  }
  const leaves = /^[/\\]|^[A-Za-z]:/.test(name) || name.split(/[/\\]/).includes('..');
  if (!leaves) return undefined;
  return {
    rule: 'archive.path-escapes',
    message: 'Unpacking this member would write outside of the folder that it is unpacked to.',
  };
}

/**
 * Whether a path stays within its folder on every platform: relative, no `.` or `..`, no backslash, no drive. `*` is
 * refused because onnxruntime takes the location `*\/_ORT_MEM_ADDR_/*` for an address in its memory.
 */
export function isPlainRelativePath(path: string): boolean {
  if (path.length === 0 || path.length > 1024 || nameProblem(path) !== undefined || /[\\*]/.test(path))
    return false;
  return path.split('/').every((part) => part !== '' && part !== '.');
}
