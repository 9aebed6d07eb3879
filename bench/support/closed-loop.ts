/**
 * Keeps so many runs in flight for a while and measures what comes out: the loop of bench/peers/closed-loop.mjs, so that figures
 * of sagas here and there are the same thing.
 */
import { percentile } from './figure.ts';

export interface LoopLength {
  readonly inflight: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly minRuns: number;
}

export interface LoopFigures {
  readonly runs: number;
  readonly perSecond: number;
  /** Of one run, from the call that starts it until its result is known, in ms. */
  readonly p50: number;
  readonly p99: number;
  /** How far `meter` went while it was measured. */
  readonly metered: number;
}

/**
 * `run(n)` starts run number n and resolves when its result is known. Each of `inflight` loops starts its next run when its last one is
 * done. Measuring begins when every loop has finished a run and `warmUpMs` are over, and ends with the first run that finishes after
 * `measureMs` and after `minRuns` runs; what is under way then is awaited and not counted. It begins and ends with the end of a run, not
 * with the clock: many runs at once go in step, and a clock would cut off most of a thousand or none.
 */
export async function closedLoop(
  run: (n: number) => Promise<void>,
  { inflight, warmUpMs, measureMs, minRuns }: LoopLength,
  meter: () => number = () => 0,
): Promise<LoopFigures> {
  const latencies: number[] = [];
  const warmFrom = performance.now();
  let state: 'warm-up' | 'measuring' | 'over' = 'warm-up';
  const isOver = (): boolean => state === 'over';
  let started = 0;
  let warm = 0;
  let began = { at: 0, meter: 0 };
  let ended = began;

  const finished = (from: number, to: number, isFirst: boolean): void => {
    if (isFirst) warm += 1;
    if (state === 'warm-up' && warm === inflight && to - warmFrom >= warmUpMs) {
      state = 'measuring';
      began = { at: to, meter: meter() };
    } else if (state === 'measuring') {
      latencies.push(to - from);
      if (to - began.at < measureMs || latencies.length < minRuns) return;
      state = 'over';
      ended = { at: to, meter: meter() };
    }
  };

  const loop = async (): Promise<void> => {
    for (let isFirst = true; !isOver(); isFirst = false) {
      const from = performance.now();
      started += 1;
      await run(started);
      finished(from, performance.now(), isFirst);
    }
  };

  await Promise.all(Array.from({ length: inflight }, loop));
  return {
    runs: latencies.length,
    perSecond: (latencies.length / (ended.at - began.at)) * 1000,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    metered: ended.meter - began.meter,
  };
}
