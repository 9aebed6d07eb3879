/**
 * What becomes of a call when a person has its run retried: its attempts begin anew, and where the code had been told that it failed, that
 * is taken back. Pure.
 */
import { newSpent } from '../journal/budget.ts';
import type { CallReissue, JournalEvent, JournalRow, StuckWhy } from '../journal/events.ts';
import type { CallState } from '../journal/state.ts';
import { canBeInDoubt, isAttempted } from '../kinds/table.ts';

/** Of a call that is still open. */
export function attemptAgain(call: CallState, why: StuckWhy, at: number): void {
  const { until } = call;
  // That an attempt may have happened is not forgotten.
  call.doubt ||= call.attempts > 0 || why === 'in doubt' || (why === 'code' && canBeInDoubt(call));
  // Its whole time has stood still with it.
  if (until !== null && isAttempted(call)) call.until = until + at - call.calledAt;
  resetBudget(call, at);
}

/** Of one that had failed. */
export function reopen(call: CallState, anew: CallReissue, at: number): void {
  // What came to light afterwards was never told; whoever is asked again says it once more.
  call.doubt ||= call.outcome === 'done';
  call.outcome = 'open';
  call.givenUp = false;
  call.until = anew.until ?? null;
  call.child = anew.child ?? call.child;
  call.round = anew.round ?? call.round;
  resetBudget(call, at);
}

function resetBudget(call: CallState, at: number): void {
  call.attempts = 0;
  call.calledAt = at;
  call.retryAt = null;
  call.spent = newSpent(at);
}

export interface TakenBack {
  /** The failures that were taken back later: the code is not told them any more. */
  readonly failures: ReadonlySet<JournalEvent>;
  /** What it had called between such a failure and the retry: in answer to that, or all the same. */
  readonly calls: ReadonlySet<JournalEvent>;
}

export function takenBack(journal: readonly JournalRow[]): TakenBack {
  const failures = new Set<JournalEvent>();
  const calls = new Set<JournalEvent>();
  if (!journal.some(({ events }) => events.some(({ t }) => t === 'retried'))) return { failures, calls };
  const anew = new Set<string>();
  for (const { events } of journal.toReversed()) {
    for (const event of events.toReversed()) {
      if (event.t === 'retried') for (const { call } of event.anew ?? []) anew.add(call);
      else if (event.t === 'failed' && anew.delete(event.call)) failures.add(event);
      else if (event.t === 'called' && anew.size > 0) calls.add(event);
    }
  }
  return { failures, calls };
}
