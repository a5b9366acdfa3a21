/** Which deployment, version and question a path means; and which arm a version means. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { armServing, type ArmRoute } from '#src/deployment/routing.ts';
import { newId } from '#src/platform/id.ts';
import { InferencePaths, parseInferencePath } from '#schema/http/inference-path.ts';

/** Names may be words of the protocol, too. */
const name = fc.oneof(
  fc.constantFrom('infer', 'ready', 'versions', 'models', 'v2', '1', 'health'),
  fc.stringMatching(/^[a-zé0-9][a-zé0-9._-]{0,8}$/u),
);
const version = fc.option(fc.nat().map(String));
const kind = fc.constantFrom('model', 'ready', 'infer');

test('project and name are told from what follows them, whatever they are called and however they are written', () => {
  fc.assert(
    fc.property(name, name, version, kind, fc.boolean(), (project, deployment, number, asked, together) => {
      const ref = `${project}/${deployment}`;
      const written = together ? encodeURIComponent(ref) : ref.split('/').map(encodeURIComponent).join('/');
      const at = number === null ? '' : `/versions/${number}`;
      const path = `/v2/models/${written}${at}${asked === 'model' ? '' : `/${asked}`}`;
      expect(parseInferencePath(path)).toEqual({ kind: asked, deployment: ref, version: number });
    }),
  );
});

test('an id stands alone, as itself or as the api writes it', () => {
  const id = newId();
  const global = Buffer.from(`Deployment:${id}`).toString('base64');
  for (const written of [id, global, encodeURIComponent(global)]) {
    expect(parseInferencePath(`/v2/models/${written}/versions/3/infer`)).toEqual({
      kind: 'infer',
      deployment: id,
      version: '3',
    });
  }
});

test('any path is something, and what was parsed once is remembered', () => {
  const paths = new InferencePaths();
  fc.assert(
    fc.property(fc.array(fc.oneof(name, fc.string(), fc.constant('%2F'))), (segments) => {
      const path = `/v2/models/${segments.join('/')}`;
      const parsed = paths.of(path);
      expect(parsed).toEqual(parseInferencePath(path));
      expect(paths.of(path)).toBe(parsed);
    }),
  );
});

test('a version means the arm that serves it, whatever its weight; one with a replica first', () => {
  const arm = (id: string, number: number, replicas: number, weight = 1) =>
    ({
      id,
      weight,
      version: { number },
      replicas: Array.from({ length: replicas }, () => ({})),
    }) as unknown as ArmRoute;
  const arms = [arm('stable', 1, 2, 100), arm('gone', 2, 0), arm('candidate', 2, 1, 0), arm('new', 3, 0)];
  expect([1, 2, 3, 4].map((number) => armServing(arms, number)?.id)).toEqual([
    'stable',
    'candidate',
    'new',
    undefined,
  ]);
});
