/** `npm run check`: every `check:…` script of package.json in its order, all of them even where one fails. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const { scripts } = z
  .object({ scripts: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')));

const failed = Object.keys(scripts)
  .filter((name) => name.startsWith('check:'))
  .filter((name) => {
    process.stdout.write(`\n— ${name}\n`);
    return spawnSync('npm', ['run', '--silent', name], { stdio: 'inherit' }).status !== 0;
  });

process.stdout.write(failed.length > 0 ? `\nFailed: ${failed.join(', ')}\n` : '\nAll checks passed.\n');
process.exitCode = failed.length > 0 ? 1 : 0;
