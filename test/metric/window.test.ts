import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MetricWindow, outcomes } from '#src/metric/window.ts';

/** Latencies over seven orders of magnitude, in milliseconds. */
const latency = fc.double({ min: -2, max: 5, noNaN: true }).map((exponent) => 10 ** exponent);

function windowOf(latencies: readonly number[]): MetricWindow {
  const window = new MetricWindow();
  for (const each of latencies) window.add('ok', each, 1);
  return window;
}

function expectQuantiles(window: MetricWindow, latencies: readonly number[]): void {
  const sorted = latencies.toSorted((a, b) => a - b);
  const { p50, p90, p95, p99, max } = window.quantiles();
  for (const [q, found] of [
    [0.5, p50],
    [0.9, p90],
    [0.95, p95],
    [0.99, p99],
  ] as const) {
    const exact = sorted[Math.floor(q * (sorted.length - 1))] ?? NaN;
    expect(Math.abs((found ?? NaN) - exact) / exact).toBeLessThanOrEqual(0.01 + 1e-9);
  }
  expect(max).toBe(sorted.at(-1));
}

describe('a metric window', () => {
  test('merged in any grouping, its quantiles are within 1 % of the exact ones', () => {
    fc.assert(
      fc.property(fc.array(fc.array(latency, { maxLength: 60 }), { minLength: 1, maxLength: 6 }), (parts) => {
        const all = parts.flat();
        fc.pre(all.length > 0);
        const merged = new MetricWindow();
        for (const part of parts) merged.addBeside(MetricWindow.decode(windowOf(part).encode()));
        expectQuantiles(merged, all);
        expect(merged.requests).toBe(all.length);
      }),
    );
  });

  test('each latency lies in its bin, which is no wider than 2 %', () => {
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 60 }), (latencies) => {
        const bins = MetricWindow.decode(windowOf(latencies).encode()).latencyBins();
        const each = bins.flatMap((bin) => Array.from({ length: bin.count }, () => bin));
        expect(each.length).toBe(latencies.length);
        for (const [index, value] of latencies.toSorted((a, b) => a - b).entries()) {
          const { low, high } = each[index] ?? { low: NaN, high: NaN };
          expect(value).toBeGreaterThanOrEqual(low * (1 - 1e-9));
          expect(value).toBeLessThanOrEqual(high * (1 + 1e-9));
          expect(high / low).toBeLessThanOrEqual(1.0203);
        }
      }),
    );
    expect(new MetricWindow().latencyBins()).toEqual([]);
  });

  test('around 1 ms, where sketches-js alone loses its highest bin, it merges rightly', () => {
    const merged = windowOf([0.5, 0.6]);
    merged.addBeside(windowOf([0.99, 1]));
    expectQuantiles(MetricWindow.decode(merged.encode()), [0.5, 0.6, 0.99, 1]);
  });

  test('what is encoded comes back', () => {
    const request = fc.tuple(fc.constantFrom(...outcomes), latency, fc.nat(100));
    fc.assert(
      fc.property(fc.array(request, { maxLength: 100 }), fc.nat(50), (requests, inFlight) => {
        const window = new MetricWindow();
        for (const [outcome, latencyMs, rows] of requests) window.add(outcome, latencyMs, rows);
        window.inFlight = inFlight;
        const again = MetricWindow.decode(window.encode());
        expect(again.encode()).toBe(window.encode());
        expect(again.quantiles()).toEqual(window.quantiles());
        expect(again).toEqual(window);
      }),
    );
  });

  test('text that is no window is refused, and never read as one', () => {
    const piece = fc.constantFrom('0', '1', '-1', '9e9', 'x', ',', ' ', 'NaN', '1x', '346x2', '99999');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 24 }), (pieces) => {
        const text = pieces.join(' ').replaceAll(' , ', ',');
        let window: MetricWindow;
        try {
          window = MetricWindow.decode(text);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          return;
        }
        expect(Number.isFinite(window.requests)).toBe(true);
      }),
    );
    for (const text of ['', '1 2 3', '0 0 0 0 0 0 0 0 1x-5', '0 0 0 0 0 0 0 0 99999999']) {
      expect(() => MetricWindow.decode(text)).toThrow('Not a metric window');
    }
  });

  test('refusals count, but do not make the latency look better', () => {
    const window = windowOf([100]);
    window.add('shed', 0.01, 0);
    window.add('client', 0.01, 0);
    expect(window.quantiles().p50).toBe(window.quantiles().p99);
    expect(window.requests).toBe(3);
  });

  test('in flight adds up over writers, and is the last one over time', () => {
    const one = new MetricWindow();
    const other = new MetricWindow();
    one.inFlight = 3;
    other.inFlight = 4;
    one.addBeside(other);
    expect(one.inFlight).toBe(7);
    one.addAfter(other);
    expect(one.inFlight).toBe(4);
  });

  test('without a measured latency every quantile is null', () => {
    expect(new MetricWindow().quantiles()).toEqual({ p50: null, p90: null, p95: null, p99: null, max: null });
  });

  test('a latency that is no number does no harm', () => {
    const window = windowOf([NaN, -1, Infinity, 5]);
    expect(MetricWindow.decode(window.encode()).requests).toBe(4);
  });
});
