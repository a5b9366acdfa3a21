/** The files of a PostgreSQL: made once, found again, and freed from what a crash left. */
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { endProcess } from './child.ts';
import { LocalError } from './local-error.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { processesIn } from './processes-in.ts';
import { run } from './run.ts';
import { keptSecret } from './secret.ts';
import type { ServiceOptions } from './service.ts';
import type { Unprivileged } from './unprivileged.ts';

export const user = 'modelarium';
export const database = 'modelarium';

export interface Cluster {
  /** PostgreSQL's data directory. */
  readonly folder: string;
  readonly password: string;
}

/** What initdb is told: text compares by code point and is UTF-8 whatever the machine's locale. */
const initdbOptions = [
  `--username=${user}`,
  '--auth=scram-sha-256',
  '--encoding=UTF8',
  '--locale=C.UTF-8',
  '--locale-provider=builtin',
  '--builtin-locale=C.UTF-8',
  '--no-sync',
  '--no-instructions',
];

/** Removes what starts that were killed in the middle left. */
function sweep(dataDir: string): void {
  for (const name of readdirSync(dataDir).filter((each) => each.startsWith('postgres.new-'))) {
    rmSync(join(dataDir, name), { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Makes the files under a temporary name and moves them into place whole: a start killed here leaves nothing half done. */
async function create(
  options: ServiceOptions,
  cluster: Cluster,
  binaries: PostgresBinaries,
  way: Unprivileged,
): Promise<void> {
  const { dataDir, env, durable = true, signal } = options;
  sweep(dataDir);
  const base = join(dataDir, `postgres.new-${process.pid}`);
  mkdirSync(base, { mode: 0o700 });
  const [folder, passwordFile] = [join(base, 'data'), join(base, 'password')];
  writeFileSync(passwordFile, cluster.password, { mode: 0o600 });
  way.own(base);
  const call = async (file: string, args: string[], input = ''): Promise<void> => {
    const { code, out, err } = await run(way.command({ file, args, env, cwd: '/' }), { input, signal });
    if (code !== 0) throw new LocalError(`PostgreSQL's data could not be prepared:\n${err || out}`);
  };
  await call(binaries.initdb, ['-D', folder, `--pwfile=${passwordFile}`, ...initdbOptions]);
  await call(binaries.postgres, ['--single', '-D', folder, 'postgres'], `CREATE DATABASE ${database}\n`);
  // One flush of the whole is faster than initdb's own and the server's after it.
  if (durable) await call(binaries.initdb, ['--sync-only', '-D', folder]);
  renameSync(folder, cluster.folder);
  rmSync(base, { recursive: true, force: true });
}

/** Ends a PostgreSQL that still runs on these files, and removes the mark of one that does not. */
async function release(folder: string): Promise<void> {
  const left = processesIn(folder, ['postgres']);
  // The postmaster has the oldest start; its children follow it.
  left.sort((a, b) => Number(a.start) - Number(b.start));
  for (const process of left) await endProcess(process, endPostgres);
  // After a crash the pid in it may belong to somebody else by now, and PostgreSQL would take that for a running twin.
  rmSync(join(folder, 'postmaster.pid'), { force: true });
}

/** Fast shutdown, then immediate. */
export const endPostgres = [
  ['SIGINT', 15_000],
  ['SIGQUIT', 5_000],
] as const;

/**
 * The cluster in `<dataDir>/postgres`, made when there is none.
 * @throws LocalError when it cannot be made.
 */
export async function openCluster(
  options: ServiceOptions,
  binaries: PostgresBinaries,
  way: Unprivileged,
): Promise<Cluster> {
  const { dataDir } = options;
  const password = keptSecret(join(dataDir, 'postgres.password'));
  const cluster = { folder: join(dataDir, 'postgres'), password };
  if (existsSync(cluster.folder)) {
    way.own(cluster.folder);
    chmodSync(cluster.folder, 0o700);
    await release(cluster.folder);
  } else {
    await create(options, cluster, binaries, way);
  }
  return cluster;
}
