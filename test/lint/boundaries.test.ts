/**
 * Every boundary of oxlint.config.ts bites: `fixture/` mirrors the project's layout, and each line of it that breaks a rule
 * says so (`// expect: <rule>`). What is reported must be exactly what is expected, so this also shows what stays allowed.
 */
import { execFile } from 'node:child_process';
import { copyFileSync, cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';

const project = join(import.meta.dirname, '../..');
const fixture = join(import.meta.dirname, 'fixture');

const report = z.object({
  diagnostics: z.array(
    z.object({
      // Such as `typescript(no-floating-promises)`.
      code: z.string().transform((code) => /\((.+)\)$/.exec(code)?.[1] ?? code),
      filename: z.string(),
      labels: z.array(z.object({ span: z.object({ line: z.int() }) })).min(1),
    }),
  ),
});

/** A copy with the project's own configuration at its root: that leaves the fixture itself out, and matches by folder. */
let copy: string;

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'modelarium-lint-'));
  cpSync(fixture, copy, { recursive: true });
  for (const name of ['oxlint.config.ts', 'tsconfig.json', 'package.json']) {
    copyFileSync(join(project, name), join(copy, name));
  }
  symlinkSync(join(project, 'node_modules'), join(copy, 'node_modules'));
});

afterAll(() => rmSync(copy, { recursive: true, force: true }));

/** Findings as `path:line rule`, sorted. */
async function findings(): Promise<string[]> {
  const oxlint = join(project, 'node_modules/oxlint/bin/oxlint');
  const args = [oxlint, '--type-aware', '--format', 'json', 'src', 'schema', 'workers', 'migrations', 'test'];
  const found = await promisify(execFile)(process.execPath, args, { cwd: copy }).catch(
    // It ends with an error because it finds some.
    (error: { stdout: string }) => error,
  );
  const { diagnostics } = report.parse(JSON.parse(found.stdout));
  const lines = diagnostics.map(
    ({ code, filename, labels }) => `${filename}:${labels[0]?.span.line} ${code}`,
  );
  // A line can break two bans of one rule.
  return [...new Set(lines)].toSorted();
}

function expectations(): string[] {
  const files = readdirSync(fixture, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  return files
    .flatMap((file) =>
      readFileSync(join(fixture, file), 'utf8')
        .split('\n')
        .flatMap((line, index) => {
          const rule = /\/\/ expect: (\S+)$/.exec(line)?.[1];
          return rule === undefined ? [] : [`${file}:${index + 1} ${rule}`];
        }),
    )
    .toSorted();
}

test('each broken boundary is reported, and nothing else', async () => {
  const expected = expectations();
  expect(expected.length).toBeGreaterThan(40);
  expect(await findings()).toEqual(expected);
});
