import { createServer } from 'node:net';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { holderOf } from '#src/local/lock.ts';
import { recordedProcesses, recordedReplicas, type ProcessRole } from '#src/local/process-record.ts';
import { freePort } from '#src/local/port.ts';
import { isAlive, type ProcessIdentity } from '#src/platform/process-identity.ts';
import { Session, testFolder } from './terminal-session.ts';

const program = join(import.meta.dirname, 'fixture/supervise.ts');

const start = (dataDir: string, env: NodeJS.ProcessEnv = {}): Session =>
  new Session(program, { DATA_DIR: dataDir, PORT: '0', ...env });

async function up(dataDir: string, env: NodeJS.ProcessEnv = {}): Promise<{ session: Session; url: string }> {
  const session = start(dataDir, env);
  const [, url = ''] = await session.shows(/Modelarium is up\. Open (\S+)\/graphql[^]*Stop with Ctrl-C/);
  return { session, url };
}

function identityOf(dataDir: string, role: ProcessRole): ProcessIdentity {
  const identity = recordedProcesses(dataDir)[role];
  if (!identity) throw new Error(`${role} is not on record`);
  return identity;
}

const log = (dataDir: string, name: string): string => readFileSync(join(dataDir, 'logs', name), 'utf8');

test('a start shows one screen, and Ctrl-C ends all in order', async () => {
  const dataDir = testFolder();
  const { session, url } = await up(dataDir);
  expect(await (await fetch(url)).text()).toBe('ok');
  const all = [
    ...Object.values(recordedProcesses(dataDir)),
    ...recordedReplicas(dataDir).map((each) => each.replica),
  ];
  expect(all).toHaveLength(5);
  expect(all.filter(isAlive)).toHaveLength(5);
  expect(session.printed).toContain(`curl -s ${url}/graphql`);
  expect(holderOf(dataDir)).toMatchObject({ pid: session.process.pid, url });
  expect(statSync(dataDir).mode & 0o077).toBe(0);

  session.signal('SIGINT');
  expect(await session.ended).toBe(0);
  expect(session.printed).toMatch(/Stopping\.\nStopped\. The data stay in .*\n$/);
  expect(all.filter(isAlive)).toEqual([]);
  expect(log(dataDir, 'api.log')).toContain('api ends beside api postgres redis replica worker');
  expect(log(dataDir, 'worker.log')).toContain('worker ends beside postgres redis replica worker');
  expect(log(dataDir, 'worker.log')).toContain('replica ends beside postgres redis replica');
  expect(log(dataDir, 'postgres.log')).toContain('database system is shut down');
  expect(existsSync(join(dataDir, 'run/supervisor.json'))).toBe(false);
});

test('a second start beside the first names it and ends calmly', async () => {
  const dataDir = testFolder();
  const { session, url } = await up(dataDir);
  const second = start(dataDir);
  expect(await second.ended).toBe(1);
  expect(second.printed).toContain(
    `Modelarium runs already at ${url}: process ${session.process.pid}, since 2`,
  );
  expect(second.printed).not.toContain('    at ');
  expect(isAlive(identityOf(dataDir, 'postgres'))).toBe(true);
});

test('after kill -9 the next start ends what was left, leaves replicas, and comes up', async () => {
  const dataDir = testFolder();
  const PORT = String(await freePort());
  const first = await up(dataDir, { PORT });
  const left = recordedProcesses(dataDir);
  const [replica] = recordedReplicas(dataDir);
  const hostId = readFileSync(join(dataDir, 'host-id'), 'utf8');
  first.session.signal('SIGKILL');
  expect(await first.session.ended).toBe('SIGKILL');
  expect(Object.values(left).filter(isAlive)).toHaveLength(4);

  const next = await up(dataDir, { PORT });
  expect(next.session.printed).toContain('ended what it had left: api, worker, redis, postgres.');
  expect(Object.values(left).filter(isAlive)).toEqual([]);
  expect(Object.values(recordedProcesses(dataDir)).filter(isAlive)).toHaveLength(4);
  expect(replica && isAlive(replica.replica)).toBe(true);
  expect(readFileSync(join(dataDir, 'host-id'), 'utf8')).toBe(hostId);
  expect(next.url).toBe(first.url);
});

test('a start that was killed in the middle is no obstacle either', async () => {
  const dataDir = testFolder();
  for (const moment of [/Starting Modelarium/, /Starting Modelarium/]) {
    const session = start(dataDir);
    await session.shows(moment);
    session.signal('SIGKILL');
    await session.ended;
  }
  await up(dataDir);
});

test.for(['api', 'worker', 'redis', 'postgres'] as const)(
  '%s is started again when it dies',
  async (role) => {
    const dataDir = testFolder();
    const { session, url } = await up(dataDir);
    const before = identityOf(dataDir, role);
    process.kill(before.pid, 'SIGKILL');
    await session.shows(new RegExp(`^${role} ended \\(signal SIGKILL\\); starting it again\\.$`, 'm'));
    const [, pid] = await session.shows(new RegExp(`^${role} runs again \\(pid (\\d+)\\)\\.$`, 'm'));
    expect(identityOf(dataDir, role).pid).toBe(Number(pid));
    expect(await (await fetch(url)).text()).toBe('ok');
  },
);

test('Ctrl-C while starting leaves nothing', async () => {
  const dataDir = testFolder();
  const session = start(dataDir);
  await session.shows(/Starting Modelarium/);
  session.signal('SIGINT');
  expect(await session.ended).toBe(0);
  expect(session.printed).not.toContain('    at ');
  expect(Object.values(recordedProcesses(dataDir)).filter(isAlive)).toEqual([]);
});

test('a taken port is an error where it was asked for', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const session = start(testFolder(), { PORT: String(port) });
  expect(await session.ended).toBe(1);
  expect(session.printed).toContain(`PORT: cannot listen on 127.0.0.1:${port}`);
});

test('two starts without a port find one each', async () => {
  // Both see the same ports free and run for them.
  const [one, two] = await Promise.all([up(testFolder(), { PORT: '' }), up(testFolder(), { PORT: '' })]);
  expect(two.url).not.toBe(one.url);
  expect(one.session.printed + two.session.printed).toMatch(/Port 4000 is taken; using \d+\./);
});

test('a wrong variable is named, and nothing is started', async () => {
  const session = start(testFolder(), { LOG_LEVEL: 'loud' });
  expect(await session.ended).toBe(1);
  expect(session.printed).toMatch(/LOG_LEVEL: .*"loud"/);
});

test('services that the environment names are used as they are', async () => {
  const dataDir = testFolder();
  const { session } = await up(dataDir, {
    DATABASE_URL: 'postgres://somebody:secret@127.0.0.1:1/theirs',
    REDIS_URL: 'redis://127.0.0.1:1',
  });
  expect(Object.keys(recordedProcesses(dataDir)).toSorted()).toEqual(['api', 'worker']);
  expect(session.printed).toMatch(/PostgreSQL +from DATABASE_URL\n +Redis +from REDIS_URL\n/);
  expect(session.printed).not.toContain('secret');
});
