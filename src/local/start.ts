/** Entry of `npm start`. */
import { resolve } from 'node:path';
import { migrate } from '../platform/migrate.ts';
import { seedDemo } from './demo.ts';
import { superviseInTerminal } from './terminal.ts';

const root = resolve(import.meta.dirname, '../..');

await superviseInTerminal({
  env: process.env,
  programs: { api: resolve(root, 'schema/server.ts'), worker: resolve(root, 'workers/main.ts') },
  migrate,
  seedDemo,
});
