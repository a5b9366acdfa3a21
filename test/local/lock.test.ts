import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { holderOf, takeLock } from '#src/local/lock.ts';
import { identify } from '#src/platform/process-identity.ts';
import { testFolder } from './terminal-session.ts';

const stale = (start: string): string =>
  JSON.stringify({ pid: process.pid, start, since: '2026-01-01T00:00:00.000Z', url: null });

test('of several that start at once over a dead one, exactly one wins', async () => {
  const dataDir = testFolder();
  mkdirSync(join(dataDir, 'run'));
  // Our own pid with another start time: a number that was given away again.
  writeFileSync(join(dataDir, 'run/supervisor.json'), stale('1'));
  const file = join(import.meta.dirname, 'fixture/take-lock.ts');
  const rivals = Array.from({ length: 5 }, () => {
    const rival = fork(file, { env: { ...process.env, DATA_DIR: dataDir } });
    onTestFinished(() => void rival.kill('SIGKILL'));
    return rival;
  });
  await Promise.all(rivals.map((rival) => once(rival, 'message')));
  const answers = rivals.map(async (rival) => {
    const [answer] = await once(rival, 'message');
    return { answer: String(answer), pid: rival.pid };
  });
  for (const rival of rivals) rival.send('go');
  const results = await Promise.all(answers);
  const [winner, ...others] = results.filter(({ answer }) => answer === 'taken');
  expect(others).toEqual([]);
  expect(holderOf(dataDir)?.pid).toBe(winner?.pid);
});

test('a released lock can be taken, a held one tells who has it', async () => {
  const dataDir = testFolder();
  mkdirSync(join(dataDir, 'run'));
  const lock = await takeLock(dataDir);
  if ('heldBy' in lock) throw new Error('nobody had it');
  lock.announce('http://127.0.0.1:4000');
  expect(await takeLock(dataDir)).toMatchObject({
    heldBy: { ...identify(process.pid), url: 'http://127.0.0.1:4000' },
  });
  lock.release();
  expect(holderOf(dataDir)).toBeUndefined();
  expect(await takeLock(dataDir)).not.toHaveProperty('heldBy');
});
