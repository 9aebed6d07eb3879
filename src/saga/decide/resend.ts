/**
 * Commands and compensations that are not answered in time: sent again after their backoff, under the same call, until the attempts
 * are used up. The participant recognises them.
 *
 * When the next one is due stands in the journal (`retryAt`); until when a reply is waited for follows from it, so a run that is
 * loaded anew goes on waiting where it was.
 */
import { wireCall } from '../definition/call-id.ts';
import { recordError } from '../journal/recorded-error.ts';
import type { CallState } from '../journal/state.ts';
import type { Unanswered } from '../kinds/kind.ts';
import { kindOf } from '../kinds/table.ts';
import type { DecisionContext, FailedResult } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { beginCompensation } from './compensate.ts';
import { compensationFailed } from './compensation-outcome.ts';
import { prepared, type Prepared } from './prepared.ts';
import { attemptEnded, endFailed } from './outcomes.ts';

/** Whether the call is a message that is sent again while nobody answers it. */
export function isSentAgain(run: Run, call: CallState): boolean {
  return kindOf(call).isSentAgain === true && run.step(call.step)?.kind === call.kind;
}

/** That message; undefined: there is none. */
export function prepareResend(run: Run, call: CallState): Promise<Prepared<string>> | undefined {
  const kind = kindOf(call);
  const definition = run.step(call.step);
  if (!isSentAgain(run, call) || kind.prepare === undefined || definition === undefined) return undefined;
  const { id, input, version } = call;
  return prepared(kind.prepare(run, definition, { id, name: wireCall(call), input, version }));
}

/** Nobody answered. It is sent again now if no backoff stands before that. */
export function unansweredCall(
  run: Run,
  call: CallState,
  { message, ...unanswered }: Unanswered & { readonly message: Prepared<string | null> | null },
  context: DecisionContext,
): boolean {
  const told = attemptEnded(run, call, noAnswer(unanswered), context);
  call.until = null;
  if (call.outcome !== 'open' || call.retryAt === null || call.retryAt > context.now) return told;
  return sendAgain(run, call, message, context);
}

function noAnswer({ error, uncounted }: Unanswered): FailedResult {
  const why = uncounted ? ({ uncounted: 'unattended' } as const) : {};
  return { kind: 'failed', error, permanent: false, doubt: true, ...why };
}

export function sendAgain(
  run: Run,
  call: CallState,
  message: Prepared<string | null> | null,
  context: DecisionContext,
): boolean {
  const definition = run.step(call.step);
  if (definition === undefined || message === null) return false;
  call.retryAt = null;
  if ('cause' in message) return endFailed(run, call, { error: recordError(message.cause), doubt: true }, context);
  if (message.value !== null) run.send(message.value);
  const until = kindOf(call).until(definition, context.now, null);
  call.until = until === null ? null : Math.floor(until);
  return false;
}

/** A compensating message is to be sent again, or was not answered. */
export function compensationDue(
  run: Run,
  call: CallState,
  message: Prepared<string | null>,
  context: DecisionContext,
): void {
  const step = run.step(call.step);
  const { compensation } = call;
  if (step === undefined || compensation?.state !== 'open') return;
  const unanswered =
    compensation.retryAt === null ? kindOf(call).compensationUnanswered?.(call, step, context.now) : null;
  if (unanswered !== null && unanswered !== undefined) {
    compensation.replyBy = null;
    compensationFailed(run, call, noAnswer(unanswered), context);
    if (run.state.stuck !== null || (compensation.retryAt ?? Infinity) > context.now) return;
  }
  compensation.retryAt = null;
  if ('cause' in message) {
    // What is wrong with the message lies in the code; sending it again does not mend that.
    const error = recordError(message.cause);
    compensationFailed(run, call, { kind: 'failed', error, permanent: true, doubt: true }, context);
  } else beginCompensation(run, call, message.value, context);
}
