/** PostgreSQL refuses to run as root. This finds a way that adds nothing to the system. */
import { spawnSync } from 'node:child_process';
import { lchownSync, readFileSync, readdirSync, statSync, chmodSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Command } from './child.ts';
import { LocalError } from './local-error.ts';

/** Turns a command into one that runs without root's powers, and hands it the folder it works in. */
export interface Unprivileged {
  /** Makes `folder` (a real one, inside the data folder) belong to whom the command runs as. */
  own(folder: string): void;
  command(command: Command): Command;
}

interface User {
  readonly uid: number;
  readonly gid: number;
}

/** A user without powers that exists here: initdb looks the name of its user up, and fails where there is none. */
function plainUser(): User | undefined {
  let lines: string[][];
  try {
    lines = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'));
  } catch {
    return undefined;
  }
  const users = lines.filter((line) => Number(line[2]) > 0);
  const line = users.find(([name]) => name === 'nobody') ?? users[0];
  return line && { uid: Number(line[2]), gid: Number(line[3]) };
}

function hasName(): boolean {
  try {
    return userInfo().username !== '';
  } catch {
    return false;
  }
}

function chown(path: string, user: User): void {
  lchownSync(path, user.uid, user.gid);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) chown(inner, user);
    else lchownSync(inner, user.uid, user.gid);
  }
}

/** Gives a folder to a user; the two ways below leave different owners, and a machine can change between starts. */
function give(folder: string, user: User): void {
  if (statSync(folder).uid !== user.uid) chown(folder, user);
}

const succeeds = (file: string, args: readonly string[], env: NodeJS.ProcessEnv, user?: User): boolean =>
  spawnSync(file, args, { stdio: 'ignore', env, ...user }).status === 0;

const asIs: Unprivileged = { own: () => {}, command: (command) => command };

/** A user namespace in which our own user bears another number: files stay ours, nothing needs to be reachable anew. */
function namespaced(user: User, env: NodeJS.ProcessEnv): Unprivileged | undefined {
  const flags = ['--user', `--map-user=${user.uid}`, `--map-group=${user.gid}`];
  if (!succeeds('unshare', [...flags, 'true'], env)) return undefined;
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  return {
    own: (folder) => give(folder, self),
    command: (command) => ({ ...command, file: 'unshare', args: [...flags, command.file, ...command.args] }),
  };
}

/** Root without user namespaces (many containers): really become that user, who then needs a way to the files. */
function switched(user: User, dataDir: string, binary: string, env: NodeJS.ProcessEnv): Unprivileged {
  chmodSync(dataDir, 0o711);
  for (const path of [dataDir, binary]) {
    if (succeeds('test', ['-x', path], env, user)) continue;
    throw new LocalError(
      `PostgreSQL cannot run as root, user namespaces are forbidden here, and the unprivileged user ${user.uid} ` +
        `cannot reach ${path}.\n` +
        'Start as an ordinary user, or move the project and DATA_DIR to where every user may enter, ' +
        'or set DATABASE_URL to a PostgreSQL of yours.',
    );
  }
  return { own: (folder) => give(folder, user), command: (command) => ({ ...command, ...user }) };
}

/**
 * How to run `binary` with data below `dataDir` without being root.
 * @throws LocalError where there is no way, naming DATABASE_URL as the other one.
 */
export function unprivileged(dataDir: string, binary: string, env: NodeJS.ProcessEnv): Unprivileged {
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && hasName()) return asIs;
  const user = plainUser();
  const way = user && (namespaced(user, env) ?? (isRoot ? switched(user, dataDir, binary, env) : undefined));
  if (way) return way;
  throw new LocalError(
    `PostgreSQL cannot run as ${isRoot ? 'root' : 'a user without a name'} here. ` +
      'Start as an ordinary user, or set DATABASE_URL to a PostgreSQL of yours.',
  );
}
