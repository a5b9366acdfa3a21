/** The ledger through the public door: as pages, and followed over WebSocket and server-sent events. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '#src/platform/id.ts';
import { webSocketClient } from '#test/helpers/client.ts';
import { Installation } from '#test/helpers/installation.ts';
import { innerId } from '#test/helpers/ledger.ts';
import { done } from '#test/helpers/registry.ts';
import { createModel, createProject, createToken } from '#test/helpers/work.ts';
import { RawClient } from '#test/live/raw-client.ts';
import { anEvent, LedgerWriter } from './writer.ts';

const ADMIN = 'the-first-admin-has-a-token-of-sufficient-length';
const admin = { token: ADMIN };

interface Event {
  readonly id: string;
  readonly sequence: number;
  readonly type: string;
  readonly at: string;
  readonly summary: string;
  readonly actor: { readonly name: string; readonly kind: string };
  readonly subject: { readonly __typename: string; readonly id: string } | null;
  readonly data: Record<string, unknown>;
}

const eventFields = 'id sequence type at summary actor { name kind } subject { __typename id } data';
const follow = `subscription ($project: ID!, $after: BigInt, $types: [LedgerEventType!]) {
  ledger(project: $project, after: $after, types: $types) { sequence type data }
}`;
const page = `query ($project: ID!, $first: Int, $after: String, $subject: ID, $types: [LedgerEventType!]) {
  node(id: $project) { ... on Project {
    ledger(first: $first, after: $after, subject: $subject, types: $types) {
      edges { cursor node { ${eventFields} } } pageInfo { hasNextPage endCursor }
    }
  } }
}`;

interface Page {
  readonly edges: readonly { readonly cursor: string; readonly node: Event }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

const installation = new Installation({ workers: 0, adminToken: ADMIN });
let count = 0;
let project: string;
let name: string;
let writer: LedgerWriter;

beforeAll(async () => installation.start());

beforeEach(async () => {
  await writer?.close();
  name = `project-${++count}`;
  project = await createProject(installation, name, admin);
  writer = new LedgerWriter(installation.openDatabase(), project);
});

afterAll(async () => writer.close());

async function pageOf(variables: object): Promise<Page> {
  const { node } = await installation.data<{ node: { ledger: Page } }>(
    page,
    { project, ...variables },
    admin,
  );
  return node.ledger;
}

async function eventsOf(variables: object = {}): Promise<Event[]> {
  return (await pageOf(variables)).edges.map(({ node }) => node);
}

const numbersOf = (events: readonly { readonly sequence: number }[]): number[] =>
  events.map(({ sequence }) => sequence);
const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);

/** What a subscription answers until `isLast`. */
async function followed(
  variables: object,
  isLast: (event: Event) => boolean,
  token = ADMIN,
): Promise<Event[]> {
  const events: Event[] = [];
  const stream = installation.subscribe<{ ledger: Event }>(follow, { project, ...variables }, { token });
  for await (const { ledger } of stream) {
    events.push(ledger);
    if (isLast(ledger)) break;
  }
  return events;
}

/** Writes so many events that it takes several pages, and more than a process keeps; the last one's number. */
async function writeMany(changes: number, ofEach: number): Promise<number> {
  let last = 0;
  for (let i = 0; i < changes; i++) {
    const type = i % 10 === 0 ? 'MODEL_DELETED' : 'MODEL_UPDATED';
    last = await writer.write(...range(1, ofEach).map((n) => anEvent(n === 1 ? type : undefined)));
  }
  return last;
}

