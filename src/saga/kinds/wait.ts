/**
 * A durable wait for a signal. Each signal is for one wait, in the order of both; one that came before is kept until a wait takes it.
 */
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { takeSignal } from '../journal/signal-buffer.ts';
import type { Kind, NewCall } from './kind.ts';

/** What a wait asks for; `id` is given by the code's own counter. */
export function waitForSignal(signal: string, timeout: Duration | undefined): Omit<NewCall, 'id'> {
  const waitMs = timeout === undefined ? null : parseDuration(timeout, `waitFor('${signal}').timeout`);
  const input = waitMs === null ? undefined : String(waitMs);
  return { kind: 'wait', step: signal, input, waitMs, untilAt: null };
}

export const WAIT: Kind = {
  endsBy: 'signal',
  until: (_step, at, asked) => (asked === null || asked.waitMs === null ? null : at + asked.waitMs),
  // It was there before the time was up.
  whenDue: ({ signal }) => (signal === undefined ? { kind: 'timed out' } : { kind: 'done', output: signal.payload }),
  /** Its outcome is the oldest signal of that name. */
  applyDone: (state, call) => takeSignal(state, call.step),
  waiting: ({ step }, until) => `waits for the signal ${step}${until === null ? '' : `, ${until}`}`,
};
