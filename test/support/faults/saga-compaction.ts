/**
 * Which rows a journal may lose: those that say nothing but that a call has failed for the eleventh time or later, while a later row says
 * so of a later attempt. Where workers are killed again and again, or the machine is slow, a call comes to that. Judged
 * here anew and not by src/saga/journal/compaction.ts.
 */
import type { JournalEvent } from '../../../src/saga/journal/events.ts';
import type { RunFacts, TamperedRow } from './saga-facts.ts';

/** The first ones are all kept. */
export const ATTEMPTS_KEPT = 10;

export function mayBeCompacted({ act, n, events }: TamperedRow, run: RunFacts | undefined): boolean {
  if (act !== 'DELETE' || run === undefined || events.length === 0) return false;
  const later = run.journal.filter((row) => row.n > n).flatMap((row) => row.events);
  return events.every((event) => isRepeated(event) && later.some((each) => isRepeated(each) && standsFor(each, event)));
}

type Failure = Extract<JournalEvent, { readonly t: 'attempt failed' | 'compensation failed' }>;

function isRepeated(event: JournalEvent): event is Failure {
  return (event.t === 'attempt failed' || event.t === 'compensation failed') && event.attempt > ATTEMPTS_KEPT;
}

/** Its attempt may have the lower number: they begin anew when a person has the run retried. */
function standsFor(later: Failure, { t, call }: Failure): boolean {
  return later.t === t && later.call === call;
}