describe('pages', () => {
  test('what was done, by whom and to what, newest first', async () => {
    const model = await createModel(installation, name, 'fraud', admin);
    await done(installation, 'updateModel', { model, description: 'Cards.' }, 'id', admin);
    const events = await eventsOf();
    const actor = { name: 'admin', kind: 'USER' };
    const about = { actor, subject: { __typename: 'Model', id: model } };
    expect(events).toMatchObject([
      { sequence: 3, type: 'MODEL_UPDATED', summary: 'admin changed model fraud.', ...about },
      { sequence: 2, type: 'MODEL_CREATED', summary: 'admin created model fraud.', ...about },
      {
        sequence: 1,
        summary: `admin created project ${name}.`,
        subject: { __typename: 'Project', id: project },
      },
    ]);
    expect(events[1]?.data).toEqual({ name: 'fraud', description: null, tags: [] });
    const times = events.map(({ at }) => Date.parse(at));
    expect(times).toEqual([...new Set(times)].toSorted((a, b) => b - a));
    const { node } = await installation.data<{ node: Event }>(
      `query ($id: ID!) { node(id: $id) { ... on LedgerEvent { ${eventFields} } } }`,
      { id: events[0]?.id },
      admin,
    );
    expect(node).toEqual(events[0]);
  });

  test('an alias is shown by its model; a token, and what is not there, is not shown', async () => {
    const model = await createModel(installation, name, 'fraud', admin);
    await createToken(installation, { project: name, name: 'ci', role: 'AUTHOR' }, admin);
    const subject = { type: 'Alias', id: innerId(project) } as const;
    const data = { model: 'fraud', name: 'champion', from: null, to: 1 };
    await writer.write(
      { type: 'ALIAS_MOVED', subject, modelId: innerId(model), data },
      anEvent('MODEL_DELETED'),
    );
    expect((await eventsOf()).map(({ summary, subject: shown }) => [summary, shown])).toEqual([
      ['alice deleted model fraud.', null],
      ['alice set fraud@champion to 1.', { __typename: 'Model', id: model }],
      ['admin created token ci of role AUTHOR.', null],
      ['admin created model fraud.', { __typename: 'Model', id: model }],
      [`admin created project ${name}.`, { __typename: 'Project', id: project }],
    ]);
  });

  test('page by page, and only some types', async () => {
    const last = await writeMany(12, 3);
    const first = await pageOf({ first: 30 });
    expect(numbersOf(first.edges.map(({ node }) => node))).toEqual(range(last - 29, last).toReversed());
    expect(first.pageInfo.hasNextPage).toBe(true);
    const rest = await pageOf({ first: 30, after: first.pageInfo.endCursor });
    expect(numbersOf(rest.edges.map(({ node }) => node))).toEqual(range(1, last - 30).toReversed());
    expect(rest.pageInfo.hasNextPage).toBe(false);
    const types = ['MODEL_DELETED', 'PROJECT_CREATED'];
    const some = await pageOf({ types, first: 2 });
    expect(numbersOf(some.edges.map(({ node }) => node))).toEqual([32, 2]);
    expect(numbersOf(await eventsOf({ types, after: some.pageInfo.endCursor }))).toEqual([1]);
    expect(await eventsOf({ types: [] })).toEqual([]);
  });

  test('of one thing; of a model with everything in it; of the project, which is everything', async () => {
    const model = await createModel(installation, name, 'fraud', admin);
    const modelId = innerId(model);
    const { token } = await createToken(installation, { project: name, name: 'ci', role: 'READER' }, admin);
    const version = newId();
    const versionEvent = { type: 'VERSION_READY', subject: { type: 'Version', id: version } } as const;
    await writer.write({ ...versionEvent, modelId, data: { model: 'fraud', number: 1 } }, anEvent());
    const versionNode = Buffer.from(`Version:${version}`).toString('base64');
    expect(numbersOf(await eventsOf({ subject: model }))).toEqual([4, 2]);
    expect(numbersOf(await eventsOf({ subject: versionNode }))).toEqual([4]);
    expect(numbersOf(await eventsOf({ subject: token.id }))).toEqual([3]);
    expect(numbersOf(await eventsOf({ subject: project }))).toEqual([5, 4, 3, 2, 1]);
    const other = await createProject(installation, `${name}-other`, admin);
    expect(await eventsOf({ subject: other })).toEqual([]);
  });

  test.for([
    [
      'an event',
      (): string => Buffer.from(`LedgerEvent:${innerId(project)}`).toString('base64'),
      'the id of a LedgerEvent',
    ],
    ['no id', (): string => 'nothing', '"nothing"'],
  ] as const)('%s is no subject', async ([, subject, found]) => {
    const { body } = await installation.gql(page, { project, subject: subject() }, admin);
    expect(body.errors?.[0]?.extensions).toMatchObject({
      code: 'VALIDATION',
      issues: [{ path: ['subject'], found }],
    });
  });
});

