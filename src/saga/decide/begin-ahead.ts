/**
 * Which attempts begin before it is recorded that they were called (ADR 0022): those of transaction steps, whose own commit can record it,
 * because without that commit nothing of them has happened. Pure.
 */
import { kindOf } from '../kinds/table.ts';
import type { Run } from '../run/run.ts';

/**
 * Whether the attempt that the run is about to make is of that kind, and nothing stands against it: it is the first one, the only thing
 * under way, and all that the run has recorded is that it was called. What was lost with a worker before records first what it begins, so
 * that code that kills its worker is found.
 */
export function beginsAhead(run: Run): boolean {
  const { intents, state } = run;
  const [intent] = intents;
  if (intent === undefined || intents.length > 1 || intent.kind !== 'attempt') return false;
  const { call } = intent;
  if (kindOf(call).endsBy !== 'transaction' || call.attempts > 0 || call.pivot) return false;
  if (run.stage !== 'active' || run.lost > 0 || run.inFlight.size > 0 || run.runEvents.length > 0) return false;
  if (state.phase !== 'forward' || state.stuck !== null || state.open.length !== 1) return false;
  if (run.pendingCompensation !== null || run.mismatch !== null || run.handedBack !== null || run.stale) return false;
  return run.hasOnlyCalled(call) && run.wantedStatus === run.status && state.pivoted === run.stored.pivoted;
}
