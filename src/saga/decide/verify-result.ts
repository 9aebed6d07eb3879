/**
 * What verify() says of a step in doubt. When it fails it is asked again for a while, because one network error decides nothing.
 */
import { decideRetry } from '../../runtime/retry.ts';
import type { RecordedError } from '../journal/events.ts';
import type { DecisionContext, Verification } from '../run/run-events.ts';
import { endDone, endFailed } from './outcomes.ts';
import { logUnverified } from './run-log.ts';
import type { Run } from '../run/run.ts';
import type { CallState } from '../journal/state.ts';

/** What verify() says of a pivot in doubt. When it cannot say either, a person must. */
export function pivotVerified(run: Run, call: CallState, result: Verification, context: DecisionContext): boolean {
  if (call.outcome !== 'open') return false;
  const error = call.error ?? LOST_TRACK;
  if ('error' in result) {
    if (isAskedAgain(run, call, result, context)) return false;
    call.unverifiable = true;
    run.recordStuck({ why: 'in doubt', call, error }, context.now);
    return false;
  }
  return result.happened
    ? endDone(run, call, result.output, context)
    : endFailed(run, call, { error, doubt: false }, context);
}

/** Whether verify(), which failed, is put off to be asked again: by the policy of compensations, whose place it takes. */
function isAskedAgain(
  run: Run,
  call: CallState,
  failed: Extract<Verification, { error: unknown }>,
  context: DecisionContext,
): boolean {
  const againAt = askedAgainAt(run, call, failed, context);
  logUnverified(run, call, failed.error, againAt === null ? null : againAt - context.now);
  if (againAt === null) return false;
  call.asked.againAt = againAt;
  return true;
}

/** Null: it is not asked again. */
function askedAgainAt(
  run: Run,
  call: CallState,
  failed: Extract<Verification, { error: unknown }>,
  context: DecisionContext,
): number | null {
  const definition = run.step(call.step);
  call.asked.attempts += 1;
  if (definition === undefined || !failed.passing) return null;
  const decision = decideRetry(definition.compensation.retry, {
    attempt: call.asked.attempts,
    elapsedMs: 0,
    permanent: false,
    random: context.random,
  });
  return decision.kind === 'give-up' ? null : Math.floor(context.now + decision.delayMs);
}

const LOST_TRACK: RecordedError = { name: 'Error', message: 'The step gave up.' };

/** What verify() says of a step in doubt before it is compensated. */
export function takeVerification(run: Run, call: CallState, result: Verification, context: DecisionContext): void {
  if ('error' in result) {
    call.unverifiable = !isAskedAgain(run, call, result, context);
    return;
  }
  // It may have been asked twice; the first answer is in the journal.
  if (!call.doubt) return;
  const output = result.output === undefined ? {} : { output: JSON.parse(result.output) as unknown };
  run.record({ t: 'verified', call: call.id, outcome: result.happened ? 'done' : 'not done', ...output }, context.now);
}
