/**
 * Commands and compensations that are not answered in time: sent again after their backoff, under the same call, until the attempts
 * are used up. The participant recognises them.
 *
 * When the next one is due stands in the journal (`retryAt`); until when a reply is waited for follows from it, so a run that is
 * loaded anew goes on waiting where it was.
 */
import { wireCall } from '../definition/call-id.ts';
import { compensationFailed, replyBy } from './compensate.ts';
import { prepareCommand, prepareCompensation } from '../protocol/commands.ts';
import type { RecordedError } from '../journal/events.ts';
import type { DecisionContext } from '../run/run-events.ts';
import { attemptEnded, endFailed } from './forward.ts';
import { recordError } from '../journal/recorded-error.ts';
import type { Run } from '../run/run.ts';
import type { CallState } from '../journal/state.ts';

/** An answer that is missed so much later than it was due was not waited for, in milliseconds. */
const UNATTENDED_MS = 5_000;

/** A command is to be sent again, or was not answered. Returns whether the code was told something. */
export async function commandDue(run: Run, call: CallState, context: DecisionContext): Promise<boolean> {
  if (call.retryAt !== null) return sendAgain(run, call, context);
  const definition = run.step(call.step);
  if (definition?.kind !== 'command') return false;
  const error = unanswered(call.id, definition.timeoutMs);
  const late = unattended(call.until, context);
  const told = await attemptEnded(
    run,
    call,
    { kind: 'failed', error, permanent: false, doubt: true, ...late },
    context,
  );
  call.until = null;
  if (call.outcome !== 'open' || call.retryAt === null || call.retryAt > context.now) return told;
  return sendAgain(run, call, context);
}

async function sendAgain(run: Run, call: CallState, context: DecisionContext): Promise<boolean> {
  const definition = run.step(call.step);
  if (definition?.kind !== 'command') return false;
  call.retryAt = null;
  try {
    run.send(await prepareCommand(run, { call: wireCall(call), definition, input: call.input, version: call.version }));
  } catch (cause) {
    return endFailed(run, call, { error: recordError(cause), doubt: true }, context);
  }
  call.until = Math.floor(context.now + definition.timeoutMs);
  return false;
}

/** A compensating command is to be sent again, or was not answered. */
export async function compensationDue(run: Run, call: CallState, context: DecisionContext): Promise<void> {
  const step = run.step(call.step);
  const { compensation } = call;
  if (step?.kind !== 'command' || compensation?.state !== 'open') return;
  if (compensation.retryAt === null) {
    const error = unanswered(`the compensation of ${call.id}`, step.compensation.timeoutMs);
    const late = unattended(compensation.replyBy, context);
    compensation.replyBy = null;
    compensationFailed(run, call, { kind: 'failed', error, permanent: false, doubt: true, ...late }, context);
    if (run.state.stuck !== null || (compensation.retryAt ?? Infinity) > context.now) return;
  }
  compensation.retryAt = null;
  let message: string | null;
  try {
    message = await prepareCompensation(run, step, call);
  } catch (cause) {
    // What is wrong with the message lies in the code; sending it again does not mend that.
    compensationFailed(run, call, { kind: 'failed', error: recordError(cause), permanent: true, doubt: true }, context);
    return;
  }
  if (message !== null) run.send(message);
  replyBy(run, call, context);
}

/** Nobody was there when the answer was due, so it may lie on its way to the one who was away: asking once more costs nothing. */
function unattended(until: number | null, context: DecisionContext): { readonly uncounted?: 'unattended' } {
  return until !== null && context.now - until > UNATTENDED_MS ? { uncounted: 'unattended' } : {};
}

function unanswered(what: string, timeoutMs: number): RecordedError {
  return { name: 'HoldfastError', code: 'HF_STEP_TIMEOUT', message: `No reply to ${what} within ${timeoutMs} ms.` };
}
