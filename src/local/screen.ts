/** What the terminal shows once everything is up. */
import { relative } from 'node:path';
import { styleText } from 'node:util';

export interface ScreenOptions {
  readonly url: string;
  readonly dataDir: string;
  /** Name, place and pid of what runs; no pid where it is not ours. */
  readonly processes: readonly { name: string; place: string; pid: number | undefined }[];
  /** The file that the curl line sends. */
  readonly predict: string;
  /** The file of the token that the curl line needs, if any. */
  readonly tokenFile: string | undefined;
  /** The folder that the person stands in. */
  readonly folder: string;
}

/** As one word of a shell. */
const word = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** The shorter way to name a file from where the person stands. */
function nameOf(file: string, folder: string): string {
  const way = relative(folder, file);
  return way.length < file.length ? way : file;
}

/** One shell line that predicts on the demo. */
export function curlLine(options: Pick<ScreenOptions, 'url' | 'predict' | 'tokenFile' | 'folder'>): string {
  const token = options.tokenFile
    ? [`-H "authorization: Bearer $(cat ${word(nameOf(options.tokenFile, options.folder))})"`]
    : [];
  return [
    'curl -s',
    word(`${options.url}/graphql`),
    "-H 'content-type: application/json'",
    ...token,
    '-d',
    word(`@${nameOf(options.predict, options.folder)}`),
  ].join(' ');
}

/** Bold on a terminal, plain elsewhere. */
const bold = (text: string): string => styleText('bold', text, { stream: process.stdout });

export function screen(options: ScreenOptions): string {
  const width = Math.max(...options.processes.map(({ place }) => place.length));
  const rows = options.processes.map(({ name, place, pid }) =>
    `  ${name.padEnd(12)}${place.padEnd(width + 2)}${pid === undefined ? '' : `pid ${pid}`}`.trimEnd(),
  );
  return [
    '',
    `Modelarium is up. Open ${bold(`${options.url}/graphql`)}`,
    '',
    ...rows,
    `  ${'data'.padEnd(12)}${options.dataDir}`,
    `  ${'logs'.padEnd(12)}${options.dataDir}/logs`,
    '',
    'Predict on the demo:',
    '',
    `  ${curlLine(options)}`,
    '',
    'Stop with Ctrl-C.',
  ].join('\n');
}
