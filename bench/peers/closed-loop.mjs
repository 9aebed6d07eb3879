/**
 * Keeps so many runs in flight for a while and measures what comes out.
 */

/**
 * `run(n)` starts run number n and resolves when its result is known. Each of `inflight` loops starts its next run when its last one
 * is done. Measuring begins when every loop has finished a run and `warmUpMs` are over, and ends with the first run that finishes after
 * `measureMs` and after `minRuns` runs; what is under way then is awaited and not counted. It begins and ends with the end of a run, not
 * with the clock: many runs at once go in step, and a clock would cut off most of a thousand or none.
 */
export async function closedLoop(run, { inflight, warmUpMs, measureMs, minRuns }) {
  const latencies = [];
  const warmFrom = performance.now();
  let state = 'warm-up';
  let started = 0;
  let warm = 0;
  let beganAt = 0;
  let endedAt = 0;

  const finished = (from, to, isFirst) => {
    if (isFirst) warm += 1;
    if (state === 'warm-up' && warm === inflight && to - warmFrom >= warmUpMs) {
      state = 'measuring';
      beganAt = to;
    } else if (state === 'measuring') {
      latencies.push(to - from);
      if (to - beganAt < measureMs || latencies.length < minRuns) return;
      state = 'over';
      endedAt = to;
    }
  };

  const loop = async () => {
    for (let isFirst = true; state !== 'over'; isFirst = false) {
      const from = performance.now();
      started += 1;
      await run(started);
      finished(from, performance.now(), isFirst);
    }
  };

  await Promise.all(Array.from({ length: inflight }, loop));
  latencies.sort((a, b) => a - b);
  return {
    runs: latencies.length,
    perSecond: (latencies.length / (endedAt - beganAt)) * 1000,
    p50: rank(latencies, 0.5),
    p99: rank(latencies, 0.99),
  };
}

/** Nearest rank. */
function rank(sorted, part) {
  return sorted[Math.ceil(part * sorted.length) - 1];
}
