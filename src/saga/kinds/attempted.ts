/** What steps and transactions have in common: attempts of the user's code in this process. */
import { HoldfastError } from '../../errors.ts';
import { wireCall } from '../definition/call-id.ts';
import type { StepDefinition } from '../definition/steps.ts';
import { recordError } from '../journal/recorded-error.ts';
import type { CallState } from '../journal/state.ts';
import type { CallDue, DueCall } from './kind.ts';

/** The idempotency key of all attempts of a call. A step that is called once more, for another reason, has another. */
export function attemptKey(runId: string, call: CallState): string {
  return `${runId}:${wireCall(call)}`;
}

/** When the whole time of a step is up. */
export function deadlineOf(step: StepDefinition | undefined, at: number): number | null {
  return step === undefined || step.deadlineMs === Infinity ? null : at + step.deadlineMs;
}

export function attemptDue({ saga, call, now, ended }: DueCall, step: StepDefinition | undefined): CallDue {
  if (call.until !== null && call.until <= now && !ended && step !== undefined) {
    const { deadlineMs } = step;
    const cause = call.error === null ? {} : { cause: new Error(call.error.message) };
    const what = `${saga.name}, ${call.id} was not done within ${deadlineMs} ms.`;
    const error = new HoldfastError('HF_STEP_TIMEOUT', what, { details: { deadlineMs }, ...cause });
    return { kind: 'overdue', error: recordError(error) };
  }
  return call.asked.againAt === null ? { kind: 'attempt' } : { kind: 'verify' };
}

/** The longest that all attempts of a step can take. */
export function longestAttemptsMs({ retry, timeoutMs, deadlineMs }: StepDefinition): number {
  const attemptsMs = retry.attempts * timeoutMs + (retry.attempts - 1) * retry.capMs;
  return Math.min(attemptsMs, retry.withinMs + timeoutMs, deadlineMs);
}
