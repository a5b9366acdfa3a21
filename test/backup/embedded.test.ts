/** The three commands beside `npm start`, as the README says. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { postGraphQL } from '#test/helpers/client.ts';
import { testFolder, type Session } from '#test/local/terminal-session.ts';
import { begin, ended } from './commands.ts';

async function up(session: Session): Promise<string> {
  return (await session.shows(/Open \S*?(http:\/\/[\d.:]+)[\s\S]*Stop with Ctrl-C/))[1] as string;
}

async function down(session: Session): Promise<void> {
  session.signal('SIGINT');
  await ended(session);
}

test('a running installation is backed up and verified, and comes up from the backup somewhere else', async () => {
  const backup = join(mkdtempSync(join(tmpdir(), 'modelarium-backup-test-')), 'backup');
  onTestFinished(() => rmSync(join(backup, '..'), { recursive: true, force: true }));
  const [first, second] = [testFolder(), testFolder()];
  const environment = { DATA_DIR: first, PORT: '0' };
  const running = begin('start', environment);
  await up(running);
  expect(await ended(begin('backup', environment, join(first, 'inside')), 1)).toMatch(/lies in/);
  expect(await ended(begin('backup', environment, backup))).toMatch(/2 files \([^)]*\), 2 of them/);
  expect(await ended(begin('verify', environment))).toMatch(/2 files .* are as they should be/);
  const refused = await ended(begin('restore', environment, backup), 1);
  expect(refused).toContain(`process ${running.process.pid}`);
  await down(running);

  // Its PostgreSQL is started for it, and is gone afterwards.
  expect(await ended(begin('backup', environment, backup))).toMatch(/0 of them/);
  expect(await ended(begin('restore', environment, backup), 1)).toMatch(/not empty.*npm run reset/);
  const other = { DATA_DIR: second, PORT: '0' };
  expect(await ended(begin('verify', other), 1)).toMatch(/There is no installation in/);
  expect(await ended(begin('restore', other, backup))).toMatch(/Restored what was there/);
  const restored = begin('start', other);
  const url = await up(restored);
  // The demo is there already: nothing is set up, and it answers.
  expect(restored.printed).not.toContain('Setting up the demo');
  const answer = await postGraphQL<{ deployment: unknown; models: unknown }>(
    url,
    '{ project(name: "demo") { deployment(name: "breast-cancer") { state } model(name: "breast-cancer") { latest { number } } } }',
  );
  expect(answer.body).toMatchObject({
    data: { project: { deployment: { state: 'LIVE' }, model: { latest: { number: 2 } } } },
  });
  const body = readFileSync(join(import.meta.dirname, '../../src/local/demo/predict.json'));
  const headers = { 'content-type': 'application/json' };
  const predicted = await fetch(`${url}/graphql`, { method: 'POST', headers, body });
  expect(await predicted.json()).toMatchObject({ data: { predict: { rows: [{ label: 'malignant' }] } } });
  await down(restored);
});
