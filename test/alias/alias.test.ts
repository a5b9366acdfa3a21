/** Aliases: set, moved by compare-and-set, protected, deleted. */
import { beforeAll, describe, expect, test } from 'vitest';
import { grow } from '#test/helpers/lineage.ts';
import { attempt, done, held, issueOf, refused, type HeldFile } from '#test/helpers/registry.ts';
import { PROJECT, startStack, type Stack } from '#test/helpers/stack.ts';
import { createToken, createVersion, workDone } from '#test/helpers/work.ts';

const fields = 'name protected movedAt movedBy { name kind } version { number }';
interface Standing {
  readonly name: string;
  readonly protected: boolean;
  readonly movedAt: string;
  readonly movedBy: { readonly name: string; readonly kind: string };
  readonly version: { readonly number: number };
}

let stack: Stack;
let bytes: HeldFile;
let author: string;
let operator: string;

beforeAll(async () => {
  stack = await startStack({ apis: 2 });
  bytes = await held(stack, 'breast-cancer/v1.onnx');
  const tokenOf = async (role: string) =>
    (await createToken(stack, { project: PROJECT, name: role.toLowerCase(), role })).secret;
  author = await tokenOf('AUTHOR');
  operator = await tokenOf('OPERATOR');
});

/** A model with so many versions, each a root. */
const modelOf = (name: string, versions: number): Promise<string> =>
  grow(
    stack,
    bytes,
    name,
    Array.from({ length: versions }, () => []),
  );

async function aliasesOf(model: string): Promise<Standing[]> {
  const query = `query ($id: ID!) { node(id: $id) { ... on Model { aliases { ${fields} } } } }`;
  return (await stack.data<{ node: { aliases: Standing[] } }>(query, { id: model })).node.aliases;
}

async function aliasOf(model: string, name: string): Promise<Standing | null> {
  const query = `query ($id: ID!, $name: String!) { node(id: $id) { ... on Model { alias(name: $name) { ${fields} } } } }`;
  return (await stack.data<{ node: { alias: Standing | null } }>(query, { id: model, name })).node.alias;
}

describe('moved', () => {
  test('from where it is expected to stand, and told by whom', async () => {
    const model = await modelOf('moved', 3);
    const set = (version: string, expected?: string, token?: string) =>
      done<Standing>(stack, 'setAlias', { model, name: 'champion', version, expected }, fields, { token });
    const first = await set('moved:1');
    expect(first).toMatchObject({
      name: 'champion',
      protected: false,
      movedBy: { name: 'local', kind: 'USER' },
      version: { number: 1 },
    });
    const second = await set('moved:2', 'moved:1', author);
    expect(second).toMatchObject({ movedBy: { name: 'author', kind: 'TOKEN' }, version: { number: 2 } });
    expect(Date.parse(second.movedAt)).toBeGreaterThan(Date.parse(first.movedAt));
    // Where it stands already it is not moved.
    expect(await set('moved:2', 'moved@champion')).toEqual(second);
    expect(await aliasOf(model, 'champion')).toEqual(second);
    await done(stack, 'setAlias', { model, name: 'a', version: 'moved:2' });
    expect((await aliasesOf(model)).map(({ name, version }) => [name, version.number])).toEqual([
      ['a', 2],
      ['champion', 2],
    ]);
    const query = `query ($ref: VersionRef!) { version(ref: $ref) { aliases { name } } }`;
    expect(await stack.data(query, { ref: `${PROJECT}/moved:2` })).toEqual({
      version: { aliases: [{ name: 'a' }, { name: 'champion' }] },
    });
    expect(await stack.data(query, { ref: `${PROJECT}/moved:1` })).toEqual({ version: { aliases: [] } });
  });

  test('not from anywhere else: the refusal tells where it stands', async () => {
    const model = await modelOf('stood', 3);
    const input = { model, name: 'champion', version: 'stood:3' };
    expect(await refused(stack, 'setAlias', { ...input, expected: 'stood:1' })).toMatchObject({
      __typename: 'ConflictError',
      current: null,
      message: 'stood@champion does not exist; version 1 was expected.',
    });
    await done(stack, 'setAlias', { model, name: 'champion', version: 'stood:2' });
    for (const [expected, wanted] of [
      [undefined, 'none was expected'],
      ['stood:1', 'version 1 was expected'],
    ]) {
      expect(await refused(stack, 'setAlias', { ...input, expected })).toMatchObject({
        __typename: 'ConflictError',
        code: 'CONFLICT',
        current: 'stood:2',
        message: `stood@champion stands for version 2; ${wanted}.`,
        hint: 'If you still want to move it, give expected: "stood:2".',
      });
    }
    expect(await aliasOf(model, 'champion')).toMatchObject({ version: { number: 2 } });
    // What the refusal tells can be given back as it is.
    await done(stack, 'setAlias', { ...input, expected: 'stood:2' });
  });
});

