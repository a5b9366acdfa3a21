/** What is told of a model's pickle without loading it. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { PickleContents } from '#src/safety/pickle/contents.ts';
import { assemble, global, list, pickle, reduce, text, tuple } from './assemble.ts';
import { inspectBytes, inspectPath, picklesFolder } from './inspect-bytes.ts';

const estimators = z
  .object({
    estimators: z.record(
      z.string(),
      z.object({ estimator: z.string(), steps: z.array(z.string()), columns: z.array(z.string()) }),
    ),
  })
  .parse(JSON.parse(readFileSync(`${picklesFolder}predictions.json`, 'utf8'))).estimators;

const files = readdirSync(picklesFolder).filter((name) => !name.endsWith('.json'));
const lastPart = (name: string | null) => name?.split('.').at(-1);

async function contentsOf(name: string): Promise<PickleContents> {
  const { verdict, findings, contents, format } = await inspectPath(`${picklesFolder}${name}`);
  const expectedFormat = name.endsWith('.joblib') ? 'JOBLIB' : 'PICKLE';
  expect({ verdict, findings, format }).toEqual({ verdict: 'SAFE', findings: [], format: expectedFormat });
  if (contents === null) throw new Error(`${name} has no contents.`);
  return contents;
}

function parameters({ parameters: all }: PickleContents, path: string) {
  return Object.fromEntries(all.filter((each) => each.path === path).map(({ name, value }) => [name, value]));
}

test('all fixtures are there: six ways of writing nine estimators', () => {
  expect(files).toHaveLength(54);
});

describe('every fixture is SAFE, with its classes, steps, versions and arrays', () => {
  test.each(files)('%s', async (name) => {
    const [id = ''] = name.split('.');
    const expected = estimators[id];
    const contents = await contentsOf(name);
    expect(contents.versions).toEqual({ 'scikit-learn': '1.9.1' });
    expect(lastPart(contents.classes[0]?.name ?? null)).toBe(expected?.estimator);
    expect(contents.classes[0]?.path).toBe('');
    const steps = contents.steps.filter(({ path }) => path === '');
    expect(steps.map((step) => lastPart(step.class))).toEqual(expected?.steps);
    expect(contents.arrays.length).toBeGreaterThan(0);
    expect(contents.arrays.every(({ dtype }) => dtype !== null)).toBe(true);
  });

  test('whichever way it is written, it holds the same', async () => {
    const [first, ...others] = await Promise.all(
      files.filter((name) => name.startsWith('column-transformer.')).map(contentsOf),
    );
    expect(others).toHaveLength(5);
    // joblib writes an array again where pickle refers back to it, so that only those of the outer objects compare.
    const outer = ({ arrays }: PickleContents) => arrays.filter(({ path }) => !path.includes('['));
    if (first === undefined) throw new Error('There are no fixtures.');
    expect(outer(first).length).toBeGreaterThan(3);
    for (const other of others) {
      expect(other.classes).toEqual(first.classes);
      expect(other.parameters).toEqual(first.parameters);
      expect(outer(other)).toEqual(outer(first));
    }
  });
});

describe('in detail', () => {
  test('a pipeline: parameters by step', async () => {
    const contents = await contentsOf('scaled-logistic.p4.pkl');
    expect(contents.steps.map(({ name }) => name)).toEqual(['standardscaler', 'logisticregression']);
    expect(parameters(contents, 'logisticregression')).toMatchObject({
      C: 1,
      max_iter: 2000,
      solver: 'lbfgs',
      class_weight: null,
      fit_intercept: true,
    });
    expect(contents.arrays).toContainEqual({
      path: 'logisticregression/coef_',
      shape: [1, 30],
      dtype: 'float64',
    });
  });

  test('steps within steps; copies that fitting made are not told again', async () => {
    const contents = await contentsOf('column-transformer.joblib');
    expect(contents.steps.map(({ path, name }) => `${path}/${name}`)).toEqual([
      '/columns',
      '/classify',
      'columns/num',
      'columns/cat',
      'columns/num/impute',
      'columns/num/scale',
    ]);
    expect(parameters(contents, 'columns/num/impute')).toMatchObject({
      strategy: 'median',
      missing_values: 'NaN',
    });
    expect(contents.parameters.filter(({ path }) => path.includes('transformers_'))).toEqual([]);
  });

  test('trees, as many as the bounds allow', async () => {
    const contents = await contentsOf('gradient-boosting.joblib');
    const names = contents.classes.map(({ name }) => name);
    expect(names).toContain('sklearn.tree._classes.DecisionTreeRegressor');
    expect(names).toContain('sklearn.tree._tree.Tree');
    for (const entries of [contents.classes, contents.parameters, contents.arrays, contents.steps]) {
      expect(entries.length).toBeLessThanOrEqual(200);
    }
  });

  test('more than the bounds is cut, and said to be', async () => {
    const items = Array.from({ length: 300 }, (_, index) =>
      reduce(global('sklearn.svm._classes', 'SVC'), tuple(text(`x${index}`))),
    );
    const { contents } = await inspectBytes(assemble(pickle(list(...items.map((item) => list(item))))));
    expect(contents?.truncated).toBe(true);
    expect(contents?.classes).toEqual([{ path: '[0][0]', name: 'sklearn.svm._classes.SVC' }]);
  });
});
