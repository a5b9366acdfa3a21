/** Where a Redis to run comes from: installed, unpacked before, or unpacked now from the system's own packages. */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from './run.ts';
import { LocalError, reason } from './local-error.ts';
import type { ServiceOptions } from './service.ts';

export interface RedisBinary {
  readonly file: string;
  /** Folders of the libraries it needs, for LD_LIBRARY_PATH; empty for an installed one. */
  readonly libraries: readonly string[];
}

/** Streams with XAUTOCLAIM, and what BullMQ asks for. */
const oldest = [6, 2] as const;

/** The environment in which the binary finds its libraries. */
export function redisEnvironment(binary: RedisBinary, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (binary.libraries.length === 0) return env;
  const path = [...binary.libraries, env['LD_LIBRARY_PATH']].filter(Boolean).join(':');
  return { ...env, LD_LIBRARY_PATH: path };
}

function works(binary: RedisBinary, env: NodeJS.ProcessEnv): boolean {
  const said = spawnSync(binary.file, ['--version'], {
    env: redisEnvironment(binary, env),
    encoding: 'utf8',
  });
  const [, major, minor] = /v=(\d+)\.(\d+)/.exec(said.stdout ?? '') ?? [];
  if (said.status !== 0 || major === undefined) return false;
  return Number(major) > oldest[0] || (Number(major) === oldest[0] && Number(minor) >= oldest[1]);
}

/** Debian's packages unpacked into a folder. */
function unpacked(folder: string): RedisBinary {
  const libraries = globSync('{usr/,}lib/**/*.so*', { cwd: folder }).map((file) =>
    join(folder, dirname(file)),
  );
  return { file: join(folder, 'usr/bin/redis-server'), libraries: [...new Set(libraries)] };
}

/** Folders that may hold the unpacked copy: one for all checkouts of this user, else one inside the data folder. */
function folders(dataDir: string, env: NodeJS.ProcessEnv): string[] {
  const cache = env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return [join(cache, 'modelarium', `redis-server-${process.arch}`), join(dataDir, 'redis-server')];
}

function writable(folder: string): boolean {
  try {
    mkdirSync(dirname(folder), { recursive: true, mode: 0o700 });
    const probe = `${folder}.probe-${process.pid}`;
    mkdirSync(probe);
    rmSync(probe, { recursive: true });
    return true;
  } catch {
    return false;
  }
}

/** Removes what downloads that were killed left; younger ones may still be at work. */
function sweep(folder: string): void {
  const parent = dirname(folder);
  for (const name of readdirSync(parent).filter((each) => each.includes('.partial-'))) {
    const path = join(parent, name);
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > 3_600_000) rmSync(path, { recursive: true, force: true });
  }
}

/** apt with lists and cache of our own: needs no root and changes nothing outside `work`. */
function aptOptions(work: string): string[] {
  for (const each of ['lists/partial', 'cache/archives/partial'])
    mkdirSync(join(work, each), { recursive: true });
  const options = {
    'Dir::State::Lists': `${work}/lists/`,
    'Dir::Cache': `${work}/cache/`,
    'Debug::NoLocking': 'true',
    // As root apt would download as another user, who cannot reach a private folder.
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '2',
    'Acquire::http::Timeout': '20',
    'Acquire::https::Timeout': '20',
  };
  return Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** Downloads with apt, unpacks with dpkg, and moves the whole into place: who else does the same at once wins or loses whole. */
async function unpack(folder: string, env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<void> {
  sweep(folder);
  const work = `${folder}.partial-${process.pid}`;
  const root = join(work, 'root');
  mkdirSync(root, { recursive: true });
  try {
    const apt = [...aptOptions(work), '-q'];
    const call = (file: string, args: string[]) => run({ file, args, env }, { signal });
    // A broken third-party source makes `update` fail although Debian's own lists are there: what counts is the next step.
    const update = await call('apt-get', [...apt, 'update']);
    const install = ['install', '--download-only', '--yes', '--no-install-recommends', 'redis-server'];
    const download = await call('apt-get', [...apt, ...install]);
    const packages = globSync(join('cache/archives', '*.deb'), { cwd: work });
    if (download.code !== 0 || packages.length === 0) throw new Error((download.err || update.err).trim());
    for (const each of packages) {
      const unpacking = await call('dpkg', ['-x', join(work, each), root]);
      if (unpacking.code !== 0) throw new Error(unpacking.err.trim());
    }
    if (!works(unpacked(root), env)) throw new Error('the unpacked redis-server does not run');
    if (works(unpacked(folder), env)) return;
    // A copy that does not run (any more) must not stand in the way of this one.
    if (existsSync(folder)) renameSync(folder, join(work, 'broken'));
    renameSync(root, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const ways =
  'Install redis-server or valkey-server, version 6.2 or newer (on Debian: `apt-get install redis-server`), ' +
  'or set REDIS_URL to a Redis of yours.';

/**
 * A Redis or Valkey that runs on this machine.
 * @throws LocalError that names the ways to get one.
 */
export async function redisBinary(
  options: Pick<ServiceOptions, 'dataDir' | 'env' | 'log' | 'signal'>,
): Promise<RedisBinary> {
  const { dataDir, env } = options;
  const installed = ['redis-server', 'valkey-server'].map((file) => ({ file, libraries: [] }));
  const places = folders(dataDir, env);
  const known = () => places.filter((folder) => existsSync(folder)).map(unpacked);
  const found = [...installed, ...known()].find((binary) => works(binary, env));
  if (found) return found;

  const folder = places.find(writable);
  if (!folder) throw new LocalError(`No Redis was found. ${ways}`);
  options.log?.("Redis is not installed: fetching it from this system's package source, once for this user.");
  try {
    await unpack(folder, env, options.signal);
  } catch (error) {
    throw new LocalError(`No Redis was found, and none could be fetched with apt. ${ways}\n${reason(error)}`);
  }
  return unpacked(folder);
}