describe('at once', () => {
  test('of many who move it from the same place one wins, the others hear where it stands then', async () => {
    const model = await modelOf('raced', 12);
    await done(stack, 'setAlias', { model, name: 'champion', version: 'raced:12' });
    for (let round = 0, from = 12; round < 5; round++) {
      const targets = Array.from({ length: 11 }, (_, index) => index + 1).filter((number) => number !== from);
      const results = await Promise.all(
        targets.map((number) => {
          const input = { model, name: 'champion', version: `raced:${number}`, expected: `raced:${from}` };
          const api = stack.apis[number % 2]!;
          return attempt<Standing>(stack, 'setAlias', input, fields, { api });
        }),
      );
      const won = results.flatMap((result) => ('made' in result ? [result.made.version.number] : []));
      expect(won).toHaveLength(1);
      expect(await aliasOf(model, 'champion')).toMatchObject({ version: { number: won[0] } });
      for (const result of results) {
        if ('made' in result) continue;
        expect(result.refusal).toMatchObject({ __typename: 'ConflictError', current: `raced:${won[0]}` });
      }
      from = won[0]!;
    }
  });

  test('of many who make a new one, one does', async () => {
    const model = await modelOf('new', 10);
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        attempt<Standing>(stack, 'setAlias', { model, name: 'first', version: `new:${index + 1}` }, fields),
      ),
    );
    const won = results.flatMap((result) => ('made' in result ? [result.made] : []));
    expect(won).toHaveLength(1);
    expect(await aliasesOf(model)).toEqual(won);
  });

  test('it is moved or deleted, never both', async () => {
    const model = await modelOf('gone', 2);
    for (let round = 0; round < 10; round++) {
      await done(stack, 'setAlias', { model, name: 'a', version: 'gone:1' });
      const [moved, deleted] = await Promise.all([
        attempt(stack, 'setAlias', { model, name: 'a', version: 'gone:2', expected: 'gone:1' }),
        attempt(stack, 'deleteAlias', { model, name: 'a', expected: 'gone:1' }),
      ]);
      expect(['made' in moved, 'made' in deleted].filter(Boolean)).toHaveLength(1);
      const after = await aliasOf(model, 'a');
      if ('made' in deleted) expect(after).toBeNull();
      else {
        expect(deleted.refusal).toMatchObject({ current: 'gone:2' });
        await done(stack, 'deleteAlias', { model, name: 'a', expected: 'gone:2' });
      }
    }
  });

  test('a version gets an alias or is deleted, never both', async () => {
    const model = await stack.model('either');
    for (let round = 1; round <= 10; round++) {
      await done(stack, 'createVersion', { model, artifacts: [bytes], parents: [] });
      const version = `${PROJECT}/either:${round}`;
      const [set, deleted] = await Promise.all([
        attempt(stack, 'setAlias', { model, name: `a${round}`, version }),
        attempt(stack, 'deleteVersion', { version }),
      ]);
      expect(['made' in set, 'made' in deleted].filter(Boolean)).toHaveLength(1);
      if ('refusal' in set) expect(set.refusal.__typename).toBe('NotFoundError');
      if ('refusal' in deleted) expect(deleted.refusal.current).toBe(`alias a${round}`);
    }
  });
});

