import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { environment } from '#src/platform/config.ts';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

function defaultOf(name: keyof typeof environment.shape): string {
  const parsed = environment.shape[name].safeParse(undefined);
  const value: unknown = parsed.success ? parsed.data : undefined;
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return '';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

/** A Markdown table's cells, however it is padded. */
function cells(table: string): string[][] {
  return table.split('\n').map((line) => line.split('|').map((cell) => cell.trim().replace(/^-+$/, '-')));
}

test('the table of the configuration is the configuration', () => {
  const names = Object.keys(environment.shape) as (keyof typeof environment.shape)[];
  const rows = names.map(
    (name) => `| \`${name}\` | ${defaultOf(name)} | ${environment.shape[name].description ?? ''} |`,
  );
  const expected = ['| Variable | Default | Meaning |', '|---|---|---|', ...rows].join('\n');
  const [, found] = /<!-- configuration -->\n+([\s\S]*?)\n+<!-- \/configuration -->/.exec(readme) ?? [];
  expect(cells(found ?? '')).toEqual(cells(expected));
});

test('every dependency earns its line', () => {
  const { dependencies } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { dependencies: Record<string, string> };
  const missing = Object.keys(dependencies).filter((name) => {
    const plugin = /^@pothos\/plugin-(.*)$/.exec(name)?.[1];
    return !readme.includes(`\`${plugin ?? name}\``);
  });
  expect(missing).toEqual([]);
});
