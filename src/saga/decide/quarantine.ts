/**
 * Finding a run whose code kills or hangs the worker that takes it up: an endless loop, memory exhausted, process.exit. Pure.
 * Steps that kill are no concern of it: an attempt that was lost with its worker is counted by itself
 * (journal/budget.ts).
 *
 * The usual path pays nothing. Workers that died with a run are counted, and the first commit after a takeover accounts for them. Where
 * that commit did not come LOST_BEFORE_TRIAL times in a row, the run is suspect, as are all that died beside it: they are tried one
 * after the other, each trial recorded before the code is run and closed by whatever is recorded next. A run with whose trials
 * TRIALS_BEFORE_STUCK workers died is not run again.
 */
import type { RecordedError } from '../journal/events.ts';
import { accountedFor, deathsIn, lapsesAfter } from '../journal/losses.ts';
import type { ClaimedRun } from '../store/store.ts';

export const LOST_BEFORE_TRIAL = 3;
export const TRIALS_BEFORE_STUCK = 3;

export type Suspicion = 'none' | 'suspect' | 'proven';

type Tried = Pick<ClaimedRun, 'journal' | 'lost' | 'lapsed'>;

export function suspicionOf(run: Tried): Suspicion {
  if (run.lost < LOST_BEFORE_TRIAL) return 'none';
  const since = accountedFor(run.journal);
  if (deathsIn(run.lost - since, lapsesAfter(run, since)) < LOST_BEFORE_TRIAL) return 'none';
  return deadlyTrials(run) >= TRIALS_BEFORE_STUCK ? 'proven' : 'suspect';
}

/** Trials since anything else was recorded with which a worker died, at half where it only stood still: one that was stopped in good order proves nothing. */
export function deadlyTrials({ journal, lost, lapsed = [] }: Tried): number {
  const tried = new Set<number>();
  for (const { events } of journal) {
    for (const event of events) {
      if (event.t === 'recovered' && event.alone === true) tried.add(event.lost);
      else tried.clear();
    }
  }
  tried.delete(lost);
  // The loss behind a trial is the one with the next number.
  return deathsIn(tried.size, [...tried].filter((n) => lapsed.includes(n + 1)).length);
}

export const RUN_KILLS_WORKERS: RecordedError = {
  name: 'HoldfastError',
  code: 'HF_STEP_LOST',
  message:
    'Every worker that ran its code was lost, or stood still for longer than its lease, before it recorded anything. Look for an endless loop, ' +
    'a process.exit or too large a value in `run`; deploy code that bears it, then have the run retried; or cancel it.',
};
