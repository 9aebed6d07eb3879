/** What is attempted of a call: the call itself, or its compensation. What both kinds of attempts (plain, in a transaction) begin with. */
import { isBug } from '../definition/bugs.ts';
import type { StepDefinition } from '../definition/steps.ts';
import { compensationId } from '../decide/compensation-id.ts';
import { logLate } from '../decide/run-log.ts';
import { logRejectionOfStep } from '../decide/unhandled-rejections.ts';
import type { CallState } from '../journal/state.ts';
import { attemptKey } from '../kinds/attempted.ts';
import type { Run } from '../run/run.ts';
import type { AttemptOptions, Limits } from './step-attempt.ts';

export interface AttemptedPart {
  readonly run: Run;
  readonly call: CallState;
  readonly step: StepDefinition;
  readonly of: 'call' | 'compensation';
}

/** Under which it is in flight. */
export function flightId({ call, of }: AttemptedPart): string {
  return of === 'compensation' ? compensationId(call) : call.id;
}

/** What an attempt is given and expected of it. */
export function attemptOptions(part: AttemptedPart, limits: Limits, timeoutMs: number): AttemptOptions {
  const { run, call, of } = part;
  const compensating = of === 'compensation';
  return {
    runId: run.id,
    idempotencyKey: keyOf(part),
    attempt: (compensating ? (call.compensation?.attempts ?? 0) : call.attempts) + 1,
    fencingToken: run.claims,
    timeoutMs,
    limits,
    maxBytes: run.settings.maxBytes,
    where: `${run.saga.name}, ${compensating ? 'compensation of ' : ''}${call.id}`,
    doubt: true,
    record: (error) => run.errorOf(error),
    onHeld: (ms) => run.settings.onHeld?.({ run: run.id, saga: run.saga.name, call: call.id, ms: Math.round(ms) }),
    onStray: logRejectionOfStep(run, call, of),
    onLate: () => logLate(run, call, of),
    isBug: (error) => isBug(error, [run.saga.errors, run.settings.errors], 'step'),
  };
}

function keyOf({ run, call, of }: AttemptedPart): string {
  const key = attemptKey(run.id, call);
  if (of === 'call') return key;
  const round = call.compensation?.round ?? 1;
  return `${key}:undo${round > 1 ? `:${round}` : ''}`;
}

/** How long one attempt may take: no longer than the step as a whole. `now`: the store's time. */
export function attemptMs({ call, step, of }: AttemptedPart, now: number): number {
  if (of === 'compensation') return step.compensation.timeoutMs;
  return call.until === null ? step.timeoutMs : Math.max(1, Math.min(step.timeoutMs, call.until - now));
}
