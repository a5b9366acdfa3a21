/** What can be wrong with the Dockerfile, as far as it shows without Docker. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { environment } from '#src/platform/config.ts';

const project = join(import.meta.dirname, '../..');
export const projectFile = (name: string): string => readFileSync(join(project, name), 'utf8');

interface Instruction {
  readonly name: string;
  readonly rest: string;
}

function instructions(text: string): Instruction[] {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [, name = '', rest = ''] = /^([A-Z]+)\s+(.+)$/.exec(line) ?? [];
      return { name, rest };
    });
}

const restsOf = (text: string, name: string): string[] =>
  instructions(text)
    .filter((instruction) => instruction.name === name)
    .map(({ rest }) => rest);

const words = z.array(z.string());
/** A command in its JSON form, which is run without a shell. */
const commandIn = (text: string): string[] => words.parse(JSON.parse(text.slice(text.indexOf('['))));

export const imageCommand = (text: string): string[] => commandIn(restsOf(text, 'CMD').at(-1) ?? '[]');
export const healthCommand = (text: string): string[] =>
  commandIn(restsOf(text, 'HEALTHCHECK').at(-1) ?? '[]');

export const imageEnvironment = (text: string): Record<string, string> =>
  Object.fromEntries(
    restsOf(text, 'ENV').flatMap((rest) =>
      rest.split(/\s+/).map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    ),
  );

const sources = (text: string): string[] =>
  restsOf(text, 'COPY').flatMap((rest) => rest.split(/\s+/).slice(0, -1));

/** What `.dockerignore` lets through; ours leaves out everything and takes back entry by entry. */
function sentToBuilder(): Set<string> {
  const lines = projectFile('.dockerignore').split('\n');
  return new Set(lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1)));
}

/** A `node <file>` command whose file is in the image. */
export function commandFaults(command: readonly string[], dockerfile: string): string[] {
  const [program, file = ''] = command;
  if (program !== 'node') return [`command ${program}: expected node`];
  if (!existsSync(join(project, file))) return [`command: ${file} does not exist`];
  return sources(dockerfile).some((source) => file.startsWith(`${source}/`))
    ? []
    : [`command: ${file} is not copied`];
}

export function dockerfileFaults(text: string): string[] {
  const sent = sentToBuilder();
  const node = Number(/^node:(\d+)/.exec(restsOf(text, 'FROM').at(-1) ?? '')?.[1]);
  return [
    ...(node >= 24 ? [] : [`FROM: expected Node 24, found ${node}`]),
    ...sources(text)
      .filter((source) => !existsSync(join(project, source)))
      .map((source) => `COPY: ${source} does not exist`),
    ...sources(text)
      .filter((source) => !sent.has(source))
      .map((source) => `COPY: .dockerignore keeps ${source} back`),
    ...Object.keys(imageEnvironment(text))
      .filter((name) => name !== 'NODE_ENV' && !(name in environment.shape))
      .map((name) => `ENV: ${name} is no variable of the configuration`),
    ...commandFaults(imageCommand(text), text),
    ...(['', 'root', '0'].includes(restsOf(text, 'USER').at(-1) ?? '') ? ['USER: runs as root'] : []),
  ];
}
