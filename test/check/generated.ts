/**
 * Compares the generated files with what they are generated from (`npm run check:generated`), or writes them
 * (`npm run generate`, which passes `--write`).
 */
import { execFile, type ExecFileException } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { migrate } from '#src/platform/migrate.ts';
import { startTestServices } from '#test/helpers/services.ts';

const project = join(import.meta.dirname, '../..');

interface GeneratedFile {
  readonly path: string;
  /** Whom to look at when it differs. */
  readonly source: string;
  readonly text: () => Promise<string>;
}

const files: readonly GeneratedFile[] = [
  {
    path: 'src/platform/database.generated.ts',
    source: 'migrations/ or .kysely-codegenrc.json',
    text: databaseTypes,
  },
  { path: 'schema/schema.graphql', source: 'the types in schema/', text: () => node('schema/print.ts') },
];

/** Standard output of a program. @throws Error with all that it said, where it fails. */
async function node(...args: string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      cwd: project,
      maxBuffer: 64 * 1024 ** 2,
    });
    // What a program that succeeded said on standard error is left out: kysely-codegen tells of each type in its
    // configuration that it cannot parse it, because TypeScript 7 has no compiler API, and then takes it as it stands.
    return stdout;
  } catch (error) {
    const { message, stdout, stderr } = error as ExecFileException;
    throw new Error([message, stdout, stderr].filter(Boolean).join('\n'), { cause: error });
  }
}

/** The types of a database to which all migrations were applied. */
async function databaseTypes(): Promise<string> {
  const services = await startTestServices();
  const folder = mkdtempSync(join(tmpdir(), 'modelarium-generated-'));
  try {
    await migrate(services.databaseUrl);
    const file = join(folder, 'database.ts');
    const codegen = fileURLToPath(import.meta.resolve('kysely-codegen/dist/cli/bin.js'));
    await node(codegen, '--url', services.databaseUrl, '--out-file', file);
    return readFileSync(file, 'utf8');
  } finally {
    rmSync(folder, { recursive: true });
    await services.stop();
  }
}

/** The first line that differs, for a message. */
function firstDifference(committed: string, generated: string): string {
  const [ours, theirs] = [committed.split('\n'), generated.split('\n')];
  const at = theirs.findIndex((line, index) => line !== ours[index]);
  const line = at < 0 ? theirs.length : at;
  return `line ${line + 1}\n  committed: ${ours[line] ?? '(the end)'}\n  generated: ${theirs[line] ?? '(the end)'}`;
}

/** What is wrong with the committed file, or undefined. */
async function fault({ path, source, text }: GeneratedFile): Promise<string | undefined> {
  const generated = await text();
  const committed = readFileSync(join(project, path), 'utf8');
  if (generated === committed) return undefined;
  return `${path} is not what ${source} give now, from ${firstDifference(committed, generated)}\nRun: npm run generate`;
}

async function write({ path, text }: GeneratedFile): Promise<undefined> {
  writeFileSync(join(project, path), await text());
}

const work = process.argv.includes('--write') ? write : fault;
for (const file of files) {
  const found = await work(file).catch(
    (error: unknown) => `${file.path} cannot be generated: ${String(error)}`,
  );
  if (found === undefined) continue;
  process.exitCode = 1;
  process.stderr.write(`${found}\n\n`);
}
