/** Requests of the demo's kind. */
import { readFileSync } from 'node:fs';
import { drawRow, type NumberRow } from '#src/local/traffic-data.ts';
import { breastCancerColumns } from '#test/helpers/models.ts';

const demo = new URL('../../src/local/demo/breast-cancer-rows.json', import.meta.url);

/** Requests as the demo's patients would make them, always the same ones. */
export function patients(count = 200): object[] {
  const rows = JSON.parse(readFileSync(demo, 'utf8')) as NumberRow[];
  let seed = 1;
  const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  return Array.from({ length: count }, () => {
    const row = drawRow(rows, 'usual', random);
    const data = breastCancerColumns.map((column) => row[column]);
    return { inputs: [{ name: 'input', shape: [1, data.length], datatype: 'FP32', data }] };
  });
}