describe('protected', () => {
  test('it needs OPERATOR to be moved, deleted or freed, and to be made', async () => {
    const model = await modelOf('guarded', 2);
    const asAuthor = { token: author };
    const asOperator = { token: operator };
    const input = { model, name: 'live', version: 'guarded:1' };
    const needsOperator = { __typename: 'ForbiddenError', code: 'FORBIDDEN', needs: 'OPERATOR' };
    expect(await refused(stack, 'setAlias', { ...input, protected: true }, asAuthor)).toMatchObject(
      needsOperator,
    );
    await done(stack, 'setAlias', input, fields, asAuthor);
    const guard = { ...input, expected: 'guarded:1', protected: true };
    expect(await refused(stack, 'setAlias', guard, asAuthor)).toMatchObject(needsOperator);
    expect(await done(stack, 'setAlias', guard, 'protected', asOperator)).toEqual({ protected: true });
    const move = { ...input, version: 'guarded:2', expected: 'guarded:1' };
    for (const [field, change] of [
      ['setAlias', move],
      ['setAlias', { ...move, protected: false }],
      // Who may not move it is not told whether it would have worked.
      ['setAlias', { ...move, expected: 'guarded:2' }],
      ['deleteAlias', { model, name: 'live', expected: 'guarded:1' }],
    ] as const) {
      const refusal = await refused(stack, field, change, asAuthor);
      expect(refusal).toMatchObject({
        ...needsOperator,
        message: expect.stringMatching(/^Alias live is protected\./),
      });
    }
    expect(await done(stack, 'setAlias', move, fields, asOperator)).toMatchObject({
      protected: true,
      version: { number: 2 },
    });
    const free = { ...input, version: 'guarded:2', expected: 'guarded:2', protected: false };
    expect(await done(stack, 'setAlias', free, 'protected', asOperator)).toEqual({ protected: false });
    await done(stack, 'deleteAlias', { model, name: 'live', expected: 'guarded:2' }, 'name', asAuthor);
  });

  test('one that was deleted is made again without protection', async () => {
    const model = await modelOf('renewed', 1);
    const input = { model, name: 'live', version: 'renewed:1' };
    await done(stack, 'setAlias', { ...input, protected: true });
    expect(
      await done(stack, 'deleteAlias', { model, name: 'live', expected: 'renewed:1' }, 'protected'),
    ).toEqual({
      protected: true,
    });
    expect(await done(stack, 'setAlias', input, 'protected', { token: author })).toEqual({
      protected: false,
    });
  });
});

describe('refused', () => {
  let model: string;
  beforeAll(async () => {
    model = await modelOf('refused', 1);
    await modelOf('other', 1);
  });

  test.each(['latest', 'Latest', 'LATEST'])('the name %s is reserved', async (name) => {
    const refusal = await refused(stack, 'setAlias', { model, name, version: 'refused:1' });
    expect(issueOf(refusal)).toMatchObject({ path: ['name'], expected: 'a name that is not reserved' });
    expect(refusal.hint).toContain('highest number');
    expect(await refused(stack, 'deleteAlias', { model, name, expected: 'refused:1' })).toMatchObject({
      __typename: 'NotFoundError',
    });
  });

  test('a version of another model, and one that was rejected', async () => {
    const input = { model, name: 'a', version: 'other:1' };
    expect(issueOf(await refused(stack, 'setAlias', input))).toMatchObject({
      path: ['version'],
      expected: 'a version of refused',
      found: 'other:1, of another model',
    });
    const expected = { ...input, version: 'refused:1', expected: 'other:1' };
    expect(issueOf(await refused(stack, 'setAlias', expected))).toMatchObject({ path: ['expected'] });
    const broken = await createVersion(stack, model, [{ name: 'broken.onnx', content: 'nothing' }]);
    await workDone(stack, broken.operation.id);
    expect(await refused(stack, 'setAlias', { ...input, version: broken.id })).toMatchObject({
      __typename: 'ConflictError',
      current: 'REJECTED',
    });
    expect(await aliasesOf(model)).toEqual([]);
  });

  test('to a reader, and where there is nothing to delete', async () => {
    const { secret } = await createToken(stack, { project: PROJECT, name: 'reader', role: 'READER' });
    const input = { model, name: 'a', version: 'refused:1' };
    expect(await refused(stack, 'setAlias', input, { token: secret })).toMatchObject({
      __typename: 'ForbiddenError',
      needs: 'AUTHOR',
    });
    expect(await refused(stack, 'deleteAlias', { model, name: 'a', expected: 'refused:1' })).toMatchObject({
      __typename: 'NotFoundError',
      what: 'Alias refused@a',
    });
    await done(stack, 'setAlias', input);
    expect(await refused(stack, 'deleteAlias', { model, name: 'a', expected: 'other:1' })).toMatchObject({
      __typename: expect.stringMatching(/ConflictError|ValidationError/),
    });
  });
});
