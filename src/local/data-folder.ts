/** The folder of everything that `npm start` keeps. */
import { mkdirSync, readdirSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { keptOnce } from './secret.ts';

/** Stands in a folder that `npm start` made, and only there: `npm run reset` empties no other. */
const marker = '.modelarium-data';

const entries = (dataDir: string): string[] => (existsSync(dataDir) ? readdirSync(dataDir) : []);

export const isMarked = (dataDir: string): boolean => existsSync(join(dataDir, marker));
export const isEmpty = (dataDir: string): boolean => entries(dataDir).length === 0;

/** Makes the folder, for its owner only, and marks it unless it holds something already that may not be ours. */
export function prepareDataFolder(dataDir: string): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  if (isEmpty(dataDir)) {
    writeFileSync(
      join(dataDir, marker),
      'The data of one Modelarium. `npm run reset` empties this folder.\n',
    );
  }
  for (const folder of ['run', 'logs']) mkdirSync(join(dataDir, folder), { recursive: true, mode: 0o700 });
}

/** This host's name towards the others, chosen once. */
export const hostId = (dataDir: string): string =>
  keptOnce(join(dataDir, 'host-id'), () => `host-${randomBytes(6).toString('hex')}`);

/** Deletes everything in the folder; the marker and what tells of a running process go last, in case this is interrupted. */
export function emptyDataFolder(dataDir: string): void {
  const last = ['run', marker];
  const order = [...entries(dataDir).filter((name) => !last.includes(name)), ...last];
  for (const name of order) rmSync(join(dataDir, name), { recursive: true, force: true, maxRetries: 3 });
}
