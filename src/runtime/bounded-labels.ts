/**
 * A bound on the series of one metric: labels that are made from data (a topic that carries an id, a name somebody invents) would
 * otherwise grow the page of metrics, and the process, without an end. Used around every metric.
 */
import type { Labels } from './metrics.ts';

/** Series of one metric; what comes after them is counted together. */
export const MOST_SERIES = 1_000;
const OTHER = 'other';

/** The labels to count under: those given, or for series beyond the bound the same names with 'other' for every value. */
export function boundedLabels<Name extends string>(most = MOST_SERIES): (given: Labels<Name>) => Labels<Name> {
  const known = new Set<string>();
  return (given) => {
    const values = Object.values<string>(given);
    // Most metrics have labels of a handful of values, and those without labels need no bound.
    if (values.length === 0) return given;
    const series = values.join('\n');
    if (known.has(series)) return given;
    if (known.size < most) {
      known.add(series);
      return given;
    }
    return Object.fromEntries(Object.keys(given).map((name) => [name, OTHER])) as Labels<Name>;
  };
}
