/** What goes on in a run without its code being told anything: compensating, and the end that waits for it. */
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { advanceCompensation, compensate, prepareCompensationOf } from './compensate.ts';
import { isCompleting, tryComplete } from './completion.ts';
import { grantCompensation } from './request-compensation.ts';
import { complete, endCompensated } from './run-end.ts';

/** Whether anything may go on by itself: asked in each round, of each run that something happened to. */
export function goesOnByItself(run: Run): boolean {
  const { phase } = run.state;
  if (phase === 'forward') return run.pendingCompensation !== null || run.ending !== null;
  return phase === 'compensating' || hasLateSuccess(run);
}

/** After an event: whatever can go on. Waits for nothing but messages that are made ready. */
export async function afterwards(run: Run, context: DecisionContext): Promise<void> {
  grantIfPivotEnded(run, context);
  if (run.state.phase === 'compensating') {
    if (await advanceCompensation(run, context, 'all')) endCompensated(run, context);
  } else if (run.state.phase === 'forward') {
    tryComplete(run, context);
    if (isCompleting(run) && (await advanceCompensation(run, context, 'abandoned')))
      complete(run, run.ending?.kind === 'returned' ? run.ending.result : undefined, context);
  } else await compensateLateSuccesses(run, context);
}

/** A request to compensate that waited for a pivot which has meanwhile ended. */
function grantIfPivotEnded(run: Run, context: DecisionContext): void {
  if (run.pendingCompensation === null) return;
  for (const call of run.state.open) if (call.pivot) return;
  grantCompensation(run, context);
}

function hasLateSuccess({ state }: Run): boolean {
  for (const call of state.calls.values()) if (call.lateSuccess) return true;
  return false;
}

/** What came to light after the end is compensated in the commit that records it. */
async function compensateLateSuccesses(run: Run, context: DecisionContext): Promise<void> {
  for (const call of run.state.calls.values()) {
    if (!call.lateSuccess) continue;
    call.lateSuccess = false;
    const message = (await prepareCompensationOf(run, call)) ?? null;
    compensate(run, { call, round: (call.compensation?.round ?? 0) + 1 }, message, context);
  }
}
