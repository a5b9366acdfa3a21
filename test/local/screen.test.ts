import { spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { curlLine } from '#src/local/screen.ts';

const url = 'http://127.0.0.1:4000';

test('the curl line names the file as briefly as it can be named', () => {
  const line = (folder: string): string =>
    curlLine({
      url,
      folder,
      predict: '/home/ann/modelarium/src/local/demo/predict.json',
      tokenFile: undefined,
    });
  const head = `curl -s ${url}/graphql -H 'content-type: application/json' -d `;
  expect(line('/home/ann/modelarium')).toBe(`${head}@src/local/demo/predict.json`);
  expect(line('/home/ann/modelarium/docs')).toBe(`${head}@../src/local/demo/predict.json`);
  expect(line('/srv/very/far/away/from/there')).toBe(
    `${head}@/home/ann/modelarium/src/local/demo/predict.json`,
  );
});

test('a shell reads the words of the curl line back, whatever is in the path', () => {
  const path = fc
    .string({ minLength: 1 })
    .filter((text) => !/[\0/]/.test(text) && text !== '.' && text !== '..');
  fc.assert(
    fc.property(path, (name) => {
      const predict = `/${name}/predict.json`;
      const line = curlLine({ url, folder: '/elsewhere', predict, tokenFile: undefined });
      const script = `curl() { for word; do printf '%s\\0' "$word"; done; }; ${line}`;
      const words = spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout.split('\0');
      expect(words.at(-2)).toBe(`@${predict}`);
    }),
    { numRuns: 50 },
  );
});
