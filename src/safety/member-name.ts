/** Names of archive members: where unpacking would put them. */
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
