/**
 * When a run leaves a worker's memory. A waiting run costs nothing then, however many there are; the price is that it is read and
 * replayed when something comes for it. Pure.
 */
import { nextDue } from './due.ts';
import { isAnswered } from '../kinds/table.ts';
import type { Run } from '../run/run.ts';

/** Waits that are longer than this leave memory, in milliseconds. */
const LONG_WAIT_MS = 10_000;

export interface ReleaseContext {
  /** The store's time. */
  readonly now: number;
  /** The worker is stopping: everything leaves that can. */
  readonly draining: boolean;
  /** No more waiting runs are kept in memory. */
  readonly full: boolean;
}

/** When the run is to be claimed again (null: when a message comes), if it leaves memory with the next commit; null: it stays. */
export function releaseOf(run: Run, context: ReleaseContext): { readonly wakeAt: number | null } | null {
  const { now, draining, full } = context;
  // Its code has yet to be run.
  if (run.stage === 'loading') return null;
  // Whether another worker is to have it is being found out; then it leaves for that one.
  if (run.mismatch !== null && run.handedBack === null) return null;
  if (run.handedBack !== null) return run.inFlight.size === 0 ? { wakeAt: now } : null;
  // What is still under way beside it ends first, and is recorded.
  const settled = run.inFlight.size === 0 && run.runEvents.length === 0;
  // A request to compensate is not in the journal, and would be forgotten with the run, only to be taken up again at once.
  if (run.state.stuck !== null && run.pendingCompensation !== null && !draining) return null;
  if (run.over) return settled || run.state.stuck === null ? { wakeAt: null } : null;
  if (run.stale) return settled ? { wakeAt: now } : null;
  // What has not begun is begun by whoever takes the run up next.
  if (draining && settled && run.intents.length > 0) return { wakeAt: now };
  if (!run.idle) return null;
  if (run.pendingCompensation !== null && !draining) return null;
  const due = nextDue(run);
  const wakeAt = Number.isFinite(due) ? due : null;
  if (draining) return { wakeAt };
  const soon = due - now < LONG_WAIT_MS || expectsAnswer(run);
  return soon && !full ? null : { wakeAt };
}

/** Replies and children are usually not long in coming. */
function expectsAnswer(run: Run): boolean {
  for (const call of run.state.open) if (isAnswered(call)) return true;
  return run.state.phase === 'compensating';
}