describe('following', () => {
  test('from now on: nothing of what was before', async () => {
    const before = await writeMany(1, 5);
    const stream = installation.subscribe<{ ledger: Event }>(follow, { project }, admin);
    const events: Event[] = [];
    const next = async (): Promise<void> => void events.push((await stream.next()).value?.ledger as Event);
    const first = next();
    // Nobody tells when the subscription has begun: it has when one of these comes.
    let last = before;
    while (events.length === 0) last = await writer.write(anEvent());
    await first;
    expect(events[0]?.sequence).toBeGreaterThan(before);
    while ((events.at(-1)?.sequence ?? 0) < last) await next();
    expect(numbersOf(events)).toEqual(range(events[0]?.sequence ?? 0, last));
    await stream.return();
  });

  test('after a number: all that was since, more than a process keeps, then what comes', async () => {
    const before = await writeMany(25, 60);
    const last = before + 3;
    const [all, some] = [
      followed({ after: 0 }, ({ sequence }) => sequence === last),
      followed({ after: before - 70 }, ({ sequence }) => sequence === last),
    ];
    await writer.write(anEvent(), anEvent());
    await writer.write(anEvent());
    expect(numbersOf(await all)).toEqual(range(1, last));
    expect(numbersOf(await some)).toEqual(range(before - 69, last));
  });

  test('large events', async () => {
    const large = 'x'.repeat(60_000);
    for (let i = 0; i < 6; i++) await writer.write(...range(1, 20).map(() => anEvent(undefined, { large })));
    const events = await followed({ after: 0 }, ({ sequence }) => sequence === 121);
    expect(numbersOf(events)).toEqual(range(1, 121));
    expect(events.at(-1)?.data['large']).toBe(large);
  });

  test('only some types, of the past and then', async () => {
    const before = await writeMany(31, 50);
    const types = ['MODEL_DELETED', 'TOKEN_REVOKED'];
    const events = followed({ after: 1, types }, ({ sequence }) => sequence === before + 3);
    await writer.write(anEvent(), anEvent('TOKEN_CREATED'), anEvent('TOKEN_REVOKED'));
    expect(numbersOf(await events)).toEqual([2, 502, 1002, 1502, before + 3]);
  });

  test('a hint brings it sooner than the next look would', async () => {
    const hinting = new LedgerWriter(installation.openDatabase(), project, {
      url: installation.redisUrl,
      prefix: installation.redisPrefix,
    });
    await hinting.ready();
    const stream = installation.subscribe<{ ledger: Event }>(follow, { project, after: 0 }, admin);
    await stream.next();
    // As many looks would take longer than a test may.
    for (let i = 0; i < 70; i++) {
      const last = await hinting.write(anEvent());
      expect((await stream.next()).value?.ledger.sequence).toBe(last);
    }
    await stream.return();
    await hinting.close();
  });

  test('many followers from many places each get theirs', async () => {
    const before = await writeMany(10, 100);
    const last = before + 20;
    const places = range(0, 49).map((n) => n * 20);
    const all = places.map((after) => followed({ after }, ({ sequence }) => sequence === last));
    for (let i = 0; i < 20; i++) await writer.write(anEvent());
    const got = await Promise.all(all);
    expect(got.map(numbersOf)).toEqual(places.map((after) => range(after + 1, last)));
  });

  test.for([
    ['negative', -1],
    ['of an event to come', 2],
    ['beyond any number', '99999999999999999999'],
  ] as const)('a number that is %s is refused', async ([, after]) => {
    const client = webSocketClient(installation.api.url, admin);
    const { value } = await client.iterate({ query: follow, variables: { project, after } }).next();
    expect(value.errors[0].extensions).toMatchObject({
      code: 'VALIDATION',
      issues: [{ path: ['after'], expected: '0 to 1, the number of the last event', found: String(after) }],
    });
    await client.dispose();
  });

  test('a reader that stops for a while gets everything, in order', async () => {
    const url = `${installation.api.url.replace('http', 'ws')}/graphql`;
    const reader = await RawClient.connect(url, { authorization: `Bearer ${ADMIN}` });
    reader.subscribe('slow', follow, { project, after: 0 });
    await reader.next();
    reader.pause();
    const large = 'x'.repeat(60_000);
    // More than all buffers on the way hold.
    for (let i = 0; i < 14; i++) await writer.write(...range(1, 20).map(() => anEvent(undefined, { large })));
    // Another reader has everything: by then the slow one was offered all of it too.
    await followed({ after: 1 }, ({ sequence }) => sequence === 281);
    reader.resume();
    const messages = await reader.take(280);
    expect(messages.map(({ payload }) => payload.data.ledger.sequence)).toEqual(range(2, 281));
    await writer.write(anEvent());
    expect((await reader.next()).payload.data.ledger.sequence).toBe(282);
    reader.close();
  });
});

