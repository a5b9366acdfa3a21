import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { recordedProcesses, recordedReplicas } from '#src/local/process-record.ts';
import { isAlive } from '#src/platform/process-identity.ts';
import { Session, testFolder } from './terminal-session.ts';

const supervise = join(import.meta.dirname, 'fixture/supervise.ts');
const program = join(import.meta.dirname, '../../src/local/reset.ts');

async function reset(dataDir: string): Promise<{ code: unknown; printed: string }> {
  const session = new Session(program, { DATA_DIR: dataDir });
  const code = await session.ended;
  return { code, printed: session.printed };
}

test('reset refuses beside a running start, ends what a killed one left, and empties the folder', async () => {
  const dataDir = testFolder();
  const session = new Session(supervise, { DATA_DIR: dataDir, PORT: '0' });
  await session.shows(/Stop with Ctrl-C/);
  const refused = await reset(dataDir);
  expect(refused.code).toBe(1);
  expect(refused.printed).toContain(`process ${session.process.pid}`);
  const left = [
    ...Object.values(recordedProcesses(dataDir)),
    ...recordedReplicas(dataDir).map(({ replica }) => replica),
  ];
  expect(left.filter(isAlive)).toHaveLength(5);

  session.signal('SIGKILL');
  await session.ended;
  expect(await reset(dataDir)).toEqual({ code: 0, printed: `Emptied ${dataDir}.\n` });
  expect(left.filter(isAlive)).toEqual([]);
  expect(readdirSync(dataDir)).toEqual([]);
  expect((await reset(dataDir)).printed).toContain('is empty already');
});

test('reset leaves a folder alone that no start has made', async () => {
  const dataDir = testFolder();
  writeFileSync(join(dataDir, 'thesis.txt'), 'years of work');
  mkdirSync(join(dataDir, 'run'));
  const { code, printed } = await reset(dataDir);
  expect(code).toBe(1);
  expect(printed).toContain('left as it is');
  expect(existsSync(join(dataDir, 'thesis.txt'))).toBe(true);

  // A start in such a folder works, and still does not make it one that may be emptied.
  const session = new Session(supervise, { DATA_DIR: dataDir, PORT: '0' });
  await session.shows(/Stop with Ctrl-C/);
  session.signal('SIGINT');
  await session.ended;
  expect((await reset(dataDir)).code).toBe(1);
  expect(existsSync(join(dataDir, 'thesis.txt'))).toBe(true);
});
