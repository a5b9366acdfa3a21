/** `npm start` with everything up, killed and started again, with the real programs. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { recordedProcesses, recordedReplicas } from '#src/local/process-record.ts';
import { isAlive, type ProcessIdentity } from '#src/platform/process-identity.ts';
import { Session, testFolder } from '#test/local/terminal-session.ts';

const local = join(import.meta.dirname, '../../src/local');

async function up(dataDir: string): Promise<{ session: Session; url: string }> {
  const session = new Session(join(local, 'start.ts'), { DATA_DIR: dataDir, PORT: '0' });
  const [, url = ''] = await session.shows(/Modelarium is up\. Open (\S+)\/graphql[^]*Stop with Ctrl-C/);
  return { session, url };
}

/** What the curl line on the screen answers. */
async function predictOnDemo(url: string): Promise<unknown> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: readFileSync(join(local, 'demo/predict.json')),
  });
  return response.json();
}

const answer = { data: { predict: { version: { number: 2 }, rows: expect.any(Array) } } };

const replicas = (dataDir: string): ProcessIdentity[] =>
  recordedReplicas(dataDir).map(({ replica }) => replica);

/** Command lines of processes that have to do with a folder. */
function commandsOn(folder: string): string[] {
  const commands = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    });
  return commands.filter((command) => command.includes(folder));
}

test('kill -9: the next start cleans up and comes up, and Ctrl-C ends every process', async () => {
  const dataDir = testFolder();
  const first = await up(dataDir);
  expect(await predictOnDemo(first.url)).toMatchObject(answer);
  const left = Object.values(recordedProcesses(dataDir));
  const [replica] = replicas(dataDir);
  first.session.signal('SIGKILL');
  expect(await first.session.ended).toBe('SIGKILL');
  expect([...left, replica as ProcessIdentity].filter(isAlive)).toHaveLength(5);
  expect(await predictOnDemo(first.url)).toMatchObject(answer);

  const next = await up(dataDir);
  expect(next.session.printed).toContain('ended what it had left: api, worker, redis, postgres.');
  expect(left.filter(isAlive)).toEqual([]);
  expect(await predictOnDemo(next.url)).toMatchObject(answer);
  expect(replicas(dataDir).filter(isAlive)).toEqual([replica]);

  const all = [...Object.values(recordedProcesses(dataDir)), ...replicas(dataDir)];
  next.session.signal('SIGINT');
  expect(await next.session.ended).toBe(0);
  expect(all.filter(isAlive)).toEqual([]);
  expect(commandsOn(dataDir)).toEqual([]);
  for (const name of ['api', 'worker']) {
    expect(readFileSync(join(dataDir, `logs/${name}.log`), 'utf8')).not.toContain('unhandled rejection');
  }
}, 120_000);
