/** The end of a run that goes forward: when its code has ended and no step that it began is open. */
import { isBug } from '../definition/bugs.ts';
import { hasEffect } from '../definition/kind-names.ts';
import { isAnythingAbandoned } from '../journal/compensation.ts';
import { isRevocation, type DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { requestCompensation } from './request-compensation.ts';
import { complete } from './run-end.ts';

/** Ends the run if it can end at once. What it had given up is compensated before: that goes on by itself (afterwards.ts). */
export function tryComplete(run: Run, context: DecisionContext): void {
  const { ending } = run;
  if (ending === null || !mayEnd(run)) return;
  if (ending.kind === 'threw') fail(run, ending, context);
  else if (!hasOpenSteps(run) && !isAnythingAbandoned(run.state)) complete(run, ending.result, context);
}

/** Whether nothing stands between the run and its end but what it had given up. */
export function isCompleting(run: Run): boolean {
  return run.ending?.kind === 'returned' && mayEnd(run) && !hasOpenSteps(run);
}

function mayEnd(run: Run): boolean {
  const { state } = run;
  if (state.phase !== 'forward' || state.stuck !== null || state.held || run.pendingCompensation !== null) return false;
  // What is about to be taken in may be that it is not wanted any more.
  return !run.runEvents.some(isRevocation);
}

function hasOpenSteps({ state }: Run): boolean {
  return state.open.some(({ kind }) => hasEffect(kind));
}

function fail(
  run: Run,
  { error: thrown, of }: Extract<Run['ending'], { kind: 'threw' }>,
  context: DecisionContext,
): void {
  const error = run.errorOf(thrown);
  if (isBug(thrown, [run.saga.errors, run.settings.errors], 'run'))
    run.recordStuck({ why: 'code', call: null, error }, context.now);
  else if (run.state.pivoted) run.recordStuck({ why: 'forward', call: null, error, of }, context.now);
  else requestCompensation(run, { reason: 'failed', error, actor: undefined, runMessage: null }, context);
}
