/**
 * Finding a run whose code kills or hangs the worker that takes it up: an endless loop, memory exhausted, process.exit. Pure. Used by
 * the engine. (Steps that kill are no concern of it: their attempts are recorded before they are made, and capped.)
 *
 * The usual path pays nothing. Workers that died with a run are counted, and the first commit after a takeover accounts for them. Where
 * that commit did not come LOST_BEFORE_SUSPECT times in a row, the run is suspect, as are all that died beside it: they are tried one
 * after the other, each trial recorded before the code is run and closed by whatever is recorded next. A run with whose trials
 * TRIALS_BEFORE_STUCK workers died is not run again.
 */
import type { JournalRow, RecordedError } from './events.ts';
import type { ClaimedRun } from './store.ts';

export const LOST_BEFORE_SUSPECT = 3;
export const TRIALS_BEFORE_STUCK = 3;

export type Suspicion = 'none' | 'suspect' | 'proven';

/** @param accounted how many lost workers its journal has accounted for */
export function suspicionOf({ journal, lost }: Pick<ClaimedRun, 'journal' | 'lost'>): Suspicion {
  const trials = openTrials(journal);
  const unaccounted = lost - accountedFor(journal);
  // A trial may also have ended with a worker that was stopped in good order: that proves nothing.
  if (trials >= TRIALS_BEFORE_STUCK && unaccounted > 0) return 'proven';
  return trials > 0 || unaccounted >= LOST_BEFORE_SUSPECT ? 'suspect' : 'none';
}

/** Trials since anything else was recorded. */
export function openTrials(journal: readonly JournalRow[]): number {
  let trials = 0;
  for (const { events } of journal) {
    for (const event of events) trials = event.t === 'recovered' && event.alone === true ? trials + 1 : 0;
  }
  return trials;
}

function accountedFor(journal: readonly JournalRow[]): number {
  let lost = 0;
  for (const { events } of journal) for (const event of events) if (event.t === 'recovered') lost = event.lost;
  return lost;
}

export const KILLS_WORKERS: RecordedError = {
  name: 'HoldfastError',
  code: 'HF_STEP_LOST',
  message:
    'Every worker that ran its code was lost before it recorded anything. Look for an endless loop, a process.exit or too large a value ' +
    'in `run`; deploy code that bears it, then have the run retried; or cancel it.',
};
