/**
 * Metrics that tell of one counter and forget the rest: how a benchmark learns what happened inside of a service without looking
 * at it.
 */
import { noopMetrics, type Metrics } from '../../src/runtime/metrics.ts';

/** `onInc` is called with each increment of the counter of that name. */
export function countingMetrics(counter: string, onInc: (by: number) => void): Metrics {
  return {
    ...noopMetrics,
    counter: (name) => ({
      inc(_labels, by = 1) {
        if (name === counter) onInc(by);
      },
    }),
  };
}
