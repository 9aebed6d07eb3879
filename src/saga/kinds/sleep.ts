/** A durable wait for a time. */
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { HoldfastError } from '../../errors.ts';
import type { Kind, NewCall } from './kind.ts';

/** What a sleep asks for; `id` is given by the code's own counter. */
export function sleepFor(duration: Duration): Omit<NewCall, 'id'> {
  const waitMs = parseDuration(duration, 'sleep');
  return { kind: 'sleep', step: 'sleep', input: String(waitMs), waitMs, untilAt: null };
}

/** @throws HoldfastError HF_DURATION */
export function sleepUntil(time: Date): Omit<NewCall, 'id'> {
  const untilAt = time.getTime();
  if (!Number.isFinite(untilAt))
    throw new HoldfastError('HF_DURATION', 'sleepUntil is given no valid date.', { advice: 'Pass a Date.' });
  return { kind: 'sleep', step: 'sleep', input: JSON.stringify(time), waitMs: null, untilAt };
}

export const SLEEP: Kind = {
  endsBy: 'time',
  until: (_step, at, asked) => asked?.untilAt ?? at + (asked?.waitMs ?? 0),
  whenDue: () => ({ kind: 'done', output: undefined }),
  waiting: (_call, until) => `sleeps ${until ?? ''}`,
};
