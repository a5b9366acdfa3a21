/** The safety inspection of a torch zip of 500 MB, against reading it once; each in a process of its own. */
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assemble, dict, global, integer, pickle, reduce, text, tuple } from '#test/safety/assemble.ts';
import { zip } from '#test/safety/zip-writer.ts';
import { startChild } from './child.ts';
import { MB, rateOf } from './large-file.ts';
import type { Stack } from './stack.ts';
import { median, spreadOf, type Figure } from './table.ts';

const MEMBERS = 500;
const FLOATS = 250_000;
const TARGET = 0.33;
const MOST_MB = 128;

interface Took {
  readonly seconds: number;
  readonly verdict: string;
  readonly peak: number;
}

/** A checkpoint of so many tensors. */
function checkpoint(members: number, floats: number): Buffer {
  const ordered = reduce(global('collections', 'OrderedDict'), tuple());
  const tensor = (key: string) => {
    const id = tuple(
      text('storage'),
      global('torch', 'FloatStorage'),
      text(key),
      text('cpu'),
      integer(floats),
    );
    const layout = [integer(0), tuple(integer(floats)), tuple(integer(1))];
    return reduce(
      global('torch._utils', '_rebuild_tensor_v2'),
      tuple(assemble(id, 'BINPERSID'), ...layout, assemble('NEWFALSE'), ordered),
    );
  };
  const keys = Array.from({ length: members }, (_, index) => String(index));
  const state = pickle(dict(Object.fromEntries(keys.map((key) => [`layer.${key}.weight`, tensor(key)]))), 2);
  return zip([
    { name: 'm/data.pkl', data: state },
    { name: 'm/version', data: Buffer.from('3\n') },
    ...keys.map((key) => ({ name: `m/data/${key}`, data: randomBytes(floats * 4) })),
  ]);
}

/** One order to a fresh process, which has done the same to a small file first. */
async function took(
  what: 'read' | 'inspect',
  small: string,
  large: string,
): Promise<Took & { growth: number }> {
  const child = startChild('inspection.process.ts');
  try {
    const before = await child.ask<Took>({ path: small, what });
    const after = await child.ask<Took>({ path: large, what });
    return { ...after, growth: (after.peak - before.peak) / MB };
  } finally {
    await child.end();
  }
}

export async function inspection(stack: Stack, rounds: number): Promise<Figure[]> {
  const [small, large] = [join(stack.dataDir, 'small.pt'), join(stack.dataDir, 'large.pt')];
  writeFileSync(small, checkpoint(2, 1000));
  writeFileSync(large, checkpoint(MEMBERS, FLOATS));
  const bytes = MEMBERS * FLOATS * 4;
  const inspected: (Took & { growth: number })[] = [];
  const read: Took[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      inspected.push(await took('inspect', small, large));
      read.push(await took('read', small, large));
    }
  } finally {
    rmSync(small);
    rmSync(large);
  }
  const wrong = inspected.find(({ verdict }) => verdict !== 'SAFE TORCH');
  if (wrong) throw new Error(`The checkpoint is ${wrong.verdict}.`);
  const ratios = inspected.map(({ seconds }, round) => (read[round]?.seconds ?? Number.NaN) / seconds);
  const growth = inspected.map((one) => one.growth);
  const rate = (all: readonly Took[]): string => rateOf(bytes, median(all.map(({ seconds }) => seconds)));
  return [
    {
      what: 'Safety inspection of a torch zip of 500 MB, 500 tensors',
      measured: `${median(ratios).toFixed(2)} × (${rate(inspected)}; memory +${Math.max(...growth).toFixed(0)} MB)`,
      spread: spreadOf(ratios, 2),
      cpu: '',
      limit: `reading it once: ${rate(read)}`,
      target: `≥ ${TARGET} ×; ≤ +${MOST_MB} MB`,
      met: median(ratios) >= TARGET && Math.max(...growth) <= MOST_MB,
    },
  ];
}
