/**
 * Durations at the border: options take `'30s'` or plain milliseconds, everything inside counts milliseconds.
 */
import { HoldfastError } from '../errors.ts';

/** Milliseconds, seconds, minutes, hours, days. */
export type DurationUnit = 'ms' | 's' | 'm' | 'h' | 'd';

/** Milliseconds as a number, or text such as `'250ms'`, `'30s'`, `'1.5m'`, `'2h'`, `'7d'`. */
export type Duration = number | `${number}${DurationUnit}`;

const UNIT_MS: Readonly<Record<DurationUnit, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const TEXT = /^(\d{1,15}(?:\.\d{1,9})?)(ms|s|m|h|d)$/;

/**
 * Milliseconds of a duration. `name` is the option it came from, for the error.
 * Never negative, at most a thousand years; fractions of a millisecond in texts are rounded.
 * @throws HoldfastError HF_DURATION
 */
export function parseDuration(value: Duration, name: string): number {
  if (typeof value === 'number') {
    if (Number.isFinite(value) && value >= 0) return bounded(value, name);
    throw unreadable(name, `${value}`);
  }
  const parts = typeof value === 'string' ? TEXT.exec(value) : null;
  if (parts === null)
    throw unreadable(name, typeof value === 'string' ? JSON.stringify(value) : `a value of type ${typeof value}`);
  return bounded(Math.round(Number(parts[1]) * UNIT_MS[parts[2] as DurationUnit]), name);
}

/** A thousand years: what is longer would lead to times that neither Date nor PostgreSQL can hold. */
const LONGEST_MS = 1_000 * 365 * 86_400_000;

function bounded(ms: number, name: string): number {
  if (ms <= LONGEST_MS) return ms;
  throw new HoldfastError('HF_DURATION', `${name} is ${ms} ms, over a thousand years.`, {
    advice: 'Leave it out where there is to be no end.',
    details: { name },
  });
}

function unreadable(name: string, shown: string): HoldfastError {
  return new HoldfastError('HF_DURATION', `${name} is ${shown}, which is not a duration.`, {
    advice: "Give milliseconds as a number (not negative), or a text such as '250ms', '30s', '5m', '2h' or '7d'.",
    details: { name },
  });
}