describe('who may follow', () => {
  const secretOf = async (of: string, tokenName: string): Promise<{ token: string; id: string }> => {
    const { secret, token } = await createToken(
      installation,
      { project: of, name: tokenName, role: 'READER' },
      admin,
    );
    return { token: secret, id: token.id };
  };

  test('a READER, who sees what happened to tokens too', async () => {
    const { token } = await secretOf(name, 'reader');
    const events = await followed({ after: 0 }, ({ sequence }) => sequence === 2, token);
    expect(events.at(-1)).toMatchObject({ type: 'TOKEN_CREATED', data: { name: 'reader', role: 'READER' } });
    expect(JSON.stringify(events)).not.toContain(token);
  });

  test('nobody of another project', async () => {
    const other = `${name}-other`;
    await createProject(installation, other, admin);
    const { token } = await secretOf(other, 'stranger');
    await expect(followed({ after: 0 }, () => true, token)).rejects.toThrow('NOT_FOUND');
    const { body } = await installation.gql(page, { project }, { token });
    expect(body.data).toEqual({ node: null });
    const [event] = await eventsOf();
    const node = 'query ($id: ID!) { node(id: $id) { id } }';
    expect((await installation.gql(node, { id: event?.id }, { token })).body.data).toEqual({ node: null });
  });

  test('whose token is revoked no more', async () => {
    const { token, id } = await secretOf(name, 'short');
    const url = `${installation.api.url.replace('http', 'ws')}/graphql`;
    const reader = await RawClient.connect(url, { authorization: `Bearer ${token}` });
    reader.subscribe('one', follow, { project, after: 0 });
    await reader.take(2);
    const revoke = 'mutation ($id: ID!) { revokeToken(input: { token: $id }) { __typename } }';
    await installation.data(revoke, { id }, admin);
    expect(await reader.closed).toMatchObject({ code: 4403 });
  });
});

describe('server-sent events', () => {
  async function* answers(
    variables: object,
  ): AsyncGenerator<{ data?: { ledger: Event } | null; errors?: unknown[] }> {
    const response = await fetch(`${installation.api.url}/graphql`, {
      method: 'POST',
      headers: {
        accept: 'text/event-stream',
        'content-type': 'application/json',
        authorization: `Bearer ${ADMIN}`,
      },
      body: JSON.stringify({ query: follow, variables: { project, ...variables } }),
    });
    let text = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data) yield JSON.parse(data);
      }
    }
  }

  test('all that was, then what comes', async () => {
    const before = await writeMany(24, 60);
    const numbers: number[] = [];
    for await (const { data } of answers({ after: 5 })) {
      numbers.push(data?.ledger.sequence ?? 0);
      if (numbers.length === 20) await writer.write(anEvent(), anEvent());
      if (numbers.at(-1) === before + 2) break;
    }
    expect(numbers).toEqual(range(6, before + 2));
  });

  test('a wrong number is an error, and the end', async () => {
    const got: object[] = [];
    for await (const answer of answers({ after: 7 })) got.push(answer);
    expect(got).toMatchObject([{ errors: [{ extensions: { code: 'VALIDATION' } }] }]);
  });
});
