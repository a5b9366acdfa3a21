/** A server's throughput as a share of its limit's, as a row of the table. */
import { compare, type Contender, type Duration } from './compare.ts';
import { cpuText, median, spreadOf, type Figure } from './table.ts';

const perSecond = (rates: readonly number[]): string => `${Math.round(median(rates)).toLocaleString('en')}/s`;

export async function ratioFigure(
  what: string,
  contenders: readonly [ours: Contender, limit: Contender],
  limitName: string,
  target: number | undefined,
  duration: Duration,
  connections?: number,
  core?: number,
): Promise<Figure> {
  const [ours, limit] = await compare(contenders, duration, connections, core);
  // Neighbours in time: what disturbs the machine for longer than a round disturbs both.
  const ratios = ours.rates.map((rate, round) => rate / (limit.rates[round] ?? Number.NaN));
  return {
    what,
    measured: `${median(ratios).toFixed(3)} × (${perSecond(ours.rates)}, p99 ${median(ours.p99).toFixed(1)} ms)`,
    spread: spreadOf(ratios, 3),
    cpu: cpuText(ours.cpuMicros),
    limit: `${limitName}: ${perSecond(limit.rates)}, ${cpuText(limit.cpuMicros)}`,
    target: target === undefined ? '' : `≥ ${target} ×`,
    met: target === undefined ? undefined : median(ratios) >= target,
  };
}
