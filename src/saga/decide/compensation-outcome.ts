/** How a compensation ends: put off, given up, or done. */
import { decideFailed } from '../journal/budget.ts';
import type { CallState } from '../journal/state.ts';
import type { AttemptResult, DecisionContext, FailedResult } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { lapsesOf } from './lost-attempts.ts';

/** An attempt of it ended. */
export function compensationEnded(run: Run, call: CallState, result: AttemptResult, context: DecisionContext): void {
  if (result.kind === 'done') run.record({ t: 'compensated', call: call.id }, context.now);
  else compensationFailed(run, call, result, context);
}

/** A compensation failed: put off, or given up, and then the run is stuck. */
export function compensationFailed(run: Run, call: CallState, result: FailedResult, context: DecisionContext): void {
  const step = run.step(call.step);
  if (step === undefined || call.compensation === null) return;
  const attempt = call.compensation.attempts + 1;
  const { error, permanent, uncounted, broken = false } = result;
  if (result.unrecordable === true) return run.recordStuck({ why: 'unrecordable', call, error }, context.now);
  const decision = decideFailed(step.compensation.retry, call.compensation.spent, {
    attempts: call.compensation.attempts,
    since: call.compensation.startedAt,
    now: context.now,
    permanent,
    uncounted,
    broken,
    lapsed: lapsesOf(run, call.compensation.spent),
    random: context.random,
  });
  if (decision.kind === 'retry') {
    const { retryAt, note } = decision;
    run.record({ t: 'compensation failed', call: call.id, attempt, error, retryAt, ...note }, context.now);
    return;
  }
  run.record({ t: 'compensation failed', call: call.id, attempt, error }, context.now);
  if (decision.kind === 'kills workers')
    run.recordStuck({ why: 'kills workers', call, error: decision.error }, context.now);
  else run.recordStuck({ why: 'compensation', call, error }, context.now);
}
